"""`hscodec corpus`: fetch recordings and prepare them for training and evaluation; without torch."""

from pathlib import Path
from typing import Any

import click

from hscodec.cli import console, options

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(short_help="Fetch and prepare recordings for training.")
def command() -> None:
    """Fetch and prepare the recordings that models are trained and evaluated on."""


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
        hours = sum(shard["num_samples"] for shard in manifest["shards"]) / manifest["sample_rate"] / 3600
        shards, clips = len(manifest["shards"]), sum(len(entry["files"]) for entry in manifest["eval"])
        console.say(
            f"{click.format_filename(out)}: {hours:.2f} h in {console.plural(shards, 'training shard')}, "
            f"{console.plural(clips, 'evaluation clip')}"
        )
