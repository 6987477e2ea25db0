"""`hscodec train`: run or resume a training run."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hscodec.cli import console, options

if TYPE_CHECKING:
    from hscodec.training.loop import Progress


@click.command(short_help="Train a model, or go on training it.")
@click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    show_default="runs/NAME",
    help="Where checkpoint and log go; NAME is the configuration's.",
)
@click.option(
    "--init",
    "inits",
    metavar="CHECKPOINT",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Start a new run from the averaged weights of another; may be repeated, for their mean.",
)
@click.option("--finish", is_flag=True, help="Go to the last stage at once: fit the scale network.")
@click.option("--seed", metavar="N", type=click.IntRange(min=0), help="In place of the configuration's.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPU threads of torch.")
@options.device_option
@options.quiet_option("Print nothing but warnings and errors.")
def command(
    config: Path,
    *,
    out: Path | None,
    inits: tuple[Path, ...],
    finish: bool,
    seed: int | None,
    threads: int | None,
    device: str,
    quiet: bool,
) -> None:
    """Train the model that the TOML file CONFIG describes.

    A run whose folder holds a checkpoint goes on from there. Stop it with Ctrl-C; what came after the last checkpoint
    is lost.
    """
    from hscodec.training.config import load_training_config

    loaded = load_training_config(config)
    if seed is not None:
        loaded = replace(loaded, seed=seed)

    import torch

    from hscodec.device import choose_device
    from hscodec.training.families import make_trainer

    if threads is not None:
        torch.set_num_threads(threads)
    with console.showing_log(quiet=quiet):
        trainer = make_trainer(loaded, out or Path("runs", loaded.name), device=choose_device(device))
        if inits:
            trainer.start_from(*inits)
        trainer.run(None if quiet else _report, finish=finish)
    if not quiet:
        console.say(f"{click.format_filename(trainer.checkpoint_path)}: step {trainer.progress().step:,}")


def _report(progress: "Progress") -> None:
    figures = "  ".join(f"{name} {value:.3f}" for name, value in progress.figures.items())
    console.say(f"step {progress.step:>6}  {progress.minutes:6.1f} min  {100 * progress.fraction:5.1f} %  {figures}")
