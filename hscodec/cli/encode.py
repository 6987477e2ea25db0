"""`hscodec encode`: an audio file becomes a `.hsnd` file."""

import contextlib
import math
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from hscodec.cli import console, options, paths
from hscodec.cli.imports import heavy_imports
from hscodec.codec.constants import DEFAULT_QUALITY, MAX_CHUNK_SECONDS, MIN_CHUNK_SECONDS

SUFFIX = ".hsnd"
STORED = ("weights", "latent")
TUNINGS = ("ear", "fidelity")
"""The keys of `registry.TUNED_MODELS`, which is not imported for a page of help."""


def _finite(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    # NaN is neither below a minimum nor above a maximum.
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number.", ctx, param)
    return value


@click.command(short_help="Audio file to .hsnd file.")
@options.in_and_out
@click.option(
    "--tune",
    type=click.Choice(TUNINGS),
    show_default=TUNINGS[0],
    help="What bits are spent on: what is heard, or the waveform (highest SNR).",
)
@options.model_option("Pretrained model: a known name, or a .safetensors file.", shown_default="that of --tune")
@click.option(
    "-Q",
    "--quality",
    type=click.FloatRange(0, 10),
    show_default=str(DEFAULT_QUALITY),
    callback=_finite,
    help="0 is the smallest file, 10 the best sound; in steps of 0.01.",
)
@click.option(
    "--store",
    type=click.Choice(STORED),
    show_default=STORED[0],
    help="What a HyperSound model's file holds: all weights, or the bottleneck that they are made of.",
)
@click.option(
    "--bits",
    type=click.IntRange(4, 16),
    show_default="8",
    help="Bits of each number in such a file, before zstd; the first layer of a SIREN gets as many as it needs.",
)
@click.option(
    "--chunk",
    metavar="SECONDS",
    type=options.Number(MIN_CHUNK_SECONDS, MAX_CHUNK_SECONDS),
    show_default="5",
    help=f"Length of the parts that are decoded by themselves, {float(MIN_CHUNK_SECONDS):g} to {MAX_CHUNK_SECONDS}: "
    "short ones come out sooner and lose less to damage, and cost quality.",
)
@click.option(
    "--tag",
    "edits",
    metavar="KEY=VALUE",
    multiple=True,
    help="Store a tag, in place of the input's with that key; may be repeated. Without VALUE the input's is dropped.",
)
@click.option("--no-tags", is_flag=True, help="Leave out the tags of the input.")
@click.option(
    "--zstd",
    "zstd_only",
    is_flag=True,
    help="Code with zstd alone, which other programs find easier to read. Files are about a sixth larger.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Encode a pipe as it arrives. Its level is not known then: full scale is taken for its peak.",
)
def command(
    source: Path,
    target: Path | None,
    output: Path | None,
    *,
    tune: str | None,
    model: str | None,
    quality: float | None,
    store: str | None,
    bits: int | None,
    chunk: Fraction | None,
    edits: tuple[str, ...],
    no_tags: bool,
    zstd_only: bool,
    live: bool,
    device: str,
    force: bool,
    quiet: bool,
) -> None:
    """Encode the audio file IN to OUT, by default IN with the suffix .hsnd.

    IN may be anything that libsndfile reads: WAV, FLAC, Ogg, MP3, AIFF and more. Standard input is kept in a temporary
    file until it ends, and gives the same bytes as a file would; see --live.
    """
    if live and not paths.is_pipe(source):
        raise click.UsageError("--live is for standard input ('-') and named pipes.")
    if tune is not None and model is not None:
        raise click.UsageError("--tune chooses the model; give either --tune or --model.")
    paths.check_source(source)
    target = paths.choose_target(source, target=target, output=output, suffix=SUFFIX)
    paths.check_target(source, target, force=force)

    with heavy_imports():
        from hscodec.audio.files import AudioReader
        from hscodec.audio.tags import combined, parse_tag
        from hscodec.codec import encode_file
        from hscodec.codec.files import source_tags
        from hscodec.codec.plans import DEFAULT_BITS
        from hscodec.container.codes import Storage
        from hscodec.registry import TUNED_MODELS, HyperSoundModel, load_model

    parsed_edits = [parse_tag(edit) for edit in edits]
    loaded = load_model(model or TUNED_MODELS[tune or TUNINGS[0]])
    if isinstance(loaded, HyperSoundModel) and (quality is not None or zstd_only):
        raise click.UsageError(f"{loaded.name} knows no --quality and no --zstd; it has --store and --bits.")
    if not isinstance(loaded, HyperSoundModel) and (store is not None or bits is not None):
        raise click.UsageError(f"--store and --bits are for models of the HyperSound family; {loaded.name} is not one.")
    started_s = time.monotonic()
    with contextlib.ExitStack() as stack, console.showing_log(quiet=True):
        bar = stack.enter_context(console.Bar("encoding", quiet=quiet, with_speed=True))
        if live and source == paths.STREAM:
            audio = stack.enter_context(AudioReader.from_pipe(sys.stdin.fileno(), paths.STDIN_LABEL))
        elif live:
            audio = stack.enter_context(AudioReader(source))
        else:
            audio = stack.enter_context(AudioReader(stack.enter_context(paths.readable(source, quiet=quiet))))
        result = encode_file(
            audio,
            paths.writable(target),
            model=loaded,
            quality=DEFAULT_QUALITY if quality is None else quality,
            storage=Storage.BOTTLENECK if store == "latent" else Storage.WEIGHTS,
            bits=bits or DEFAULT_BITS,
            chunk_seconds=chunk,
            tags=combined(() if no_tags else source_tags(audio), parsed_edits),
            device=device,
            zstd_only=zstd_only,
            overwrite=force,
            progress=bar.update,
        )
    if not quiet:
        console.say(
            f"{paths.target_label(target)}: {result.file_bytes:,} bytes, {result.kbps:.2f} kbit/s, "
            f"{console.speed(result.seconds, time.monotonic() - started_s)}"
        )
