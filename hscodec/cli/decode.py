"""`hscodec decode`: a `.hsnd` file becomes an audio file, at any sample rate."""

import time
from pathlib import Path

import click

from hscodec.cli import console, options, paths

SUFFIX = ".wav"
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 384_000


@click.command(short_help=".hsnd file to audio file, at any sample rate.")
@options.in_and_out
@options.model_option("Pretrained model, where the one that IN names is not installed.", shown_default="as IN says")
@click.option(
    "--rate",
    metavar="HZ",
    type=click.IntRange(MIN_RATE_HZ, MAX_RATE_HZ),
    show_default="as it was encoded",
    help=f"Sample rate of the output, {MIN_RATE_HZ} to {MAX_RATE_HZ}.",
)
@click.option(
    "--subtype",
    type=click.Choice(SUBTYPES, case_sensitive=False),
    metavar=f"[{'|'.join(SUBTYPES)}]",
    show_default="PCM_16 for .wav",
    help="How samples are stored. Vorbis, Opus and MP3 have no choice.",
)
def command(
    source: Path,
    target: Path | None,
    output: Path | None,
    *,
    model: str | None,
    rate: int | None,
    subtype: str | None,
    device: str,
    force: bool,
    quiet: bool,
) -> None:
    """Decode the .hsnd file IN to OUT, by default IN with the suffix .wav.

    The suffix of OUT says the format: .wav, .flac, .ogg, .opus, .mp3, .aiff, .caf, .w64, .au. Standard output gets WAV.
    """
    paths.check_source(source)
    target = paths.choose_target(source, target=target, output=output, suffix=SUFFIX)
    paths.check_target(source, target, force=force)

    from hscodec.codec import decode_file
    from hscodec.registry import load_model

    loaded = load_model(model) if model else None
    started_s = time.monotonic()
    with (
        paths.readable(source) as readable,
        paths.writable(target, suffix=SUFFIX) as writable,
        console.Bar("decoding", quiet=quiet, with_speed=True) as bar,
    ):
        result = decode_file(
            readable,
            writable,
            rate=rate,
            subtype=subtype,
            device=device,
            overwrite=force,
            progress=bar.update,
            model=loaded,
        )
    if quiet:
        return
    console.say(
        f"{paths.target_label(target)}: {result.sample_rate} Hz, {console.plural(result.num_channels, 'channel')}, "
        f"{console.speed(result.seconds, time.monotonic() - started_s)}"
    )
    if result.clipped_samples:
        console.say(f"hscodec: warning: {console.plural(result.clipped_samples, 'sample')} clipped; FLOAT keeps them")
