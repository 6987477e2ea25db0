"""Which files a command reads and writes: default names, refusals before any work, and `-` for the standard streams."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from hscodec.errors import FormatError, HscodecError

STREAM = Path("-")
STDIN_LABEL = "standard input"
STDOUT_LABEL = "standard output"


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
    """Refuse an output that would destroy something, before any work.

    Raises:
        HscodecError: It is the input, a folder, or exists and may not be replaced.
    """
    if target == STREAM or not target.exists():
        return
    if source != STREAM and target.samefile(source):
        raise HscodecError(f"{label(source)}: input and output are the same file; name another output")
    if target.is_dir():
        raise HscodecError(f"{click.format_filename(target)}: is a folder")
    if target.is_file() and not force:
        raise HscodecError(f"{click.format_filename(target)} exists; use -f to overwrite")


@contextlib.contextmanager
def readable(source: Path) -> Iterator[Path]:
    """Yield a path that holds the input; standard input is copied to a temporary file first.

    Errors that the block raises then name the input as the user did.
    """
    with contextlib.ExitStack() as stack:
        path = source
        if source == STREAM:
            path = stack.enter_context(_temporary("input"))
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield path
        except HscodecError as error:
            message = str(error).replace(str(path), label(source))
            # The container reads streams, which have no name.
            if isinstance(error, FormatError) and label(source) not in message:
                message = f"{label(source)}: {message}"
            raise type(error)(message) from error


@contextlib.contextmanager
def writable(target: Path, *, suffix: str) -> Iterator[Path]:
    """Yield the path to write; for standard output a temporary file with this suffix, copied when it is complete."""
    if target != STREAM:
        yield target
        return
    with _temporary(f"output{suffix}") as path:
        yield path
        stream = sys.stdout.buffer
        with path.open("rb") as file:
            shutil.copyfileobj(file, stream)
        stream.flush()


@contextlib.contextmanager
def _temporary(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hscodec-") as folder:
        yield Path(folder, name)
