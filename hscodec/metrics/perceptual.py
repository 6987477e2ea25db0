"""Measures that model a listener: thin wrappers over the packages of the extra `hscodec[bench]`.

The packages are imported inside the functions, so that this module can be imported without them.
"""

import hashlib
import importlib.util
import io
import math
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hscodec.audio.resample import resample
from hscodec.device import choose_device
from hscodec.errors import AudioError, HscodecError
from hscodec.metrics.waveform import checked_pair

if TYPE_CHECKING:
    from torch import nn

PESQ_RATE_HZ = 16_000
PESQ_MAX_SECONDS = 20.0
VISQOL_RATES_HZ = {"speech": 16_000, "audio": 48_000}
CDPAM_RATE_HZ = 22_050

NOT_INSTALLED = "needs an optional package: pip install 'hscodec[bench]'"

_CDPAM_WEIGHTS = "CDPAM_trained/scratchJNDdefault_best_model.pth"
_CDPAM_SHA256 = "453c8b6edee1a94f0120236156436ff28fe4d8d884485e4a67695c8e8570bdfe"
_CDPAM_FULL_SCALE = 32_768  # the network was trained on 16-bit samples as they are

_STOI_MIN_SECONDS = 0.3968  # 30 windows of 256 samples, half overlapping, at 10 kHz


def pesq_wb(reference: ArrayLike, degraded: ArrayLike, sample_rate: int) -> float:
    """Return wide-band PESQ (ITU-T P.862.2) as a mean opinion score, about 1.0 (bad) to 4.64 (identical).

    Both signals are resampled to 16 kHz. The package aligns them in time and level itself, and it is meant for speech
    of some seconds: cut long recordings. It has room for 50 utterances and overwrites memory when it finds more; an
    utterance and the gap behind it take 0.4 s at least, hence the limit of 20 s.

    Args:
        reference: The original.
        degraded: The decoded signal.
        sample_rate: Rate of both (Hz).

    Shape:
        reference, degraded: [T]

    Returns:
        The score, or `nan` where PESQ finds no utterance (silence, noise) or the signal is shorter than 1/4 s.

    Raises:
        AudioError: The signals cannot be compared (see `waveform.checked_pair`), or are longer than 20 s.
        HscodecError: The package `pesq` is not installed.
    """
    package = _optional("pesq", "PESQ")
    original, decoded = _resampled_pair(reference, degraded, sample_rate, PESQ_RATE_HZ)
    if original.size > PESQ_MAX_SECONDS * PESQ_RATE_HZ:
        raise AudioError(f"PESQ takes up to {PESQ_MAX_SECONDS:g} s of sound, not {original.size / PESQ_RATE_HZ:.2f} s")
    if not original.any() or not decoded.any():  # the package would divide by the peak
        return math.nan
    try:
        return float(package.pesq(PESQ_RATE_HZ, original, decoded, "wb"))
    except (package.NoUtterancesError, package.BufferTooShortError):
        return math.nan


def stoi(reference: ArrayLike, degraded: ArrayLike, sample_rate: int) -> float:
    """Return the short-time objective intelligibility of Taal et al. (IEEE TASLP 2011), up to 1 (identical).

    It is evaluated at 10 kHz; the package `pystoi` resamples as the authors' Matlab code does, and drops silent
    windows.

    Args:
        reference: The original.
        degraded: The decoded signal.
        sample_rate: Rate of both (Hz).

    Shape:
        reference, degraded: [T]

    Returns:
        The score, or `nan` where less than 0.4 s of the reference is not silent.

    Raises:
        AudioError: The signals cannot be compared (see `waveform.checked_pair`).
        HscodecError: The package `pystoi` is not installed.
    """
    package = _optional("pystoi", "STOI")
    original, decoded = checked_pair(reference, degraded)
    # In silence every window is as loud as the loudest, so the package would drop none and score rounding noise.
    if not original.any() or original.size < _STOI_MIN_SECONDS * sample_rate:
        return math.nan
    with warnings.catch_warnings():
        # Too few windows: the package warns and returns 1e-5, which would pass for a score.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(package.stoi(original, decoded, sample_rate))
        except RuntimeWarning:
            return math.nan


def visqol(
    reference: ArrayLike, degraded: ArrayLike, sample_rate: int, *, mode: Literal["speech", "audio"] = "speech"
) -> float:
    """Return ViSQOL v3 (Chinen et al., QoMEX 2020) as a mean opinion score, 1 (bad) to about 5.

    Takes seconds for a clip of seconds. In speech mode the score comes from the lattice network that Google's program
    uses; the package's polynomial fallback, 1 to 2 points more generous, is never used.

    Args:
        reference: The original.
        degraded: The decoded signal.
        sample_rate: Rate of both (Hz).
        mode: `"speech"` compares at 16 kHz, `"audio"` (music and anything else) at 48 kHz; both signals are resampled.

    Shape:
        reference, degraded: [T]

    Returns:
        The score, or `nan` where there is nothing to compare: silence, or less than 0.65 s (speech) or 1 s (audio).

    Raises:
        AudioError: The signals cannot be compared (see `waveform.checked_pair`).
        HscodecError: The package `visqol-python[lattice]` is not installed.
        ValueError: The mode is unknown.
    """
    if mode not in VISQOL_RATES_HZ:
        raise ValueError(f"mode must be 'speech' or 'audio', not {mode!r}")
    rate_hz = VISQOL_RATES_HZ[mode]
    original, decoded = _resampled_pair(reference, degraded, sample_rate, rate_hz)
    if not original.any() or not decoded.any():
        return math.nan
    api = _visqol_api(mode)
    try:
        return float(api.measure_from_arrays(original, decoded, rate_hz).moslqo)
    except (ValueError, IndexError):  # how the package says that it found no patch to compare
        return math.nan


def cdpam(reference: ArrayLike, degraded: ArrayLike, sample_rate: int, *, device: str = "auto") -> float:
    """Return the CDPAM distance of Manocha et al. (ICASSP 2021, arXiv 2102.05109): how different a network hears them.

    Both signals are resampled to 22,050 Hz and rounded to 16 bits. A convolutional network that was trained on human
    judgements of pairs of short recordings makes one vector of each, blind to when something happens; the distance is
    that of the vectors, so it is symmetric. It saturates: on speech it tells noise at -20 dB from noise at -40 dB, but
    hardly 0 dB from 10 dB. Weights and network come with the PyPI package `cdpam`, whose loader is not used, as it
    needs packages that the network does not. HyperSound (arXiv 2302.04959) uses the same version.

    It is meant for clips of some seconds, of which it takes one value: the vectors are means over time. On one CPU
    core a second of sound takes some 4 s, and 40 MB of memory.

    Args:
        reference: The original, full scale 1.0.
        degraded: The decoded signal.
        sample_rate: Rate of both (Hz).
        device: Where the network runs, as `device.choose_device` takes it.

    Shape:
        reference, degraded: [T]

    Returns:
        The distance, 0 for identical signals and without an upper limit; `nan` where nothing is left at 22,050 Hz.

    Raises:
        AudioError: The signals cannot be compared (see `waveform.checked_pair`).
        HscodecError: The package `cdpam` is not installed or not version 0.0.6, or there is no such device.
    """
    encoder, distance = _cdpam_networks(device)
    pair = _resampled_pair(reference, degraded, sample_rate, CDPAM_RATE_HZ)
    if not pair[0].size:
        return math.nan

    import torch

    target = choose_device(device)
    with torch.inference_mode():
        vectors = []
        for signal in pair:
            samples = torch.from_numpy(np.round(signal * _CDPAM_FULL_SCALE)).to(target)
            _, acoustics, _ = encoder(samples[None, None])
            vectors.append(torch.nn.functional.normalize(acoustics, dim=1))
        return distance(*vectors).item()


@cache
def _cdpam_networks(device: str) -> "tuple[nn.Module, nn.Module]":
    """Return the encoder, [1, 1, T] to three vectors, and the distance of two vectors [1, 512]."""
    spec = importlib.util.find_spec("cdpam")  # the package itself is not imported, see `cdpam`
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed("CDPAM")
    folder = Path(spec.submodule_search_locations[0])
    try:
        content = (folder / _CDPAM_WEIGHTS).read_bytes()
    except OSError as error:
        raise HscodecError(f"{folder / _CDPAM_WEIGHTS}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != _CDPAM_SHA256:
        raise HscodecError(f"{folder / _CDPAM_WEIGHTS}: not the weights of cdpam 0.0.6: pip install cdpam==0.0.6")

    import torch

    # Written by an old torch, in a way that the safe loader does not read. The hash says that it holds but tensors.
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)["state"]
    models = _module_at(folder / "models.py", "hscodec_cdpam_models")
    encoder, distance = models.base_encoder(n_layers=16, nefilters=64), models.lossnet_dfl(512)
    for network, prefix in ((encoder, "base_encoder."), (distance, "model_dist.")):
        network.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
        network.to(choose_device(device)).eval().requires_grad_(False)
    return encoder, distance


def _module_at(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise HscodecError(f"{path}: no such file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _visqol_api(mode: str) -> Any:
    package = _optional("visqol", "ViSQOL")
    if mode == "speech":
        _optional("ai_edge_litert", "ViSQOL in speech mode")
    api = package.VisqolApi()
    api.create(mode=mode, use_lattice_model=mode == "speech")
    return api


def _optional(module: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _not_installed(purpose) from error


def _not_installed(purpose: str) -> HscodecError:
    return HscodecError(f"{purpose} {NOT_INSTALLED}")


def _resampled_pair(
    reference: ArrayLike, degraded: ArrayLike, sample_rate: int, rate_hz: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    original, decoded = resample(np.stack(checked_pair(reference, degraded)), sample_rate, rate_hz)
    return original, decoded
