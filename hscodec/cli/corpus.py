"""`hscodec corpus`: fetch recordings, prepare them for training and evaluation, carry them; without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hscodec.cli import console, options

if TYPE_CHECKING:
    from hscodec.training.corpus_pieces import Codec

_FOLDER = click.Path(path_type=Path, file_okay=False)
_MAX_PART_MIB = 1024


@click.group(short_help="Fetch and prepare recordings for training.")
def command() -> None:
    """Fetch and prepare the recordings that models are trained and evaluated on; carry them to another machine."""


def _config_and_sources(decorated: Any) -> Any:
    for decorate in (
        options.quiet_option("Print nothing but warnings and errors."),
        click.option("--only", metavar="SOURCE", multiple=True, help="This source only; may be repeated."),
        click.option(
            "--cache",
            metavar="FOLDER",
            type=_FOLDER,
            default=Path("data/packages"),
            show_default=True,
            help="Where fetched packages lie.",
        ),
        click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path)),
    ):
        decorated = decorate(decorated)
    return decorated


def _parse_folders(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    folders = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not (name and equals and folder):
            raise click.BadParameter(f"{value!r} is not SOURCE=FOLDER.", ctx, param)
        folders[name] = Path(folder)
    return folders


@command.command(short_help="Download and unpack packages.")
@_config_and_sources
def fetch(config: Path, *, cache: Path, only: tuple[str, ...], quiet: bool) -> None:
    """Download and unpack the Debian packages that the TOML file CONFIG names.

    What the cache already holds is used as it is.
    """
    from hscodec.training.corpus import load_corpus_config
    from hscodec.training.corpus_fetch import fetch

    loaded = load_corpus_config(config)
    with console.showing_log(quiet=quiet), console.Bar("fetching", quiet=quiet) as bar:
        fetch(loaded, cache, only=only or None, progress=lambda name, done, total: bar.update(done, total, name))


@command.command(short_help="Make training shards and evaluation clips.")
@_config_and_sources
@click.option(
    "--out",
    metavar="FOLDER",
    type=_FOLDER,
    default=Path("data/corpus"),
    show_default=True,
    help="Where shards and evaluation clips go.",
)
@click.option(
    "--folder",
    "folders",
    metavar="SOURCE=FOLDER",
    multiple=True,
    callback=_parse_folders,
    help="Where a source's recordings lie, in place of what CONFIG says; may be repeated.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(min=1), default=1, show_default=True, help="Threads that decode."
)
def prepare(
    config: Path,
    *,
    cache: Path,
    only: tuple[str, ...],
    out: Path,
    folders: dict[str, Path],
    workers: int,
    quiet: bool,
) -> None:
    """Decode, clean and store the sources of CONFIG as training shards and evaluation clips."""
    from hscodec.training.corpus import load_corpus_config
    from hscodec.training.corpus_prepare import prepare

    loaded = load_corpus_config(config)
    with console.showing_log(quiet=quiet), console.Bar("preparing", quiet=quiet) as bar:
        manifest = prepare(
            loaded,
            cache,
            out_folder=out,
            folders=folders or None,
            only=only or None,
            workers=workers,
            progress=lambda name, done, total: bar.update(done, total, name),
        )
    if not quiet:
        clips = console.plural(sum(len(entry["files"]) for entry in manifest["eval"]), "evaluation clip")
        console.say(f"{click.format_filename(out)}: {_describe_shards(manifest)}, {clips}")


@command.command(short_help="Pack training shards into small files.")
@click.argument("folder", metavar="FOLDER", type=_FOLDER)
@click.option("--out", "parts", metavar="PARTS", type=_FOLDER, required=True, help="Folder where the parts go.")
@click.option(
    "--part-mb",
    metavar="N",
    type=click.IntRange(min=1, max=_MAX_PART_MIB),
    default=60,
    show_default=True,
    help="Size of a part at most, in MiB.",
)
@click.option(
    "--codec",
    type=click.Choice(["flac", "opus"]),
    default="flac",
    show_default=True,
    help="flac is exact; opus is smaller and not exact.",
)
@options.force_option
@options.quiet_option("Print nothing but warnings and errors.")
def pack(folder: Path, *, parts: Path, part_mb: int, codec: "Codec", force: bool, quiet: bool) -> None:
    """Pack the training shards of the prepared corpus in FOLDER into files that can be carried to another machine.

    Evaluation clips are left out.
    """
    from hscodec.training.corpus_pack import pack

    with console.showing_log(quiet=quiet), console.Bar("packing", quiet=quiet) as bar:
        result = pack(
            folder,
            parts,
            part_bytes=part_mb << 20,
            codec=codec,
            overwrite=force,
            progress=lambda name, done, total: bar.update(done, total, name),
        )
    if not quiet:
        size = f"{console.plural(result.num_parts, 'part')}, {result.num_bytes / (1 << 20):,.1f} MiB"
        console.say(f"{click.format_filename(parts)}: {size}; {_describe_shards(result.manifest)}")


@command.command(short_help="Rebuild what was packed.")
@click.argument("parts", metavar="PARTS", type=_FOLDER)
@click.option("--out", metavar="FOLDER", type=_FOLDER, required=True, help="Where shards and manifest go.")
@options.force_option
@options.quiet_option("Print nothing but warnings and errors.")
def unpack(parts: Path, *, out: Path, force: bool, quiet: bool) -> None:
    """Rebuild, for training, the corpus that `corpus pack` put into the folder PARTS.

    An interrupted run goes on where it was.
    """
    from hscodec.training.corpus_unpack import unpack

    with console.showing_log(quiet=quiet), console.Bar("unpacking", quiet=quiet) as bar:
        manifest = unpack(parts, out, overwrite=force, progress=lambda name, done, total: bar.update(done, total, name))
    if not quiet:
        console.say(f"{click.format_filename(out)}: {_describe_shards(manifest)}")


def _describe_shards(manifest: dict[str, Any]) -> str:
    hours = sum(shard["num_samples"] for shard in manifest["shards"]) / manifest["sample_rate"] / 3600
    return f"{hours:.2f} h in {console.plural(len(manifest['shards']), 'training shard')}"
