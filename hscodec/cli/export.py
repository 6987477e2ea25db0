"""`hscodec export`: from a checkpoint to a model file."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from hscodec.cli import options, paths

SUFFIX = ".safetensors"


@click.command(short_help="Checkpoint to model file.")
@click.argument("checkpoint", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.argument("target", metavar=f"OUT{SUFFIX}", type=click.Path(path_type=Path))
@options.force_option
def command(checkpoint: Path, target: Path, *, force: bool) -> None:
    """Write the averaged weights of CHECKPOINT as a model file.

    Prints the entry for the manifest.json beside it as JSON; its name is the file's.
    """
    if target.suffix != SUFFIX:
        raise click.UsageError(f"A model file is named NAME{SUFFIX}.")
    paths.check_source(checkpoint)
    paths.check_target(checkpoint, target, force=force)

    from hscodec.training.export import export_checkpoint

    click.echo(json.dumps(asdict(export_checkpoint(checkpoint, target)), indent=2))
