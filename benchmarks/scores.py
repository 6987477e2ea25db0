"""The metrics of a measurement by their names in results, with what a reader of a table needs to know of each."""

import math
from dataclasses import dataclass

from benchmarks.contenders import Samples
from hscodec.metrics.comparison import METRICS as MEASURES
from hscodec.metrics.comparison import Pair


@dataclass(frozen=True)
class Metric:
    """How to present one metric.

    Args:
        title: Name in tables and plots, with the unit.
        digits: Decimals worth printing.
        higher_is_better: Which way is up.
    """

    title: str
    digits: int
    higher_is_better: bool = True


METRICS = {
    "pesq": Metric("PESQ-WB (MOS)", 2),
    "stoi": Metric("STOI", 3),
    "si_sdr": Metric("SI-SDR (dB)", 1),
    "snr": Metric("SNR (dB)", 1),
    "psnr": Metric("PSNR (dB)", 1),
    "lsd": Metric("LSD (decades)", 3, higher_is_better=False),
    "visqol": Metric("ViSQOL (MOS)", 2),
    "cdpam": Metric("CDPAM", 3, higher_is_better=False),
}


def score(name: str, reference: Samples, degraded: Samples, sample_rate: int, *, kind: str) -> float | None:
    """Return one metric of a decoded clip, None where it is not defined or infinite.

    With several channels it is the mean of the channels' scores, each channel compared by itself. A channel of which
    the original has no score even against itself, for example a silent one, is left out; one that a codec lost is not,
    lest the loss go unseen.

    Args:
        name: A key of `METRICS`.
        reference: The original clip.
        degraded: The decoded clip.
        sample_rate: Rate of both (Hz).
        kind: `"speech"` or `"music"`: ViSQOL has a mode for each.

    Shape:
        reference, degraded: [C, T]
    """
    values: list[float] = []
    for original, decoded in zip(reference, degraded, strict=True):
        value = _channel_score(name, original, decoded, sample_rate, kind=kind)
        if not (math.isnan(value) and math.isnan(_channel_score(name, original, original, sample_rate, kind=kind))):
            values.append(value)
    mean = sum(values) / len(values) if values else math.nan
    return round(mean, 6) if math.isfinite(mean) else None


def _channel_score(name: str, reference: Samples, degraded: Samples, sample_rate: int, *, kind: str) -> float:
    """Return one metric of one channel, [T], `nan` where it is not defined."""
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; there are {', '.join(METRICS)}")
    if name == "visqol" and kind != "speech":
        name = "visqol_audio"
    return MEASURES[name].measure(Pair(reference, degraded, sample_rate, device="cpu"))
