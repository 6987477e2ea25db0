"""`hscodec play`: a `.hsnd` file is heard while it is decoded."""

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hscodec.cli import console, options, paths
from hscodec.cli.imports import heavy_imports
from hscodec.cli.keys import Key, Keyboard, listening

if TYPE_CHECKING:
    from threading import Event

    from hscodec.codec import Reader
    from hscodec.player.output import OutputDevice
    from hscodec.player.player import Player

SKIP_S = {Key.LEFT: -5, Key.RIGHT: 5, Key.DOWN: -30, Key.UP: 30}
TICK_S = 0.1


@click.command(short_help="Play a .hsnd file.")
@click.argument("source", metavar="IN", type=options.PATH)
@options.model_option("Pretrained model, where the one that IN names is not installed.", shown_default="as IN says")
@options.playback_options(rate_default="as the audio device prefers")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Play damaged and cut files: what is lost becomes silence, is reported, and the exit status is 1.",
)
@options.device_option
@options.quiet_option("Draw no bar and print nothing but warnings and errors.")
@click.pass_context
def command(
    ctx: click.Context,
    source: Path,
    *,
    model: str | None,
    rate: Fraction | None,
    speed: Fraction,
    reverse: bool,
    start: Fraction,
    stop: Fraction | None,
    keep_going: bool,
    device: str,
    quiet: bool,
) -> None:
    """Play the .hsnd file IN on the default audio device.

    At a terminal, space pauses, left and right go 5 s back and on, down and up 30 s, and q stops.

    It needs the package sounddevice: pip install 'hscodec[play]'.
    """
    paths.check_source(source)

    from hscodec.player.output import default_device

    output = default_device()  # before torch is loaded, which takes its time

    with heavy_imports():
        from hscodec.codec import Reader
        from hscodec.registry import load_model

    loaded = load_model(model) if model else None
    with paths.readable(source, quiet=quiet) as path:
        with Reader(
            path, model=loaded, rate=rate or output.rate, speed=speed, device=device, keep_going=keep_going
        ) as reader:
            first, last = reader.sample_range(start, stop)
            if not quiet:
                _describe(reader, source, output)
            _play(reader, first, last, output=output, reverse=reverse, quiet=quiet)
            lost = reader.lost
    for start_s, stop_s in lost:
        console.say(f"hscodec: warning: lost [{start_s:.2f} s, {stop_s:.2f} s)")
    ctx.exit(1 if lost else 0)


def _describe(reader: "Reader", source: Path, output: "OutputDevice") -> None:
    console.say(
        f"{paths.label(source)}: {console.clock(reader.seconds)}, {console.plural(reader.num_channels, 'channel')}, "
        f"{float(reader.rate):g} Hz on {output.name}"
    )


def _play(reader: "Reader", first: int, last: int, *, output: "OutputDevice", reverse: bool, quiet: bool) -> None:
    """Play the samples [first, last) to their end or until somebody has heard enough."""
    from hscodec.player.mixing import num_played
    from hscodec.player.output import playing
    from hscodec.player.player import Player

    num_outputs = num_played(reader.num_channels, output.num_channels)
    with contextlib.ExitStack() as stack:
        player = stack.enter_context(Player(reader, num_outputs=num_outputs, start=first, stop=last, reverse=reverse))
        keyboard = stack.enter_context(listening())
        bar = stack.enter_context(console.PositionBar(reader.seconds, quiet=quiet))
        finished = stack.enter_context(playing(player, rate=reader.rate, num_outputs=num_outputs))
        _attend(player, keyboard, bar, finished)
    if player.underrun_samples:
        seconds = float(player.underrun_samples / reader.rate)
        console.say(f"hscodec: warning: {seconds:.2f} s of silence, decoding is too slow; try a lower --rate")
    player.check()


def _attend(player: "Player", keyboard: Keyboard | None, bar: console.PositionBar, finished: "Event") -> None:
    """Obey keys and move the bar until the last sample was heard, or somebody has heard enough."""
    while not finished.is_set():
        if keyboard is None:
            finished.wait(TICK_S)
        for key in keyboard.read(TICK_S) if keyboard else ():
            if key is Key.QUIT:
                return
            if key is Key.SPACE:
                player.is_paused = not player.is_paused
            else:
                player.skip(SKIP_S[key])
        bar.update(player.position_s, "paused" if player.is_paused else "playing")
