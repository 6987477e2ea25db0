"""Measures that model a listener: thin wrappers over the packages of the extra `hscodec[bench]`.

The packages are imported inside the functions, so that this module can be imported without them.
"""

import importlib
import math
import warnings
from functools import cache
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hscodec.audio.resample import resample
from hscodec.errors import HscodecError
from hscodec.metrics.waveform import checked_pair

PESQ_RATE_HZ = 16_000
VISQOL_RATES_HZ = {"speech": 16_000, "audio": 48_000}

_STOI_MIN_SECONDS = 0.3968  # 30 windows of 256 samples, half overlapping, at 10 kHz


def pesq_wb(reference: ArrayLike, degraded: ArrayLike, sample_rate: int) -> float:
    """Return wide-band PESQ (ITU-T P.862.2) as a mean opinion score, about 1.0 (bad) to 4.64 (identical).

    Both signals are resampled to 16 kHz. The package aligns them in time and level itself, and it is meant for speech
    of some
    seconds: cut long recordings.

    Args:
        reference: The original.
        degraded: The decoded signal.
        sample_rate: Rate of both (Hz).

    Shape:
        reference, degraded: [T]

    Returns:
        The score, or `nan` where PESQ finds no utterance (silence, noise) or the signal is shorter than 1/4 s.

    Raises:
        AudioError: The signals cannot be compared (see `waveform.checked_pair`).
        HscodecError: The package `pesq` is not installed.
    """
    package = _optional("pesq", "PESQ")
    original, decoded = _resampled_pair(reference, degraded, sample_rate, PESQ_RATE_HZ)
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
        raise HscodecError(f"{purpose} needs an optional package: pip install 'hscodec[bench]'") from error


def _resampled_pair(
    reference: ArrayLike, degraded: ArrayLike, sample_rate: int, rate_hz: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    original, decoded = resample(np.stack(checked_pair(reference, degraded)), sample_rate, rate_hz)
    return original, decoded
