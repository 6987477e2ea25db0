"""Output files that appear whole or not at all: write a temporary neighbour, then rename it."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hscodec.errors import HscodecError


@contextlib.contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the path of a new, empty temporary file that becomes `path` when the block ends without an exception.

    The temporary file stands in the same folder, so the rename is atomic; its bytes are on disk before it gets its
    name. After an exception it is deleted, and an older file at `path` is untouched. A symbolic link stays a link: its
    target is replaced. Something that is neither a file nor a folder (`/dev/null`, a pipe) is yielded itself.

    Args:
        path: The file to create.
        overwrite: Whether an existing file may be replaced.

    Raises:
        HscodecError: `path` exists and `overwrite` is false, is a folder, or cannot be created.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise HscodecError(f"{path} is a folder")
    if target.exists() and not target.is_file():
        yield target
        return
    _refuse_existing(target, path, overwrite)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        # Not `tempfile`: its files are private to the user, while an output should follow the umask.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise HscodecError(f"cannot create {path}: {error.strerror}") from error
    try:
        yield temporary
        _sync(temporary)
        _refuse_existing(target, path, overwrite)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_writer(path: str | Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Like `atomic_path`, but yield the temporary file opened for reading and writing bytes.

    Raises:
        HscodecError: As `atomic_path`.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        # A device or a pipe cannot be opened for update.
        with open(temporary, "w+b" if temporary.is_file() else "wb") as file:
            yield file


def _refuse_existing(target: Path, path: str | Path, overwrite: bool) -> None:
    if not overwrite and target.exists():
        raise HscodecError(f"{path} exists; use -f to overwrite")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
