"""Rebuild a corpus that `corpus_pack` packed, for training.

What is done is noted in the folder as `unpacked.json`: which pack, and the digest of each finished shard. So unpacking
goes on where it was interrupted, unpacking twice does nothing the second time, and nothing is replaced that is not of
the pack.
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hscodec.atomic import atomic_writer
from hscodec.config import from_mapping
from hscodec.errors import ConfigError, CorpusError
from hscodec.training.corpus_contents import Contents, ShardPiece, assign, parse_contents, parse_manifest
from hscodec.training.corpus_fetch import Progress
from hscodec.training.corpus_pack import open_samples, pcm_bytes
from hscodec.training.corpus_parts import (
    CONTENTS_MEMBER,
    MANIFEST_MEMBER,
    MAX_STAMP_BYTES,
    MAX_TABLE_BYTES,
    STAMP_MEMBER,
    OpenPart,
    list_parts,
    open_part,
    part_name,
)
from hscodec.training.corpus_pieces import Codec, decode_piece, max_piece_bytes
from hscodec.training.corpus_prepare import file_sha256

JOURNAL_FILE = "unpacked.json"

_MAX_NAMED = 5
_MAX_JOURNAL_BYTES = 64 << 20


@dataclass(frozen=True)
class _Pack:
    """A pack whose parts are all there; what they hold is checked by `_check_parts`."""

    folder: Path
    contents: Contents
    manifest: dict[str, Any]
    manifest_bytes: bytes
    pieces: list[list[ShardPiece]]


@dataclass
class _Journal:
    """What was unpacked into a folder.

    Attributes:
        pack_id: From which pack.
        shards: SHA-256 of the samples, by shard.
    """

    pack_id: str = ""
    shards: dict[str, str] = field(default_factory=dict)


def unpack(
    parts_folder: str | Path, out_folder: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Rebuild the corpus that a folder of parts holds; every part is checked before anything is written.

    Args:
        parts_folder: Holds all parts of one pack, and no part of another.
        out_folder: Where shards and `manifest.json` go; created if missing. The manifest is written last.
        overwrite: Whether files of another corpus, or changed since an earlier run, may be replaced.
        progress: Called with what is being done, how much is done, and how much there is.

    Returns:
        The manifest.

    Raises:
        CorpusError: A part is missing, damaged or of another pack; the message names it. Or the folder holds other
            files, or has no room.
        HscodecError: A file cannot be written.
    """
    out_folder = Path(out_folder)
    pack = _open_pack(Path(parts_folder))
    _check_parts(pack, progress)
    out_folder.mkdir(parents=True, exist_ok=True)
    journal = _read_journal(out_folder)
    if journal.pack_id != pack.contents.pack_id:
        journal = _Journal()
    manifest_path = out_folder / "manifest.json"
    has_manifest = manifest_path.exists() and manifest_path.read_bytes() == pack.manifest_bytes
    if manifest_path.exists() and not has_manifest and not overwrite:
        raise CorpusError(f"{manifest_path} is of another corpus; use -f to overwrite")
    shards = pack.manifest["shards"]
    finished: dict[str, str] = {}
    for index, entry in enumerate(shards):
        if progress:
            progress(f"comparing {entry['name']}", index, len(shards))
        if _is_finished(entry, out_folder, journal, overwrite):
            finished[entry["name"]] = journal.shards[entry["name"]]
    _check_space(pack, out_folder, finished)
    if manifest_path.exists() and not has_manifest:
        manifest_path.unlink()  # so that nobody trains from half of one corpus and half of another
    if len(finished) < len(shards):
        _write_shards(pack, out_folder, _Journal(pack.contents.pack_id, finished), progress)
    if not manifest_path.exists():
        with atomic_writer(manifest_path) as file:
            file.write(pack.manifest_bytes)
    return pack.manifest


def _open_pack(folder: Path) -> _Pack:
    parts = list_parts(folder)
    first = folder / part_name(0)
    if 0 not in parts:
        raise CorpusError(f"{first} is missing; it is written last, so a pack without it may not be complete")
    with open_part(first) as part:
        part.require([CONTENTS_MEMBER, MANIFEST_MEMBER])
        contents_bytes = part.read(CONTENTS_MEMBER, max_bytes=MAX_TABLE_BYTES)
        manifest_bytes = part.read(MANIFEST_MEMBER, max_bytes=MAX_TABLE_BYTES)
    with _naming(first):
        contents, manifest = parse_contents(contents_bytes), parse_manifest(manifest_bytes)
    wanted = set(range(1 + len(contents.parts)))
    if missing := sorted(wanted - set(parts)):
        raise CorpusError(f"{folder}: {_names(missing)} missing; the pack has {len(wanted)} parts")
    if stray := sorted(set(parts) - wanted):
        raise CorpusError(f"{folder}: {_names(stray)} not of this pack, which has {len(wanted)} parts")
    with _naming(first):
        pieces = assign(manifest, contents)
    return _Pack(folder, contents, manifest, manifest_bytes, pieces)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the path of a part, or of what is in it, in front of what is wrong with it."""
    try:
        yield
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from error


def _names(indices: list[int]) -> str:
    names = ", ".join(part_name(index) for index in indices[:_MAX_NAMED])
    more = f" and {len(indices) - _MAX_NAMED} more" if len(indices) > _MAX_NAMED else ""
    return f"{names}{more} {'is' if len(indices) == 1 else 'are'}"


def _check_parts(pack: _Pack, progress: Progress | None) -> None:
    """Compare every part with the table of contents.

    Raises:
        CorpusError: A part is damaged, of another pack, or in the place of another.
    """
    for index, (entry, pieces) in enumerate(zip(pack.contents.parts, pack.pieces, strict=True), start=1):
        path = pack.folder / part_name(index)
        with open_part(path) as part:
            _check_stamp(part, index, pack.contents.pack_id)
            if path.stat().st_size != entry.num_bytes or file_sha256(path) != entry.sha256:
                raise CorpusError(f"{path}: damaged; copy it again")
            part.require([STAMP_MEMBER, *(piece.member(pack.contents.codec) for piece in pieces)])
        if progress:
            progress(f"checking {path.name}", index, len(pack.contents.parts))


def _check_stamp(part: OpenPart, index: int, pack_id: str) -> None:
    try:
        stamp = json.loads(part.read(STAMP_MEMBER, max_bytes=MAX_STAMP_BYTES))
        found_id, found_index = stamp["pack_id"], stamp["index"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorpusError(f"{part.path}: damaged, or not a part: {STAMP_MEMBER} cannot be read") from error
    if found_id != pack_id:
        raise CorpusError(f"{part.path}: is a part of another pack")
    if found_index != index:
        raise CorpusError(f"{part.path}: is part {found_index!r} of this pack under a wrong name")


def _read_journal(folder: Path) -> _Journal:
    """Return what a folder says was unpacked into it; nothing if it does not say so, or not legibly."""
    path = folder / JOURNAL_FILE
    try:
        if path.stat().st_size <= _MAX_JOURNAL_BYTES:
            return from_mapping(_Journal, json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError, RecursionError, ConfigError):
        pass
    return _Journal()


def _write_journal(folder: Path, journal: _Journal) -> None:
    with atomic_writer(folder / JOURNAL_FILE, overwrite=True) as file:
        file.write(json.dumps(asdict(journal)).encode())


def _is_finished(entry: dict[str, Any], folder: Path, journal: _Journal, overwrite: bool) -> bool:
    """Return whether a shard is there as this pack has it.

    Raises:
        CorpusError: There is another file in its place, and it may not be replaced.
    """
    path = folder / f"{entry['name']}.npy"
    if not path.exists():
        return False
    noted = journal.shards.get(entry["name"])
    # Interrupted between a shard and the note of it, a folder holds one shard more than it says.
    if noted is None and journal.pack_id:
        return False
    if noted is not None and _digest(folder, entry) == noted:
        return True
    if not overwrite:
        reason = "is not of this pack" if noted is None else "was changed since it was unpacked"
        raise CorpusError(f"{path} {reason}; use -f to overwrite")
    return False


def _digest(folder: Path, entry: dict[str, Any]) -> str | None:
    try:
        samples = open_samples(folder, entry)
    except CorpusError:
        return None
    digest = hashlib.sha256()
    block = 1 << 20
    for start in range(0, len(samples), block):
        digest.update(pcm_bytes(samples[start : start + block]))
    return digest.hexdigest()


def _check_space(pack: _Pack, folder: Path, finished: Collection[str]) -> None:
    wanted = sum(2 * entry["num_samples"] for entry in pack.manifest["shards"] if entry["name"] not in finished)
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise CorpusError(f"{folder}: {wanted / 1e9:.2f} GB are needed, and {free / 1e9:.2f} GB are free")


def _write_shards(pack: _Pack, folder: Path, journal: _Journal, progress: Progress | None) -> None:
    """Write the shards that the journal does not name, and note each."""
    _write_journal(folder, journal)  # from now on, what has the name of a shard is of this pack
    total = sum(entry["num_samples"] for entry in pack.manifest["shards"])
    done = 0
    with _PieceReader(pack) as reader:
        for entry in pack.manifest["shards"]:
            name = entry["name"]
            if name not in journal.shards:
                digest = hashlib.sha256()
                with atomic_writer(folder / f"{name}.npy", overwrite=True) as file:
                    header = {"descr": "<i2", "fortran_order": False, "shape": (entry["num_samples"],)}
                    np.lib.format.write_array_header_1_0(file, header)
                    for samples in reader.read(name):
                        content = pcm_bytes(samples)
                        digest.update(content)
                        file.write(content)
                        done += len(samples)
                        if progress:
                            progress(name, done, total)
                    if pack.contents.pcm_sha256.get(name, digest.hexdigest()) != digest.hexdigest():
                        raise CorpusError(f"{pack.folder}: the samples of {name} are not those that were packed")
                journal.shards[name] = digest.hexdigest()
                _write_journal(folder, journal)
            else:
                done += entry["num_samples"]


class _PieceReader:
    """Decodes the pieces of shards; a context manager. The part that was used last stays open."""

    def __init__(self, pack: _Pack) -> None:
        self._folder = pack.folder
        self._codec: Codec = pack.contents.codec
        self._places: dict[str, list[tuple[int, ShardPiece]]] = {}
        for index, pieces in enumerate(pack.pieces, start=1):
            for piece in pieces:
                self._places.setdefault(piece.shard, []).append((index, piece))
        self._stack = ExitStack()
        self._part: tuple[int, OpenPart] | None = None

    def __enter__(self) -> "_PieceReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def read(self, shard: str) -> Iterator[np.ndarray]:
        """Yield the samples of a shard, piece by piece.

        Shape:
            - Output: `[T]`, int16, each

        Raises:
            CorpusError: A piece cannot be decoded; the message names its part.
        """
        for index, piece in self._places[shard]:
            part = self._open(index)
            member = piece.member(self._codec)
            num_samples = piece.stop_samples - piece.start_samples
            data = part.read(member, max_bytes=max_piece_bytes(num_samples))
            with _naming(part.path / member):
                samples = decode_piece(data, self._codec, num_samples=num_samples)
            yield samples

    def _open(self, index: int) -> OpenPart:
        if self._part is None or self._part[0] != index:
            self._stack.close()
            self._part = (index, self._stack.enter_context(open_part(self._folder / part_name(index))))
        return self._part[1]
