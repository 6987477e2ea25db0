"""The parts of a packed corpus: zip archives `part-000.zip`, `part-001.zip`, ... of limited size, without compression.

The first holds `contents.json` and `manifest.json` and is written last, so a pack without it is not complete. Each of
the others holds `part.json`, which says which part of which pack it is, and coded pieces, `SHARD/START.flac` (or
`.opus`).
"""

import contextlib
import json
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from hscodec.atomic import atomic_writer
from hscodec.errors import CorpusError
from hscodec.training.corpus_contents import MAX_PIECES_PER_PART, PartEntry
from hscodec.training.corpus_prepare import file_sha256

MAX_PART_BYTES = 1 << 30
MAX_TABLE_BYTES = 64 << 20
"""Of the table of contents and of the manifest, each."""
MAX_STAMP_BYTES = 1 << 10
CONTENTS_MEMBER = "contents.json"
MANIFEST_MEMBER = "manifest.json"
STAMP_MEMBER = "part.json"

_FILE_NAME = re.compile(r"part-(\d{3}|[1-9]\d{3,5})\.zip")
_MAX_DIRECTORY_BYTES = 8 << 20
_MEMBER_BYTES = 30 + 46
"""Of a local and a central header, each without the name."""
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_LOCATOR_BYTES = 20
_ZIP64_LOCATOR_SIGNATURE = b"PK\x06\x07"


def part_name(index: int) -> str:
    """Return the file name of a part."""
    return f"part-{index:03}.zip"


def list_parts(folder: Path) -> dict[int, Path]:
    """Return the parts in a folder by their numbers, sorted; nothing if there is no such folder."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = {int(match[1]): path for path in paths if (match := _FILE_NAME.fullmatch(path.name))}
    return dict(sorted(found.items()))


class PartWriter:
    """Writes pieces into parts 1, 2, ...; a context manager. A part gets its name when it is complete.

    Args:
        folder: Where the parts go.
        pack_id: Stands in each part.
        part_bytes: No part is larger.
    """

    def __init__(self, folder: Path, *, pack_id: str, part_bytes: int) -> None:
        self.entries: list[PartEntry] = []
        self._folder = folder
        self._pack_id = pack_id
        self._part_bytes = part_bytes
        self._archive: zipfile.ZipFile | None = None
        self._stack = contextlib.ExitStack()
        self._num_bytes = 0
        self._num_pieces = 0

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish_part()
        else:
            self._stack.__exit__(kind, error, trace)

    def add(self, member: str, data: bytes) -> None:
        """Append a piece, to a new part if the present one has no room for it.

        Raises:
            CorpusError: The piece is larger than a part may be.
            HscodecError: A part cannot be written.
        """
        num_bytes = _member_bytes(member, data)
        if self._num_bytes + num_bytes > self._part_bytes or self._num_pieces == MAX_PIECES_PER_PART:
            self._finish_part()
        archive = self._archive or self._start_part()
        if self._num_bytes + num_bytes > self._part_bytes:
            raise CorpusError(f"{member} is larger than a part may be")
        archive.writestr(_member(member), data)
        self._num_bytes += num_bytes
        self._num_pieces += 1

    def _start_part(self) -> zipfile.ZipFile:
        index = len(self.entries) + 1
        file = self._stack.enter_context(atomic_writer(self._folder / part_name(index)))
        self._archive = self._stack.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_STORED))
        stamp = json.dumps({"pack_id": self._pack_id, "index": index}).encode()
        self._archive.writestr(_member(STAMP_MEMBER), stamp)
        self._num_bytes = _END.size + _member_bytes(STAMP_MEMBER, stamp)
        self._num_pieces = 0
        return self._archive

    def _finish_part(self) -> None:
        if self._archive is None:
            return
        self._stack.close()
        self._archive = None
        path = self._folder / part_name(len(self.entries) + 1)
        self.entries.append(PartEntry(path.stat().st_size, file_sha256(path), self._num_pieces))


def first_part_bytes(members: Mapping[str, bytes]) -> int:
    """Return how large the first part is with these members."""
    return _END.size + sum(_member_bytes(name, data) for name, data in members.items())


def write_first_part(folder: Path, members: Mapping[str, bytes]) -> None:
    """Write `part-000.zip`.

    Raises:
        HscodecError: It cannot be written.
    """
    with (
        atomic_writer(folder / part_name(0)) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, data in members.items():
            archive.writestr(_member(name), data)


class OpenPart:
    """A part that is read: its members by name, none of which is ever written under that name."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._members = {info.filename: info for info in archive.infolist()}

    def require(self, names: Iterable[str]) -> None:
        """Refuse the part if it holds other members than these.

        Raises:
            CorpusError: A member is missing, or one is there that should not be.
        """
        wanted = set(names)
        if stray := sorted(set(self._members) - wanted):
            raise CorpusError(f"{self.path}: holds {stray[0]!r}, which no part may hold there")
        if missing := sorted(wanted - set(self._members)):
            raise CorpusError(f"{self.path}: {missing[0]} is missing")

    def read(self, name: str, *, max_bytes: int = MAX_PART_BYTES) -> bytes:
        """Return the bytes of a member.

        Raises:
            CorpusError: It is missing, damaged or larger than `max_bytes`.
        """
        info = self._members.get(name)
        if info is None:
            raise CorpusError(f"{self.path}: {name} is missing")
        if info.file_size > max_bytes:
            raise CorpusError(f"{self.path}: {name} has {info.file_size} bytes")
        with _naming_damage(self.path):
            return self._archive.read(info)


@contextlib.contextmanager
def open_part(path: Path) -> Iterator[OpenPart]:
    """Open a part, after checking that its directory is of a sane size and that nothing in it is compressed.

    Raises:
        CorpusError: The file cannot be read, is not a part, or is damaged.
    """
    with contextlib.ExitStack() as stack:
        with _naming_damage(path):
            file = stack.enter_context(path.open("rb"))
            _check_end(file, path.stat().st_size)
            archive = stack.enter_context(zipfile.ZipFile(file))
            _check_members(archive, path.stat().st_size)
        yield OpenPart(path, archive)


def _check_end(file: BinaryIO, num_bytes: int) -> None:
    # zipfile reads a directory of any size, also one of gigabytes behind an archive's comment or zip64 record.
    if not _END.size <= num_bytes <= MAX_PART_BYTES:
        raise ValueError(f"{num_bytes} bytes")
    file.seek(max(0, num_bytes - _END.size - _ZIP64_LOCATOR_BYTES))
    tail = file.read(_ZIP64_LOCATOR_BYTES + _END.size)
    signature, _, _, _, _, directory_bytes, directory_start, comment_bytes = _END.unpack(tail[-_END.size :])
    if signature != _END_SIGNATURE or comment_bytes or tail.startswith(_ZIP64_LOCATOR_SIGNATURE):
        raise ValueError("its end is missing")
    if directory_bytes > _MAX_DIRECTORY_BYTES or directory_start + directory_bytes + _END.size != num_bytes:
        raise ValueError("its directory is not where it should be")


def _check_members(archive: zipfile.ZipFile, num_bytes: int) -> None:
    members = archive.infolist()
    if len({info.filename for info in members}) != len(members):
        raise ValueError("a member is there twice")
    if any(info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size for info in members):
        raise ValueError("a member is compressed")
    if sum(info.file_size for info in members) > num_bytes:
        raise ValueError("its members overlap")


@contextlib.contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Turn whatever zipfile raises for damaged archives into one error that names the part."""
    try:
        yield
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, struct.error) as error:
        raise CorpusError(f"{path}: damaged, or not a part: {error}") from error


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # without a date, so that equal members are equal bytes
    info.external_attr = 0o644 << 16  # for who unpacks a part by other means
    return info


def _member_bytes(name: str, data: bytes) -> int:
    return _MEMBER_BYTES + 2 * len(name.encode()) + len(data)
