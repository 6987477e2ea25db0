"""Arguments and options that several commands share."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

PATH = click.Path(path_type=Path, allow_dash=True)
"""A file as given. Whether it exists is not a question of usage, so commands ask that themselves."""

_CommandT = TypeVar("_CommandT", bound=Callable[..., Any])


class Device(click.ParamType):
    """A device name that could exist; whether it does is known once torch is loaded."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with what would be one."""
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(value)):
            self.fail(f"{value!r} is not one of auto, cpu, cuda, cuda:N, mps.", param, ctx)
        return str(value)


class Time(click.ParamType):
    """A point in time: seconds, mm:ss or hh:mm:ss, each with a fraction of the second if need be; kept exactly."""

    name = "time"
    _pattern = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Return seconds, or fail with what would be a time."""
        if isinstance(value, Fraction):
            return value
        match = self._pattern.fullmatch(str(value))
        hours, minutes, seconds = (Fraction(part or 0) for part in match.groups()) if match else (0, 0, 60)
        beyond_clock = (match is None) or (match[1] and minutes >= 60) or (match[2] and seconds >= 60)
        if beyond_clock:
            self.fail(f"{value!r} is not a time: seconds, mm:ss or hh:mm:ss.", param, ctx)
        return Fraction(3600 * hours + 60 * minutes + seconds)


class Number(click.ParamType):
    """A positive number out of a range: decimal, or a fraction such as `48000/1.001`; kept exactly.

    Args:
        lowest: The smallest that is allowed.
        highest: The largest.
    """

    name = "number"
    _pattern = re.compile(r"(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})(?:/(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12}))?")

    def __init__(self, lowest: Fraction | int, highest: Fraction | int) -> None:
        self._lowest, self._highest = lowest, highest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Return the number, or fail with the range."""
        if isinstance(value, Fraction):
            return value
        match = self._pattern.fullmatch(str(value))
        over, under = (Fraction(part or 1) for part in match.groups()) if match else (0, 0)
        if not under or not self._lowest <= (number := Fraction(over, under)) <= self._highest:
            limits = f"{float(self._lowest):g} to {float(self._highest):g}"
            self.fail(f"{value!r} is not a number from {limits}, such as 3, 1.5 or 10/3.", param, ctx)
        return number


class Words(click.ParamType):
    """A comma-separated list of words, each out of a few; kept as a tuple, in the order given, each once.

    Args:
        words: What there is to choose from.
    """

    name = "list"

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the words, or fail with those that are not among them."""
        if isinstance(value, tuple):
            return value
        chosen = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        if unknown := [word for word in chosen if word not in self._words]:
            self.fail(f"{', '.join(map(repr, unknown))} not among {', '.join(self._words)}.", param, ctx)
        return chosen


def in_and_out(command: _CommandT) -> _CommandT:
    """Add `IN [OUT]` and what goes with every conversion: `-o`, `--device`, `-f`, `-q`."""
    for decorate in (
        quiet_option("Print nothing but errors."),
        force_option,
        device_option,
        click.option("-o", "--output", "output", metavar="OUT", type=PATH, help="Same as OUT."),
        click.argument("target", metavar="[OUT]", type=PATH, required=False),
        click.argument("source", metavar="IN", type=PATH),
    ):
        command = decorate(command)
    return command


def device_option(command: _CommandT) -> _CommandT:
    """Add `--device`."""
    text = "Where the networks run; auto takes CUDA, then MPS, then the CPU."
    metavar = "[auto|cpu|cuda[:N]|mps]"
    return click.option("--device", type=Device(), metavar=metavar, default="auto", show_default=True, help=text)(
        command
    )


def force_option(command: _CommandT) -> _CommandT:
    """Add `-f/--force`."""
    return click.option("-f", "--force", is_flag=True, help="Replace an existing output.")(command)


def quiet_option(text: str) -> Callable[[_CommandT], _CommandT]:
    """Return what adds `-q/--quiet` with this explanation."""
    return click.option("-q", "--quiet", is_flag=True, help=text)


def model_option(text: str, *, shown_default: str) -> Callable[[_CommandT], _CommandT]:
    """Return what adds `--model` with this explanation; without the option the value is None."""
    return click.option("--model", metavar="NAME|PATH", show_default=shown_default, help=text)
