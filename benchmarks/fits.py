"""Networks that are fitted to one recording: how well they render it, and what their files cost.

Run `python benchmarks/fits.py --trial bits` or `--trial shapes`. Each line is one whole file, written by `fit_file` and
decoded again; bytes count everything.
"""

import io
import json
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from hscodec.codec.fit import LEARNING_RATES, SEGMENT_SECONDS, FitConfig, suggested_network
from hscodec.codec.fit_file import fit_file
from hscodec.codec.reader import Reader
from hscodec.inr.mlp import MlpConfig

DEFAULT_SOURCE = Path(__file__).resolve().parents[1] / "tests" / "data" / "speech.flac"
_SIREN = FitConfig()
_FMLP = FitConfig(suggested_network("fmlp", SEGMENT_SECONDS), learning_rate=LEARNING_RATES["fmlp"])
_PAPER = FitConfig(MlpConfig("siren"), segment_seconds=Fraction(3, 2), learning_rate=2e-4)

TRIALS: dict[str, dict[str, FitConfig]] = {
    "bits": {
        f"{config.network.kind}, {bits} bits": replace(config, bits=bits)
        for config in (_SIREN, _FMLP)
        for bits in (6, 8, 10, 12, 16)
    },
    "shapes": {
        "siren 5 x 90, 1.5 s, omega_0 2000, rate 0.0002": _PAPER,
        "siren 4 x 32, 0.5 s, omega_0 2000, rate 0.0002": replace(
            _SIREN, network=replace(_SIREN.network, omega_0=2000.0), learning_rate=2e-4
        ),
        "siren 4 x 32, 0.5 s, omega_0 2000, rate 0.001": replace(
            _SIREN, network=replace(_SIREN.network, omega_0=2000.0)
        ),
        "siren 4 x 32, 0.5 s, omega_0 500, rate 0.001": _SIREN,
        "fmlp 4 x 32, 0.5 s, rate 0.003": _FMLP,
    },
    "learning": {
        f"siren, omega_0 {omega_0:g}, rate {rate:g}": replace(
            _SIREN,
            network=replace(_SIREN.network, omega_0=omega_0),
            learning_rate=rate,
            bits=16,
            rounded_share=0.0,
        )
        for omega_0, rate in (
            (2000.0, 2e-4),
            (2000.0, 1e-3),
            (2000.0, 3e-3),
            (500.0, 1e-3),
            (500.0, 2e-3),
            (250.0, 1e-3),
        )
    },
}


def measure(samples: np.ndarray, sample_rate: int, config: FitConfig) -> dict[str, Any]:
    """Fit, write and decode one file.

    Shape:
        samples: [T]
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.wav")
        soundfile.write(source, samples, sample_rate, subtype="FLOAT")
        sink = io.BytesIO()
        started_s = time.process_time()
        result = fit_file(source, sink, config=config, device="cpu")
        cpu_s = time.process_time() - started_s
    with Reader(io.BytesIO(sink.getvalue()), device="cpu") as reader:
        decoded = reader.read().numpy()[0]
    snr_db = 10 * np.log10(np.square(samples).sum() / np.square(samples - decoded).sum())
    return {
        "steps": config.steps,
        "bytes": result.file_bytes,
        "kbps": round(result.kbps, 1),
        "snr_db": round(float(snr_db), 1),
        "cpu_s_per_second": round(cpu_s / result.seconds, 1),
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [
        "| network | steps | bytes | kbit/s | SNR, dB | CPU, s for each second |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=DEFAULT_SOURCE)
@click.option("--trial", type=click.Choice(list(TRIALS)), default="bits", show_default=True)
@click.option("--only", default="", help="Only configurations whose names contain this.")
@click.option("--start", type=click.FloatRange(min=0), default=1.5, show_default=True, help="In seconds.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=1.5, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=300, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def main(source: Path, trial: str, only: str, start: float, seconds: float, steps: int, out: Path | None) -> None:
    """Fit networks to the first channel of SOURCE, by default the sample sound of the tests."""
    rate = soundfile.info(source).samplerate
    samples, _ = soundfile.read(
        source, start=round(start * rate), frames=round(seconds * rate), dtype="float32", always_2d=True
    )
    rows = []
    for name, config in TRIALS[trial].items():
        if only in name:
            rows.append({"network": name} | measure(samples[:, 0], rate, replace(config, steps=steps)))
            click.echo(report(rows[-1:]).splitlines()[-1], err=True)
    click.echo(report(rows))
    if out is not None:
        options = {"source": source.name, "start": start, "seconds": seconds, "trial": trial}
        content = {"schema": 1, "options": options, "provenance": provenance.collect(), "rows": rows}
        out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
