"""The metrics of a measurement by their names in results, with what a reader of a table needs to know of each."""

import math
from dataclasses import dataclass

from benchmarks.contenders import Samples
from hscodec.metrics import perceptual, spectral, waveform


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
}


def score(name: str, reference: Samples, degraded: Samples, sample_rate: int, *, kind: str) -> float | None:
    """Return one metric of a decoded clip, None where it is not defined or infinite.

    Args:
        name: A key of `METRICS`.
        reference: The original clip.
        degraded: The decoded clip.
        sample_rate: Rate of both (Hz).
        kind: `"speech"` or `"music"`: ViSQOL has a mode for each.

    Shape:
        reference, degraded: [T]
    """
    match name:
        case "pesq":
            value = perceptual.pesq_wb(reference, degraded, sample_rate)
        case "stoi":
            value = perceptual.stoi(reference, degraded, sample_rate)
        case "si_sdr":
            value = waveform.si_sdr_db(reference, degraded)
        case "snr":
            value = waveform.snr_db(reference, degraded)
        case "psnr":
            value = waveform.psnr_db(reference, degraded)
        case "lsd":
            value = spectral.log_spectral_distance(reference, degraded, sample_rate)
        case "visqol":
            mode = "speech" if kind == "speech" else "audio"
            value = perceptual.visqol(reference, degraded, sample_rate, mode=mode)
        case _:
            raise ValueError(f"unknown metric {name!r}; there are {', '.join(METRICS)}")
    return round(value, 6) if math.isfinite(value) else None
