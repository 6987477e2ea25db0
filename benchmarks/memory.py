"""Peak memory of the `hscodec` command over the length of the sound, for files and for pipes.

Run `python benchmarks/memory.py`. Each command is a process of its own, whose largest resident set the system reports;
Python, torch and the model are in it. If memory does not grow with length, the rows of one action look alike.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from benchmarks.options import ListOf
from benchmarks.speed import DEFAULT_SOURCE, tiled

_PROGRAM = (sys.executable, "-m", "hscodec")
_WRITE_SECONDS = 60


def write_sound(path: Path, source: Path, *, sample_rate: int, num_channels: int, seconds: float) -> None:
    """Write a WAV file of `seconds`: a file's sound over and over, shifted between channels."""
    (minute,) = tiled(source, sample_rate, _WRITE_SECONDS)
    channels = np.stack([np.roll(minute, 7919 * channel) for channel in range(num_channels)], axis=1)
    left = round(seconds * sample_rate)
    with soundfile.SoundFile(path, "w", sample_rate, num_channels, "PCM_16", format="WAV") as file:
        while left > 0:
            file.write(channels[:left])
            left -= len(channels)


def run(arguments: Sequence[str], *, stdin: Path | None = None, stdout: Path | None = None) -> dict[str, float]:
    """Run `hscodec` and return its wall time and the largest resident set of the process.

    Args:
        arguments: Of the command.
        stdin: What a pipe into the command delivers.
        stdout: Where a pipe out of the command ends.
    """
    started_s = time.perf_counter()
    feeder = subprocess.Popen(["cat", str(stdin)], stdout=subprocess.PIPE) if stdin else None
    sink = open(stdout, "wb") if stdout else None
    try:
        process = subprocess.Popen(
            [*_PROGRAM, *arguments], stdin=feeder.stdout if feeder else subprocess.DEVNULL, stdout=sink
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if sink:
            sink.close()
        if feeder and feeder.stdout:
            feeder.stdout.close()
            feeder.wait()
    if process.returncode:
        raise click.ClickException(f"hscodec {' '.join(arguments)} ended with status {process.returncode}")
    # Linux counts kilobytes, macOS bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": round(time.perf_counter() - started_s, 2),
        "peak_bytes": usage.ru_maxrss * scale,
    }


def measure(folder: Path, source: Path, *, minutes: float, sample_rate: int, num_channels: int) -> list[dict[str, Any]]:
    """Encode and decode a sound of that length, from file to file and from pipe to pipe."""
    wav, hsnd, back = folder / "in.wav", folder / "out.hsnd", folder / "back.wav"
    write_sound(wav, source, sample_rate=sample_rate, num_channels=num_channels, seconds=60 * minutes)
    commands = {
        "encode": lambda: run(["encode", "-q", "-f", str(wav), str(hsnd)]),
        "decode": lambda: run(["decode", "-q", "-f", str(hsnd), "-o", str(back)]),
        "decode pipe": lambda: run(["decode", "-q", "-", "-"], stdin=hsnd, stdout=back),
        "encode pipe": lambda: run(["encode", "-q", "--live", "-", "-"], stdin=wav, stdout=hsnd),
    }
    rows = []
    for action, command in commands.items():
        row = {"action": action, "minutes": minutes, **command()}
        rows.append(row)
        click.echo(report_line(row))
        back.unlink(missing_ok=True)
    for path in (wav, hsnd):
        path.unlink()
    return rows


def report_line(row: dict[str, Any]) -> str:
    """Return a row as a line of text."""
    speed = 60 * row["minutes"] / row["seconds"]
    return (
        f"{row['action']:<12} {row['minutes']:6g} min: peak {row['peak_bytes'] / 1e6:7.0f} MB, "
        f"{row['seconds']:.1f} s ({speed:.1f}x real time)"
    )


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=DEFAULT_SOURCE)
@click.option("--minutes", type=ListOf(), default="10,180", show_default=True, help="Lengths, smallest first.")
@click.option("--rate", "sample_rate", type=click.IntRange(min=8000), default=48_000, show_default=True, help="Hz.")
@click.option("--channels", type=click.IntRange(1, 8), default=2, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def main(source: Path, minutes: tuple[float, ...], sample_rate: int, channels: int, out: Path | None) -> None:
    """Measure the memory that hscodec takes for SOURCE, by default the sample sound of the tests, made longer."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="hscodec-memory-") as folder:
        for length in minutes:
            rows += measure(Path(folder), source, minutes=length, sample_rate=sample_rate, num_channels=channels)
    if out is not None:
        options = {"source": source.name, "sample_rate": sample_rate, "num_channels": channels}
        content = {"schema": 1, "options": options, "provenance": provenance.collect(), "rows": rows}
        out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
