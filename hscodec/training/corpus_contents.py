"""What a packed corpus says about itself: its manifest, how its shards were cut, and what each part must hold.

Parts come from strangers, so everything here is checked before it is used: names before they become file names, sizes
before they become memory or work.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hscodec.config import from_mapping
from hscodec.errors import ConfigError, CorpusError
from hscodec.training.corpus import Kind
from hscodec.training.corpus_pieces import MAX_PIECE_SAMPLES, Codec
from hscodec.training.corpus_prepare import MANIFEST_VERSION
from hscodec.training.corpus_signal import CORPUS_RATE_HZ

MIN_PIECE_SAMPLES = 16_000
MAX_PIECES_PER_PART = 20_000
MAX_CORPUS_SAMPLES = 2_000 * 3_600 * CORPUS_RATE_HZ
"""Two thousand hours, 691 GB."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_MESSAGE_LETTERS = 300
"""A wrong value is quoted in the message, and may be long."""


@dataclass(frozen=True)
class ShardPiece:
    """The range `[start_samples, stop_samples)` of a shard."""

    shard: str
    start_samples: int
    stop_samples: int

    def member(self, codec: Codec) -> str:
        """Return the name under which the piece stands in its part."""
        return f"{self.shard}/{self.start_samples:012}.{codec}"


@dataclass(frozen=True)
class PartEntry:
    """What a part must be: its size, its SHA-256 (hexadecimal), and how many pieces it holds."""

    num_bytes: int
    sha256: str
    num_pieces: int

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ConfigError("sha256 is none")
        if not 1 <= self.num_pieces <= MAX_PIECES_PER_PART:
            raise ConfigError(f"num_pieces must be 1 to {MAX_PIECES_PER_PART}")


@dataclass(frozen=True)
class Contents:
    """The table of contents, which stands in the first part.

    Attributes:
        format: Says what this is.
        version: Of the layout.
        pack_id: Random, and the same in all parts of a pack.
        codec: How the pieces are coded.
        piece_samples: Shards are cut at multiples of this; their last pieces are shorter.
        pcm_sha256: By shard, of its samples as little-endian int16 (hexadecimal); empty if the codec is not exact.
        parts: The second and all further parts. Pieces stand in them in the order of the manifest.
    """

    pack_id: str
    codec: Codec
    piece_samples: int
    pcm_sha256: dict[str, str]
    parts: tuple[PartEntry, ...]
    format: Literal["hscodec corpus pack"] = "hscodec corpus pack"
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        if not MIN_PIECE_SAMPLES <= self.piece_samples <= MAX_PIECE_SAMPLES:
            raise ConfigError(f"piece_samples must be {MIN_PIECE_SAMPLES} to {MAX_PIECE_SAMPLES}")
        if not self.parts:
            raise ConfigError("parts is empty")


def parse_contents(data: bytes) -> Contents:
    """Read a table of contents.

    Raises:
        CorpusError: It is none, or of another version.
    """
    try:
        return from_mapping(Contents, _parse_json(data), "table of contents")
    except ConfigError as error:
        raise CorpusError(str(error)[:_MAX_MESSAGE_LETTERS]) from error


def parse_manifest(data: bytes) -> dict[str, Any]:
    """Read the manifest of a packed corpus: that of a prepared one, with training shards only.

    Raises:
        CorpusError: It is none, or names, sizes or clips in it are not what they can be.
    """
    manifest = _parse_json(data)
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Any) -> None:
    """Refuse a manifest that cannot be packed or must not be unpacked.

    Raises:
        CorpusError: Not a manifest, no training shard in it, or one whose name, size or clips cannot be.
    """
    if not isinstance(manifest, dict) or manifest.get("version") != MANIFEST_VERSION:
        raise CorpusError(f"not a corpus manifest of version {MANIFEST_VERSION}")
    if manifest.get("sample_rate") != CORPUS_RATE_HZ:
        raise CorpusError(f"the manifest's sample rate is not {CORPUS_RATE_HZ} Hz")
    shards = manifest.get("shards")
    if not isinstance(shards, list) or not shards:
        raise CorpusError("no training shards in the manifest")
    names: set[str] = set()
    total_samples = 0
    for entry in shards:
        _check_shard(entry)
        # Names become file names, and not every file system tells `A` from `a`.
        if entry["name"].casefold() in names:
            raise CorpusError(f"two shards of the manifest are named {entry['name']}")
        names.add(entry["name"].casefold())
        total_samples += entry["num_samples"]
    if total_samples > MAX_CORPUS_SAMPLES:
        raise CorpusError(f"the manifest announces {total_samples / CORPUS_RATE_HZ / 3600:.3g} hours of audio")


def _check_shard(entry: Any) -> None:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CorpusError(f"a shard of the manifest cannot be named {str(name)[:_MAX_MESSAGE_LETTERS]!r}")
    num_samples, clips = entry.get("num_samples"), entry.get("clips")
    checks = {
        "role": entry.get("role") == "train",
        "kind": entry.get("kind") in get_args(Kind),
        "file": entry.get("file", f"{name}.npy") == f"{name}.npy",
        "num_samples": type(num_samples) is int and 0 < num_samples <= MAX_CORPUS_SAMPLES,
        "clips": isinstance(clips, list) and bool(clips) and all(_is_clip(clip) for clip in clips),
    }
    if wrong := [key for key, is_right in checks.items() if not is_right]:
        raise CorpusError(f"shard {name} of the manifest: {wrong[0]} is missing or wrong")


def _is_clip(row: Any) -> bool:
    """Return whether a row is `[start_samples, stop_samples, bandwidth_hz]`."""
    if not isinstance(row, list) or len(row) != 3 or not all(type(value) in (int, float) for value in row):
        return False
    start, stop, bandwidth_hz = row
    return 0 <= start < stop <= MAX_CORPUS_SAMPLES and 0 < bandwidth_hz <= CORPUS_RATE_HZ / 2


def cut(manifest: dict[str, Any], piece_samples: int) -> list[ShardPiece]:
    """Return the pieces of all shards, in order."""
    return [
        ShardPiece(entry["name"], start, min(start + piece_samples, entry["num_samples"]))
        for entry in manifest["shards"]
        for start in range(0, entry["num_samples"], piece_samples)
    ]


def assign(manifest: dict[str, Any], contents: Contents) -> list[list[ShardPiece]]:
    """Return the pieces that each part holds, the first part, which holds none, left out.

    Raises:
        CorpusError: The table of contents does not fit the manifest.
    """
    # Counted before anything is listed: the list is no longer than the table says.
    num_pieces = sum(-(-entry["num_samples"] // contents.piece_samples) for entry in manifest["shards"])
    names = {entry["name"] for entry in manifest["shards"]} if contents.codec == "flac" else set[str]()
    if num_pieces != sum(part.num_pieces for part in contents.parts) or set(contents.pcm_sha256) != names:
        raise CorpusError("the table of contents does not fit the manifest")
    pieces = iter(cut(manifest, contents.piece_samples))
    return [[next(pieces) for _ in range(part.num_pieces)] for part in contents.parts]


def _parse_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"not JSON: {str(error)[:_MAX_MESSAGE_LETTERS]}") from error
