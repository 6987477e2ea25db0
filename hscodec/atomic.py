"""Output files that appear whole or not at all: write a temporary neighbour, then rename it.

The temporary file of `sound.hsnd` is called `.sound.hsnd.1a2b3c4d.part`: hidden, and beside it so that the rename is
atomic. It is deleted when writing fails and when the process is interrupted, terminated or hung up. `kill -9` and a
power failure may leave it behind; nothing reads such a file, and it can be deleted.
"""

import contextlib
import os
import secrets
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NoReturn

from hscodec.errors import HscodecError

_MAX_NAME_BYTES = 100
"""How much of the name the temporary name repeats; file systems allow 255 bytes in all."""
_TERMINATIONS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def check_output(path: str | Path, *, overwrite: bool, source: str | Path | None = None) -> None:
    """Refuse an output that would destroy something or cannot be created, before any work is done.

    Args:
        path: The file to create.
        overwrite: Whether an existing file may be replaced. The source never is, nor a folder.
        source: The file that is read meanwhile.

    Raises:
        HscodecError: `path` is the source (also by another name: a link), a folder, exists and may not be replaced, or
            its folder does not exist or cannot be written to.
    """
    target = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):  # who reads the source says what is wrong with it
        if source is not None and os.path.samefile(source, target):
            raise HscodecError(f"{path}: input and output are the same file; name another output")
    if target.is_dir():
        raise HscodecError(f"{path}: is a folder")
    if target.is_file() and not overwrite:
        raise _exists(path)
    if target.exists() and not target.is_file():
        return
    if not target.parent.is_dir():
        raise HscodecError(f"cannot create {path}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise HscodecError(f"cannot create {path}: the folder {target.parent} cannot be written to")


@contextlib.contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the path of a new, empty temporary file that becomes `path` when the block ends without an exception.

    Its bytes are on disk before it gets its name, and the name is before the block is left (POSIX). After an exception
    the temporary file is deleted, and an older file at `path` is untouched. A symbolic link stays a link: its target is
    replaced. A file that is replaced hands on its permissions. Something that is neither a file nor a folder
    (`/dev/null`, a pipe) is yielded itself.

    In the main thread, while SIGTERM and SIGHUP would kill the process, they raise SystemExit inside the block.

    Args:
        path: The file to create.
        overwrite: Whether an existing file may be replaced.

    Raises:
        HscodecError: As `check_output`, or the file cannot be created or written.
    """
    check_output(path, overwrite=overwrite)
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    stem = target.name.encode(errors="surrogateescape")[:_MAX_NAME_BYTES].decode(errors="ignore")
    temporary = target.with_name(f".{stem}.{secrets.token_hex(4)}.part")
    with _unwinding():
        try:
            _create(temporary, target, path)
            yield temporary
            _give_name(temporary, target, path, overwrite)
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


def _create(temporary: Path, target: Path, path: str | Path) -> None:
    try:
        # Not `tempfile`: its files are private to the user, while an output should follow the umask. What replaces a
        # private file has to be private from the start.
        mode = 0o600 | _permissions(target) if target.exists() else 0o666
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        raise HscodecError(f"cannot create {path}: {error.strerror}") from error


def _give_name(temporary: Path, target: Path, path: str | Path, overwrite: bool) -> None:
    try:
        _sync(temporary)
        if overwrite:
            with contextlib.suppress(OSError):  # nothing to replace, or a file system without permissions
                os.chmod(temporary, _permissions(target))
            os.replace(temporary, target)
        else:
            _name_if_free(temporary, target)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise HscodecError(f"cannot write {path}: {error.strerror}") from error
    # Not every system can do this, and the file has its name already.
    with contextlib.suppress(OSError):
        _sync(target.parent)


def _name_if_free(temporary: Path, target: Path) -> None:
    """Rename, but fail if somebody else has taken the name since it was checked."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system: there is a moment between check and rename
        if os.path.lexists(target):
            raise FileExistsError from None
        os.replace(temporary, target)


def _permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o777


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(path: str | Path) -> HscodecError:
    return HscodecError(f"{path} exists; use -f to overwrite")


@contextlib.contextmanager
def _unwinding() -> Iterator[None]:
    """Turn signals that would kill this process, without cleaning up, into an exception."""
    numbers = []
    if threading.current_thread() is threading.main_thread():
        numbers = [number for number in _TERMINATIONS if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in numbers:
            if signal.getsignal(number) is _exit:
                signal.signal(number, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
