"""`hscodec decode`: a `.hsnd` file becomes an audio file, at any sample rate, as a whole or in part."""

import contextlib
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hscodec.cli import console, options, paths
from hscodec.cli.imports import heavy_imports

if TYPE_CHECKING:
    from hscodec.codec import FileResult

SUFFIX = ".wav"
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")


@click.command(short_help=".hsnd file to audio file, at any sample rate.")
@options.in_and_out
@options.model_option("Pretrained model, where the one that IN names is not installed.", shown_default="as IN says")
@options.playback_options(rate_default="as it was encoded")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Decode damaged and cut files: what is lost becomes silence, is reported, and the exit status is 1.",
)
@click.option(
    "--subtype",
    type=click.Choice(SUBTYPES, case_sensitive=False),
    metavar=f"[{'|'.join(SUBTYPES)}]",
    show_default="PCM_16 for .wav",
    help="How samples are stored. Vorbis, Opus and MP3 have no choice.",
)
@click.pass_context
def command(
    ctx: click.Context,
    source: Path,
    target: Path | None,
    output: Path | None,
    *,
    model: str | None,
    rate: Fraction | None,
    speed: Fraction,
    reverse: bool,
    start: Fraction,
    stop: Fraction | None,
    keep_going: bool,
    subtype: str | None,
    device: str,
    force: bool,
    quiet: bool,
) -> None:
    """Decode the .hsnd file IN to OUT, by default IN with the suffix .wav.

    The suffix of OUT says the format: .wav, .flac, .ogg, .opus, .mp3, .aiff, .caf, .w64, .au. Standard output gets WAV
    as it is decoded.
    """
    paths.check_source(source)
    target = paths.choose_target(source, target=target, output=output, suffix=SUFFIX)
    paths.check_target(source, target, force=force)

    with heavy_imports():
        from hscodec.codec import decode_file
        from hscodec.registry import load_model

    loaded = load_model(model) if model else None
    started_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(console.Bar("decoding", quiet=quiet, with_speed=True))
        if source == paths.STREAM and not (keep_going or reverse or start or stop is not None):
            readable = stack.enter_context(paths.stdin())
        else:
            readable = stack.enter_context(paths.readable(source, quiet=quiet))
        result = decode_file(
            readable,
            paths.writable(target),
            rate=rate,
            speed=speed,
            reverse=reverse,
            start=start,
            stop=stop,
            subtype=subtype,
            keep_going=keep_going,
            device=device,
            overwrite=force,
            progress=bar.update,
            model=loaded,
        )
    if not quiet:
        _report(result, target, elapsed_s=time.monotonic() - started_s)
        if rate is not None and rate != result.sample_rate:
            console.say(f"hscodec: note: the rate is {float(rate):.6f} Hz, the header says {result.sample_rate} Hz")
    for start_s, stop_s in result.lost:
        console.say(f"hscodec: warning: lost [{start_s:.2f} s, {stop_s:.2f} s)")
    ctx.exit(1 if result.lost else 0)


def _report(result: "FileResult", target: Path, *, elapsed_s: float) -> None:
    console.say(
        f"{paths.target_label(target)}: {result.sample_rate} Hz, {console.plural(result.num_channels, 'channel')}, "
        f"{console.speed(result.seconds, elapsed_s)}"
    )
    if result.clipped_samples:
        console.say(f"hscodec: warning: {console.plural(result.clipped_samples, 'sample')} clipped; FLOAT keeps them")
