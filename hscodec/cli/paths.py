"""Which files a command reads and writes: default names, refusals before any work, and `-` for the standard streams."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from hscodec.atomic import check_output
from hscodec.cli import console
from hscodec.errors import FormatError, HscodecError

STREAM = Path("-")
STDIN_LABEL = "standard input"
STDOUT_LABEL = "standard output"

_COPY_BYTES = 1 << 20


def label(path: Path) -> str:
    """Return how messages name a file that is read."""
    return STDIN_LABEL if path == STREAM else click.format_filename(path)


def target_label(target: Path) -> str:
    """Return how messages name a file that was written."""
    return STDOUT_LABEL if target == STREAM else click.format_filename(target)


def check_source(source: Path) -> None:
    """Refuse an input that is missing or a folder, before anything slow is loaded.

    Raises:
        HscodecError: It cannot be read.
    """
    if source == STREAM:
        return
    if source.is_dir():
        raise HscodecError(f"{label(source)}: is a folder")
    if not source.exists():
        raise HscodecError(f"{label(source)}: no such file")


def choose_target(source: Path, *, target: Path | None, output: Path | None, suffix: str) -> Path:
    """Return where the output goes: as given in either place, otherwise beside the input.

    Args:
        source: The input.
        target: The argument OUT.
        output: The option `-o`.
        suffix: Replaces the input's suffix in the default name.

    Raises:
        UsageError: Both are given, or neither and the input has no name, or standard output is a terminal.
    """
    if target is not None and output is not None:
        raise click.UsageError("Give the output as OUT or with -o, not both.")
    chosen = target or output
    if chosen is None and source == STREAM:
        raise click.UsageError("Standard input has no name: give the output one, or '-'.")
    if chosen == STREAM and sys.stdout.isatty():
        raise click.UsageError("Standard output is a terminal: give the output a name, or send it elsewhere.")
    return chosen or source.with_suffix(suffix)


def check_target(source: Path, target: Path, *, force: bool) -> None:
    """Refuse an output that would destroy something or cannot be created, before any work.

    Raises:
        HscodecError: As `atomic.check_output`.
    """
    if target != STREAM:
        check_output(target, overwrite=force, source=None if source == STREAM else source)


def is_pipe(source: Path) -> bool:
    """Return whether the input can be read only once: standard input, or a named pipe such as the shell's `<(...)`."""
    return source == STREAM or source.is_fifo()


@contextlib.contextmanager
def readable(source: Path, *, quiet: bool = True, names_file: bool = True) -> Iterator[Path]:
    """Yield a path that holds the input; what comes through a pipe is copied to a temporary file first.

    Errors that the block raises then name the input as the user did.

    Args:
        source: The input.
        quiet: Show no progress while copying.
        names_file: Whether errors of the format, which name no file, get the name put in front. Not where the block
            reads other files as well, and names them itself.
    """
    with contextlib.ExitStack() as stack:
        path = source
        if is_pipe(source):
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hscodec-")), "input")
            pipe = sys.stdin.buffer if source == STREAM else stack.enter_context(source.open("rb"))
            _copy(pipe, path, quiet=quiet)
        with _naming(path, label(source), names_file=names_file):
            yield path


@contextlib.contextmanager
def stdin() -> Iterator[BinaryIO]:
    """Yield standard input itself; errors that the block raises name it."""
    with _naming(None, STDIN_LABEL):
        yield sys.stdin.buffer


@contextlib.contextmanager
def _naming(path: Path | None, name: str, *, names_file: bool = True) -> Iterator[None]:
    """Put the name of the input in place of its path into errors that the block raises."""
    try:
        yield
    except HscodecError as error:
        message = str(error) if path is None else str(error).replace(str(path), name)
        # The container reads streams, which have no name.
        if names_file and isinstance(error, FormatError) and name not in message:
            message = f"{name}: {message}"
        raise type(error)(message) from error


def writable(target: Path) -> Path | BinaryIO:
    """Return what to write to: the path, or standard output, which gets every byte as soon as it is known."""
    return sys.stdout.buffer if target == STREAM else target


def _copy(pipe: BinaryIO, path: Path, *, quiet: bool) -> None:
    num_bytes = 0
    with path.open("wb") as file, console.Bar("reading", quiet=quiet) as bar:
        while block := pipe.read(_COPY_BYTES):
            file.write(block)
            num_bytes += len(block)
            bar.update(num_bytes, None, f"reading {num_bytes / 1e6:.0f} MB")
