"""`hscodec encode`: an audio file becomes a `.hsnd` file."""

import math
import time
from pathlib import Path
from typing import Any

import click

from hscodec.cli import console, options, paths
from hscodec.codec.constants import DEFAULT_QUALITY

SUFFIX = ".hsnd"


def _finite(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    # NaN is neither below a minimum nor above a maximum.
    if math.isnan(value):
        raise click.BadParameter("nan is not a number.", ctx, param)
    return value


@click.command(short_help="Audio file to .hsnd file.")
@options.in_and_out
@options.model_option("Pretrained model: a known name, or a .safetensors file.", shown_default="hsc-1")
@click.option(
    "-Q",
    "--quality",
    type=click.FloatRange(0, 10),
    default=DEFAULT_QUALITY,
    show_default=True,
    callback=_finite,
    help="0 is the smallest file, 10 the best sound; in steps of 0.01.",
)
def command(
    source: Path,
    target: Path | None,
    output: Path | None,
    *,
    model: str | None,
    quality: float,
    device: str,
    force: bool,
    quiet: bool,
) -> None:
    """Encode the audio file IN to OUT, by default IN with the suffix .hsnd.

    IN may be anything that libsndfile reads: WAV, FLAC, Ogg, MP3, AIFF and more.
    """
    paths.check_source(source)
    target = paths.choose_target(source, target=target, output=output, suffix=SUFFIX)
    paths.check_target(source, target, force=force)

    from hscodec.codec import encode_file
    from hscodec.registry import DEFAULT_MODEL, load_model

    loaded = load_model(model or DEFAULT_MODEL)
    started_s = time.monotonic()
    with (
        paths.readable(source) as readable,
        paths.writable(target, suffix=SUFFIX) as writable,
        console.Bar("encoding", quiet=quiet, with_speed=True) as bar,
    ):
        result = encode_file(
            readable,
            writable,
            model=loaded,
            quality=quality,
            device=device,
            overwrite=force,
            progress=bar.update,
        )
    if not quiet:
        console.say(
            f"{paths.target_label(target)}: {result.file_bytes:,} bytes, {result.kbps:.2f} kbit/s, "
            f"{console.speed(result.seconds, time.monotonic() - started_s)}"
        )
