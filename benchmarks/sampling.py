"""Speed, memory and accuracy of `Reader.sample`: a sound at arbitrary times, as many as it has samples.

Run `python benchmarks/sampling.py`. Times are those of a regular grid, each moved at random by up to half a sample,
in order and shuffled; decoding the grid itself is timed beside it, all in seconds of CPU time. Accuracy is the largest
difference to the decoded samples at the times of the grid, as a share of their peak. What evaluating the sines would
take is measured on a few of the times.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from benchmarks.options import ListOf
from benchmarks.speed import DEFAULT_SOURCE, tiled
from hscodec.codec import Reader, encode_file
from hscodec.inr.lapped import LappedSiren
from hscodec.registry import DEFAULT_MODEL, load_model

_DIRECT_TIMES = 4096
_ResultT = TypeVar("_ResultT")


def timed(work: Callable[[], _ResultT]) -> tuple[_ResultT, float]:
    """Return what a function returns, and how much time of the CPU it took (s), all threads together."""
    started_s = time.process_time()
    result = work()
    return result, time.process_time() - started_s


def peak_bytes() -> int:
    """Return the largest resident set of this process so far."""
    # Linux counts kilobytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(path: Path, *, minutes: float) -> dict[str, Any]:
    """Sample a `.hsnd` file everywhere, with and without gradients.

    Args:
        path: The file, of lapped SIRENs.
        minutes: How long it is.
    """
    generator = torch.Generator().manual_seed(0)
    row: dict[str, Any] = {"minutes": minutes}
    with Reader(path, device="cpu") as reader:
        regular = (torch.arange(reader.num_samples, dtype=torch.float64) + 0.5) / float(reader.rate)
        jitter = torch.rand(len(regular), dtype=torch.float64, generator=generator) - 0.5
        times = regular + jitter / float(reader.rate)
        shuffled = times[torch.randperm(len(times), generator=generator)]
        decoded, row["read_seconds"] = timed(reader.read)
        row["read_peak_bytes"] = peak_bytes()
        sampled, _ = timed(lambda: reader.sample(regular))
        row["largest_difference"] = ((sampled - decoded).abs().max() / decoded.abs().max()).item()
        _, row["sample_seconds"] = timed(lambda: reader.sample(times))
        _, row["shuffled_seconds"] = timed(lambda: reader.sample(shuffled))
        row["sample_peak_bytes"] = peak_bytes()
        times.requires_grad_()
        _, row["gradient_seconds"] = timed(lambda: reader.sample(times).sum().backward())
        row["gradient_peak_bytes"] = peak_bytes()
        row["num_times"] = len(times)
        theta = torch.randn(reader.num_channels, 251, reader.header.num_weights, generator=generator)
    few = 250 * torch.rand(_DIRECT_TIMES, dtype=torch.float64, generator=generator)
    _, direct_s = timed(lambda: LappedSiren(theta.shape[-1]).sample(theta, few))
    row["sines_seconds"] = direct_s / _DIRECT_TIMES * row["num_times"]
    return row


def report_line(row: dict[str, Any]) -> str:
    """Return a row as a line of text."""
    millions = row["num_times"] / 1e6
    parts = [
        f"{row['minutes']:g} min, {millions:.1f} million times:",
        f"in order {row['sample_seconds']:.1f} s, shuffled {row['shuffled_seconds']:.1f} s,",
        f"with gradient {row['gradient_seconds']:.1f} s, read {row['read_seconds']:.1f} s,",
        f"sines would take {row['sines_seconds']:.0f} s;",
        f"peak {row['sample_peak_bytes'] / 1e6:.0f} MB, with gradient {row['gradient_peak_bytes'] / 1e6:.0f} MB",
        f"(read {row['read_peak_bytes'] / 1e6:.0f} MB); largest difference {row['largest_difference']:.1e}",
    ]
    return " ".join(parts)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=DEFAULT_SOURCE)
@click.option("--minutes", type=ListOf(), default="1,4", show_default=True, help="Lengths, smallest first.")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or path of hscodec's model.")
@click.option("--rate", "sample_rate", type=click.IntRange(min=8000), default=48_000, show_default=True, help="Hz.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def main(
    source: Path, minutes: tuple[float, ...], model: str, sample_rate: int, threads: int | None, out: Path | None
) -> None:
    """Sample SOURCE, by default the sample sound of the tests, made longer."""
    if threads is not None:
        torch.set_num_threads(threads)
    rows = []
    with tempfile.TemporaryDirectory(prefix="hscodec-sampling-") as folder:
        wav, hsnd = Path(folder, "in.wav"), Path(folder, "out.hsnd")
        for length in minutes:
            soundfile.write(wav, tiled(source, sample_rate, 60 * length).T, sample_rate)
            encode_file(wav, hsnd, model=load_model(model), device="cpu", overwrite=True)
            rows.append(measure(hsnd, minutes=length))
            click.echo(report_line(rows[-1]))
    if out is not None:
        options = {"source": source.name, "sample_rate": sample_rate, "model": model}
        content = {"schema": 1, "options": options, "provenance": provenance.collect(), "rows": rows}
        out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
