"""`hscodec compare`: how far one sound is from another, by several measures."""

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hscodec.cli import console, options, paths

if TYPE_CHECKING:
    from hscodec.compare import Comparison, Sound

METRICS = (
    "mse",
    "l1",
    "snr",
    "psnr",
    "si_sdr",
    "si_snr",
    "lsd",
    "pesq",
    "stoi",
    "visqol",
    "visqol_audio",
    "cdpam",
)
"""Those of `hscodec.metrics.comparison`, written down so that the help page starts without it."""


@click.command(short_help="How far one sound is from another.")
@click.argument("reference", metavar="REF", type=options.PATH)
@click.argument("test", metavar="TEST", type=options.PATH)
@click.option(
    "--metrics",
    "names",
    metavar="LIST",
    type=options.Words(METRICS),
    show_default="what is quick and installed",
    help=f"Comma-separated, out of {', '.join(METRICS)}.",
)
@click.option("--trim", is_flag=True, help="Let the lengths differ: compare the part that both sounds have.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@options.device_option
@options.quiet_option("Print no notes on standard error.")
def command(
    reference: Path, test: Path, *, names: tuple[str, ...] | None, trim: bool, as_json: bool, device: str, quiet: bool
) -> None:
    """Compare the sound TEST with the original REF, sample by sample: audio files or .hsnd files.

    A TEST of another rate is resampled to that of REF; a .hsnd file is decoded at the rate of the other. Every channel
    is compared with the same channel; their numbers must be equal, and so must the lengths.
    """
    if reference == test == paths.STREAM:
        raise click.UsageError("Standard input can be one of the two sounds, not both.")
    for source in (reference, test):
        paths.check_source(source)

    from hscodec.compare import compare_files

    with ExitStack() as stack:
        readable = [
            stack.enter_context(paths.readable(source, quiet=quiet, names_file=False)) for source in (reference, test)
        ]
        bar = stack.enter_context(console.Bar("comparing", quiet=quiet))
        result = compare_files(*readable, names=names, trim=trim, device=device, progress=bar.update)
    if not quiet:
        for note in _notes(result, reference=reference, test=test, trim=trim):
            console.say(f"hscodec: {note}")
    if as_json:
        click.echo(json.dumps(describe(result, reference=reference, test=test), indent=2))
    else:
        _show(result)


def describe(result: "Comparison", *, reference: Path, test: Path) -> dict[str, Any]:
    """Return what `--json` prints; values that are not finite are None.

    Args:
        result: The comparison.
        reference: REF as the user named it.
        test: TEST as the user named it.
    """
    return {
        "reference": _sound(result.reference, reference),
        "test": _sound(result.test, test),
        "sample_rate_hz": result.sample_rate,
        "num_channels": result.reference.num_channels,
        "num_samples": result.num_samples,
        "identical": result.is_identical,
        "metrics": {
            name: {"mean": _finite(score.mean), "channels": [_finite(value) for value in score.channels]}
            for name, score in result.scores.items()
        },
        "left_out": result.left_out,
    }


def _sound(sound: "Sound", source: Path) -> dict[str, Any]:
    return {"file": paths.label(source), "sample_rate_hz": sound.sample_rate, "num_samples": sound.num_samples}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _notes(result: "Comparison", *, reference: Path, test: Path, trim: bool) -> list[str]:
    """Return what the values alone do not say: how the sounds were made comparable, and what is missing."""
    rate = result.sample_rate
    notes = []
    for sound, source in ((result.reference, reference), (result.test, test)):
        if sound.is_encoded:
            notes.append(f"{paths.label(source)}: decoded at {rate} Hz")
        elif sound.sample_rate != rate:
            notes.append(f"{paths.label(source)}: resampled from {sound.sample_rate} Hz to {rate} Hz")
    lengths = [sound.num_samples for sound in (result.reference, result.test)]
    if trim and lengths[0] != lengths[1]:
        notes.append(f"lengths of {lengths[0]:,} and {lengths[1]:,} samples, compared {result.num_samples:,}")
    for reason in dict.fromkeys(result.left_out.values()):
        without = [name for name, why in result.left_out.items() if why == reason]
        notes.append(f"left out: {', '.join(without)} ({reason})")
    return notes


def _show(result: "Comparison") -> None:
    from hscodec.metrics.comparison import METRICS as MEASURES

    num_channels = result.reference.num_channels
    numbers = ["value"] if num_channels == 1 else ["mean", *(f"channel {n}" for n in range(1, num_channels + 1))]
    rows = []
    for name, score in result.scores.items():
        measure = MEASURES[name]
        values = score.channels if num_channels == 1 else (score.mean, *score.channels)
        better = "higher" if measure.higher_is_better else "lower"
        rows.append([name, *map(_text, values), measure.unit, better])
    console.table(["metric", *numbers, "unit", "better"], rows, numbers=range(1, 1 + len(numbers)))


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
