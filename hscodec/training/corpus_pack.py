"""Pack the training shards of a prepared corpus into files of limited size, to be carried to another machine.

`corpus_parts` describes the files, `corpus_contents` their table of contents; `corpus_unpack` is the way back.
"""

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hscodec.errors import CorpusError
from hscodec.training.corpus_contents import Contents, ShardPiece, check_manifest, cut
from hscodec.training.corpus_fetch import Progress
from hscodec.training.corpus_parts import (
    CONTENTS_MEMBER,
    MANIFEST_MEMBER,
    MAX_PART_BYTES,
    MAX_TABLE_BYTES,
    PartWriter,
    first_part_bytes,
    list_parts,
    write_first_part,
)
from hscodec.training.corpus_pieces import CODECS, Codec, encode_piece, max_piece_bytes, samples_that_fit
from hscodec.training.corpus_prepare import load_manifest

MIN_PART_BYTES = 1 << 17

_ENTRY_BYTES = 160
"""At least what a part takes in the table of contents."""
_TABLE_BYTES = 4 << 10
"""At least what else stands in the table of contents and around it, without digests of shards."""
_DIGEST_BYTES = 180
"""At least what the digest of a shard takes in it, with the longest name."""


@dataclass(frozen=True)
class PackResult:
    """What was written.

    Attributes:
        num_parts: How many files, the first one included.
        num_bytes: All of them together.
        manifest: Of the training shards that they hold.
    """

    num_parts: int
    num_bytes: int
    manifest: dict[str, Any]


def pack(
    folder: str | Path,
    parts_folder: str | Path,
    *,
    part_bytes: int,
    codec: Codec = "flac",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PackResult:
    """Pack the training shards of a prepared corpus.

    Evaluation audio stays behind, and so do its entries in the manifest. `part-000.zip` is written last: before that,
    what is in the folder is no pack.

    Args:
        folder: The corpus.
        parts_folder: Where `part-000.zip` and the others go; created if missing.
        part_bytes: No part is larger; at least `MIN_PART_BYTES`, at most `MAX_PART_BYTES`.
        codec: `flac` is exact; `opus` is much smaller and not exact.
        overwrite: Whether parts that are in the folder may be deleted. This happens first.
        progress: Called with the name of a shard, the samples done and the samples in all.

    Raises:
        CorpusError: There is no usable corpus, there are parts and they may not be deleted, or a part is too small for
            the manifest.
        HscodecError: A part cannot be written.
    """
    folder, parts_folder = Path(folder), Path(parts_folder)
    if not MIN_PART_BYTES <= part_bytes <= MAX_PART_BYTES or codec not in CODECS:
        raise CorpusError(f"cannot pack parts of {part_bytes} bytes with codec {codec!r}")
    manifest = _training_manifest(folder, codec)
    shards = {entry["name"]: open_samples(folder, entry) for entry in manifest["shards"]}
    manifest_bytes = json.dumps(manifest, separators=(",", ":")).encode()
    piece_samples = samples_that_fit(part_bytes // 2)
    pieces = cut(manifest, piece_samples)
    _check_room(part_bytes, manifest_bytes, pieces)
    _clear(parts_folder, overwrite=overwrite)

    pack_id = secrets.token_hex(16)
    digests = {name: hashlib.sha256() for name in shards}
    total_samples = sum(map(len, shards.values()))
    done_samples = 0
    with PartWriter(parts_folder, pack_id=pack_id, part_bytes=part_bytes) as writer:
        for piece in pieces:
            shard, start, stop = shards[piece.shard], piece.start_samples, piece.stop_samples
            digests[piece.shard].update(pcm_bytes(shard[start:stop]))
            writer.add(piece.member(codec), encode_piece(shard, start, stop, codec))
            done_samples += stop - start
            if progress:
                progress(piece.shard, done_samples, total_samples)
    pcm_sha256 = {name: digest.hexdigest() for name, digest in digests.items()} if codec == "flac" else {}
    contents = Contents(pack_id, codec, piece_samples, pcm_sha256, tuple(writer.entries))
    members = {CONTENTS_MEMBER: json.dumps(asdict(contents)).encode(), MANIFEST_MEMBER: manifest_bytes}
    write_first_part(parts_folder, members)
    num_bytes = first_part_bytes(members) + sum(part.num_bytes for part in contents.parts)
    return PackResult(1 + len(contents.parts), num_bytes, manifest)


def open_samples(folder: Path, entry: dict[str, Any]) -> np.ndarray:
    """Open a shard, memory-mapped.

    Shape:
        - Output: `[T]`, int16, with T as the manifest says

    Raises:
        CorpusError: It is missing, or not what its entry in the manifest says.
    """
    path = folder / f"{entry['name']}.npy"
    try:
        samples = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(f"{path}: cannot be read: {error}") from error
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.shape != (entry["num_samples"],):
        raise CorpusError(f"{path}: not {entry['num_samples']} samples of int16")
    return samples


def pcm_bytes(samples: np.ndarray) -> bytes:
    """Return samples as they stand in a shard: little-endian int16."""
    return samples.astype("<i2", copy=False).tobytes()


def _training_manifest(folder: Path, codec: Codec) -> dict[str, Any]:
    manifest = load_manifest(folder)
    try:
        shards = [entry for entry in manifest["shards"] if entry["role"] == "train" and entry["num_samples"] > 0]
        if codec == "opus":
            # It is that of the .npy file, which will be another.
            shards = [{key: value for key, value in entry.items() if key != "sha256"} for entry in shards]
        manifest = manifest | {"shards": shards, "eval": []}
        check_manifest(manifest)
    except (KeyError, TypeError) as error:
        raise CorpusError(f"{folder}: the manifest is damaged: {error!r}") from error
    except CorpusError as error:
        raise CorpusError(f"{folder}: {error}") from error
    return manifest


def _check_room(part_bytes: int, manifest_bytes: bytes, pieces: list[ShardPiece]) -> None:
    """Refuse parts too small for the first one, before hours of work."""
    # Pieces take at most half a part, so parts are more than half full.
    coded_bytes = sum(max_piece_bytes(piece.stop_samples - piece.start_samples) for piece in pieces)
    num_shards = len({piece.shard for piece in pieces})
    num_parts = 1 + coded_bytes // (part_bytes // 2)
    table_bytes = _TABLE_BYTES + _DIGEST_BYTES * num_shards + _ENTRY_BYTES * num_parts
    first_bytes = table_bytes + len(manifest_bytes)
    if first_bytes > part_bytes:
        sizes = f"parts of {part_bytes / (1 << 20):.2f} MiB are too small"
        raise CorpusError(f"{sizes}: the first one has to hold the manifest, {first_bytes / (1 << 20):.2f} MiB")
    if max(table_bytes, len(manifest_bytes)) > MAX_TABLE_BYTES:
        raise CorpusError("the manifest is too long")


def _clear(parts_folder: Path, *, overwrite: bool) -> None:
    parts_folder.mkdir(parents=True, exist_ok=True)
    old = list_parts(parts_folder)
    if old and not overwrite:
        raise CorpusError(f"{parts_folder}: holds parts already, the first is {min(old)}; use -f to overwrite")
    for path in old.values():  # the first one first: what is left if this is interrupted is no pack
        path.unlink()
