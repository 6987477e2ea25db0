"""What the user sees: messages, log lines and progress bars on standard error, tables. Only this module knows rich.

rich is imported when the first bar or table is drawn on a terminal, so commands that end quickly never load it.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

BAR_DELAY_S = 1.0
"""Work that ends sooner shows no bar."""


def say(text: str) -> None:
    """Print one line on standard error."""
    click.echo(printable(text), err=True)


def fail(text: str) -> None:
    """Print why the command failed, on one line."""
    say(f"hscodec: error: {' '.join(text.split())}")


def printable(text: str) -> str:
    """Return the text with control characters escaped: names and tags in files must not drive the terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def plural(count: int, noun: str) -> str:
    """Return `1 chunk`, `2 chunks`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def clock(seconds: float) -> str:
    """Return `2:03`, or `1:02:03` from an hour on; what is left of the second is dropped."""
    minutes, whole_seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole_seconds:02d}" if hours else f"{minutes}:{whole_seconds:02d}"


def speed(duration_s: float, elapsed_s: float) -> str:
    """Return how long the sound is and how fast it was handled, for a summary line."""
    times = duration_s / max(elapsed_s, 1e-3)
    return f"{duration_s:.2f} s of sound in {elapsed_s:.2f} s ({times:.1f}x real time)"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> None:
    """Print a table on standard output: ruled on a terminal, elsewhere nothing but aligned columns.

    Args:
        columns: What stands above each.
        rows: A cell for every column.
        numbers: Which columns, from 0, are aligned to the right.
    """
    if sys.stdout.isatty():
        _ruled_table(columns, rows, numbers)
        return
    lines = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())


def _ruled_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        drawn.add_column(Text(printable(column)), justify="right" if place in numbers else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(drawn)


@contextlib.contextmanager
def showing_log(*, quiet: bool) -> Iterator[None]:
    """Print what the package logs while the block runs: everything from INFO on, warnings only if quiet."""
    logger = logging.getLogger("hscodec")
    handler, level = _LogHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        say(f"hscodec: {prefix}{record.getMessage()}")


class Bar:
    """A progress bar; a context manager. It is drawn on a terminal only, and only for work of more than a second.

    Args:
        label: What is being done.
        quiet: Never draw it.
        with_speed: Progress is in seconds of sound: show how many pass in one second.
    """

    def __init__(self, label: str, *, quiet: bool = False, with_speed: bool = False) -> None:
        self._label = label
        self._enabled = not quiet and sys.stderr.isatty()
        self._with_speed = with_speed
        self._started_s = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Bar":
        self._started_s = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, total: float | None, label: str | None = None) -> None:
        """Show how far the work is.

        Args:
            done: From 0 to `total`.
            total: In the same unit; None if nobody knows: the bar then only moves.
            label: What is being done, if it is not what it was.
        """
        self._label = label or self._label
        elapsed_s = time.monotonic() - self._started_s
        if not self._enabled or elapsed_s < BAR_DELAY_S:
            return
        bar, task = self._drawn()
        speed = f"{done / elapsed_s:.1f}x" if self._with_speed and elapsed_s > 0 else ""
        share = f"{100 * done / total:3.0f}%" if total else ""
        bar.update(task, completed=done, total=total, description=printable(self._label), share=share, speed=speed)

    def _drawn(self) -> "tuple[Progress, TaskID]":
        if self._bar is None or self._task is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text, share, speed = (
                TextColumn(f"{{task.{field}}}", markup=False)
                for field in ("description", "fields[share]", "fields[speed]")
            )
            columns = (text, BarColumn(), share, speed, TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(printable(self._label), total=None, share="", speed="")
            self._bar.start()
        return self._bar, self._task


class PositionBar:
    """Where in a sound we are, on a line that moves; a context manager. It is drawn on a terminal only.

    Args:
        duration_s: Length of the sound.
        quiet: Never draw it.
    """

    def __init__(self, duration_s: float, *, quiet: bool = False) -> None:
        self._duration_s = duration_s
        self._enabled = not quiet and sys.stderr.isatty()
        self._bar: Progress | None = None

    def __enter__(self) -> "PositionBar":
        if self._enabled:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            text, place = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[place]"))
            columns = (text, BarColumn(None), place)
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, expand=True)
            self._bar.add_task("", total=self._duration_s, place="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, position_s: float, state: str) -> None:
        """Show where the sound is and what it does.

        Args:
            position_s: 0 to the duration.
            state: Such as `playing` and `paused`.
        """
        if self._bar is not None:
            place = f"{clock(position_s)} / {clock(self._duration_s)}"
            self._bar.update(self._bar.task_ids[0], completed=position_s, description=f"{state:7}", place=place)
