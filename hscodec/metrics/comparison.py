"""The measures by their names, and two sounds of several channels compared by several of them."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hscodec.errors import AudioError, HscodecError
from hscodec.metrics import perceptual, spectral, waveform

Samples: TypeAlias = NDArray[np.float32]
ProgressReport: TypeAlias = Callable[[str, int, int], None]
"""Called with (name of the next measure, values done, values in all)."""


@dataclass(frozen=True)
class Pair:
    """What a measure gets.

    Args:
        reference: The original, full scale 1.0.
        degraded: The decoded signal.
        sample_rate: Rate of both (Hz).
        device: Where a network runs, for the measures that have one.

    Shape:
        reference, degraded: [T]
    """

    reference: Samples
    degraded: Samples
    sample_rate: int
    device: str = "auto"


@dataclass(frozen=True)
class Metric:
    """A measure, and what one has to know to choose it and to read its values.

    Args:
        measure: Returns the value of a pair, `nan` where it is not defined.
        unit: Of the values; empty for plain numbers.
        higher_is_better: Which way is up.
        packages: Modules outside of this package's own requirements that it imports.
        max_seconds: The longest sound that it takes; None if there is no limit.
        is_default: Whether it is measured where nobody chooses: those that are much faster than real time are.
    """

    measure: Callable[[Pair], float]
    unit: str = ""
    higher_is_better: bool = True
    packages: tuple[str, ...] = ()
    max_seconds: float | None = None
    is_default: bool = True

    @property
    def is_installed(self) -> bool:
        """Whether all packages are there; none is imported."""
        return all(importlib.util.find_spec(package) is not None for package in self.packages)


METRICS: dict[str, Metric] = {
    "mse": Metric(lambda pair: waveform.mse(pair.reference, pair.degraded), higher_is_better=False),
    "l1": Metric(lambda pair: waveform.l1(pair.reference, pair.degraded), higher_is_better=False),
    "snr": Metric(lambda pair: waveform.snr_db(pair.reference, pair.degraded), "dB"),
    "psnr": Metric(lambda pair: waveform.psnr_db(pair.reference, pair.degraded), "dB"),
    "si_sdr": Metric(lambda pair: waveform.si_sdr_db(pair.reference, pair.degraded), "dB"),
    "si_snr": Metric(lambda pair: waveform.si_snr_db(pair.reference, pair.degraded), "dB"),
    "lsd": Metric(
        lambda pair: spectral.log_spectral_distance(pair.reference, pair.degraded, pair.sample_rate),
        "decades",
        higher_is_better=False,
    ),
    "pesq": Metric(
        lambda pair: perceptual.pesq_wb(pair.reference, pair.degraded, pair.sample_rate),
        "MOS",
        packages=("pesq",),
        max_seconds=perceptual.PESQ_MAX_SECONDS,
    ),
    "stoi": Metric(lambda pair: perceptual.stoi(pair.reference, pair.degraded, pair.sample_rate), packages=("pystoi",)),
    "visqol": Metric(
        lambda pair: perceptual.visqol(pair.reference, pair.degraded, pair.sample_rate, mode="speech"),
        "MOS",
        packages=("visqol", "ai_edge_litert"),
        is_default=False,
    ),
    "visqol_audio": Metric(
        lambda pair: perceptual.visqol(pair.reference, pair.degraded, pair.sample_rate, mode="audio"),
        "MOS",
        packages=("visqol",),
        is_default=False,
    ),
    "cdpam": Metric(
        lambda pair: perceptual.cdpam(pair.reference, pair.degraded, pair.sample_rate, device=pair.device),
        higher_is_better=False,
        packages=("cdpam",),
        is_default=False,
    ),
}
"""By the names that command line and results use."""


@dataclass(frozen=True)
class Score:
    """The values of one measure.

    Args:
        channels: One for each channel; `nan` where it is not defined.
    """

    channels: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of all channels; `nan` if one has no value, lest a channel that was lost go unseen."""
        return sum(self.channels) / len(self.channels)


def check_names(names: Sequence[str]) -> None:
    """Refuse measures that cannot be had, before anything slow is done.

    Raises:
        HscodecError: A name is unknown, or its package is not installed.
    """
    for name in names:
        if name not in METRICS:
            raise HscodecError(f"unknown metric {name!r}; there are {', '.join(METRICS)}")
        if not METRICS[name].is_installed:
            raise HscodecError(f"{name} {perceptual.NOT_INSTALLED}")


def default_names(duration_s: float) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the measures for a sound about which nothing else is known, and why others of the default are left out.

    Args:
        duration_s: How long the sound is (s).

    Returns:
        Names, and reasons by name.
    """
    left_out: dict[str, str] = {}
    defaults = {name: metric for name, metric in METRICS.items() if metric.is_default}
    for name, metric in defaults.items():
        if not metric.is_installed:
            left_out[name] = perceptual.NOT_INSTALLED
        elif metric.max_seconds is not None and duration_s > metric.max_seconds:
            left_out[name] = f"takes up to {metric.max_seconds:g} s of sound"
    return tuple(name for name in defaults if name not in left_out), left_out


def compare(
    reference: Samples,
    degraded: Samples,
    sample_rate: int,
    names: Sequence[str],
    *,
    device: str = "auto",
    progress: ProgressReport | None = None,
) -> dict[str, Score]:
    """Measure each channel of a sound against the same channel of the original.

    Args:
        reference: The original, full scale 1.0.
        degraded: What became of it, aligned sample by sample.
        sample_rate: Rate of both (Hz).
        names: Keys of `METRICS`.
        device: Where networks run, for the measures that have one.
        progress: Called before each value.

    Shape:
        reference, degraded: [C, T], C and T at least 1

    Returns:
        The scores by name, in the order of `names`.

    Raises:
        AudioError: The shapes differ, a value is not finite, or the sound is too long for a measure.
        HscodecError: A name is unknown, or its package is not installed.
    """
    check_names(names)
    if reference.ndim != 2 or reference.shape != degraded.shape or not reference.size:
        raise AudioError(f"two sounds [C, T] of one shape are needed, not {reference.shape} and {degraded.shape}")
    num_channels, num_samples = reference.shape
    for name in names:
        limit = METRICS[name].max_seconds
        if limit is not None and num_samples > limit * sample_rate:
            raise AudioError(f"{name} takes up to {limit:g} s of sound, not {num_samples / sample_rate:.2f} s")
    names = tuple(dict.fromkeys(names))
    scores: dict[str, Score] = {}
    for name in names:
        values: list[float] = []
        for channel in zip(reference, degraded, strict=True):
            if progress:
                progress(name, len(scores) * num_channels + len(values), len(names) * num_channels)
            values.append(METRICS[name].measure(Pair(*channel, sample_rate, device)))
        scores[name] = Score(tuple(values))
    return scores
