"""Byte layout of `.hsnd` version 1: markers, caps, and the three records, which check themselves.

`docs/format.md` is normative and explains each choice; a test holds its tables and caps to this module.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from struct import Struct
from typing import NamedTuple

from hscodec import rates
from hscodec.container.codes import ChunkOrder as ChunkOrder
from hscodec.container.codes import SampleFormat, TargetNetwork, member
from hscodec.container.network import NetworkRecord, check_network, unpack_network
from hscodec.container.tags import MAX_TAG_BYTES as MAX_TAG_BYTES
from hscodec.container.tags import TAG as TAG
from hscodec.container.tags import Tags, pack_tags, unpack_tags
from hscodec.errors import FormatError

MAGIC = b"\x89HSND\r\n\x1a"
CHUNK_MARKER = b"\xb5CHK"
TRAILER_MARKER = b"\xb5IDX"
END_MARKER = b"\xb5END"

VERSION_MAJOR = 1
VERSION_MINOR = 5

MAX_SAMPLE_RATE_HZ = 768_000
MAX_CHANNELS = 64
MAX_SAMPLES = 1 << 40
MAX_HOP_SECONDS = 60
MAX_WEIGHTS = 1 << 20
MAX_QUALITY = 1000
MAX_CHUNK_SEGMENTS = 2000
MAX_CHUNK_SYMBOLS = 1 << 22
MAX_CHUNK_PAYLOAD_BYTES = 1 << 26
MAX_CHUNKS = 1 << 20
MAX_SEGMENTS = MAX_CHUNKS * MAX_CHUNK_SEGMENTS

HEADER_PREFIX = Struct("<8sBBHH")
"""The first fields of `HEADER`: enough to know whether this is a file we read, and how long its header is."""
HEADER = Struct("<8sBBHHBB16sQIIIfIHH")
CHUNK_HEADER = Struct("<4sIHBBI8s")
INDEX_ENTRY = Struct("<IH")
TRAILER_COUNTS = Struct("<IQ")
TRAILER_END = Struct("<II4s")
"""Checksum of all that precedes, byte length of the trailer, end marker. The last two need no checksum: the number of
chunks, which it covers, fixes them."""
CHECKSUM = Struct("<I")

CHUNK_OVERHEAD_BYTES = CHUNK_HEADER.size + CHECKSUM.size
TRAILER_OVERHEAD_BYTES = len(TRAILER_MARKER) + TRAILER_COUNTS.size + TRAILER_END.size

UNKNOWN_NUM_SAMPLES = (1 << 64) - 1
NO_MODEL = bytes(16)
DIGEST_BYTES = 8

HEADER_RESERVED_FLAGS = 0x00FF
HEADER_SAMPLE_FORMAT_SHIFT = 8
CHUNK_FLAG_LAST = 0x01
CHUNK_FLAG_ATTACKS = 0x02
CHUNK_FLAG_ROTATIONS = 0x04
CHUNK_FLAG_BANDWIDTH = 0x08

_U32_MAX = (1 << 32) - 1
_F32 = Struct("<f")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileHeader:
    """What a reader must know before the first chunk.

    Attributes:
        sample_rate: Rate of the sound that was encoded (Hz), 1 to `MAX_SAMPLE_RATE_HZ`.
        num_channels: 1 to `MAX_CHANNELS`.
        num_samples: Length of each channel, 0 to `MAX_SAMPLES`; None while streaming, then the trailer has it.
        num_weights: K, the weights of one segment, 1 to `MAX_WEIGHTS`.
        quality: In hundredths, 0 to `MAX_QUALITY`.
        hop_seconds: Distance between two segments (s), above 0 and up to `MAX_HOP_SECONDS`.
        gain: Factor on decoded samples; rounded to float32 here, so that encoder and decoder use the same number.
        model_id: First 16 bytes of the SHA-256 of the model file; `NO_MODEL` if no pretrained model is needed.
        target_network: Family of the target network.
        network: Shape of a target network with hidden layers; None for a lapped SIREN, which has none.
        sample_format: How the samples that were encoded had been stored.
        tags: (key, value) pairs, in order. Keys may repeat and have 1 to 255 bytes in UTF-8.
        minor: Minor version of the file that was read. `pack` always writes `VERSION_MINOR`.

    Raises:
        FormatError: If a value is out of its range.
    """

    sample_rate: int
    num_channels: int
    num_samples: int | None
    num_weights: int
    quality: int
    hop_seconds: Fraction = rates.HOP_SECONDS
    gain: float = 1.0
    model_id: bytes = NO_MODEL
    target_network: TargetNetwork = TargetNetwork.LAPPED_SIREN
    network: NetworkRecord | None = None
    sample_format: SampleFormat = SampleFormat.UNKNOWN
    tags: Tags = ()
    minor: int = field(default=VERSION_MINOR, compare=False)

    def __post_init__(self) -> None:
        _check_range("sample rate", self.sample_rate, 1, MAX_SAMPLE_RATE_HZ)
        _check_range("number of channels", self.num_channels, 1, MAX_CHANNELS)
        if self.num_samples is not None:
            _check_range("number of samples", self.num_samples, 0, MAX_SAMPLES)
        _check_range("number of weights", self.num_weights, 1, MAX_WEIGHTS)
        _check_range("quality", self.quality, 0, MAX_QUALITY)
        _check_range("hop in seconds", self.hop_seconds, Fraction(1, _U32_MAX), MAX_HOP_SECONDS)
        _check_range("hop's larger term", max(self.hop_seconds.numerator, self.hop_seconds.denominator), 1, _U32_MAX)
        if len(self.model_id) != len(NO_MODEL):
            raise FormatError(f"model id has {len(self.model_id)} bytes, not {len(NO_MODEL)}")
        object.__setattr__(self, "gain", _checked_gain(self.gain))
        object.__setattr__(self, "target_network", member(TargetNetwork, self.target_network, "target network"))
        check_network(self.target_network, self.network)
        pack_tags(self.tags)

    def pack(self) -> bytes:
        """Return the header's bytes, checksum included."""
        tags = pack_tags(self.tags)
        network = self.network.pack() if self.network else b""
        header_bytes = HEADER.size + len(tags) + len(network) + CHECKSUM.size
        num_samples = UNKNOWN_NUM_SAMPLES if self.num_samples is None else self.num_samples
        flags = self.sample_format << HEADER_SAMPLE_FORMAT_SHIFT
        fixed = HEADER.pack(
            MAGIC, VERSION_MAJOR, VERSION_MINOR, flags, header_bytes, self.target_network, self.num_channels,
            self.model_id, num_samples, self.sample_rate, self.hop_seconds.numerator, self.hop_seconds.denominator,
            self.gain, self.num_weights, self.quality, len(self.tags),
        )
        checked = fixed + tags + network
        return checked + CHECKSUM.pack(zlib.crc32(checked))

    @classmethod
    def unpack(cls, data: bytes) -> FileHeader:
        """Read a whole header, as long as `header_byte_length` says.

        Raises:
            FormatError: If it is not a header that this version reads, is damaged, or holds a value out of range.
        """
        if len(data) != header_byte_length(data[: HEADER_PREFIX.size]):
            raise FormatError("truncated: the file ends inside its header")
        if zlib.crc32(data[: -CHECKSUM.size]) != CHECKSUM.unpack(data[-CHECKSUM.size :])[0]:
            raise FormatError("header: checksum mismatch, the file is damaged")
        (_, _, minor, flags, _, target_network, num_channels, model_id, num_samples, sample_rate,
         hop_numerator, hop_denominator, gain, num_weights, quality, num_tags) = HEADER.unpack_from(data)
        if flags & HEADER_RESERVED_FLAGS:
            raise FormatError(f"header: reserved bits are set (flags {flags:#06x})")
        if not hop_denominator or math.gcd(hop_numerator, hop_denominator) != 1:
            raise FormatError(f"hop of {hop_numerator}/{hop_denominator} s is not a fraction in lowest terms")
        tags, tags_stop = unpack_tags(data[: -CHECKSUM.size], HEADER.size, num_tags)
        network, stop = unpack_network(target_network, data[: -CHECKSUM.size], tags_stop)
        # A later minor version may append fields behind these; of version 1.0, nothing can stand there.
        if minor == 0 and stop != len(data) - CHECKSUM.size:
            raise FormatError("header: unexpected bytes behind the tags")
        return cls(
            sample_rate=sample_rate, num_channels=num_channels, num_weights=num_weights, quality=quality, gain=gain,
            num_samples=None if num_samples == UNKNOWN_NUM_SAMPLES else num_samples,
            hop_seconds=Fraction(hop_numerator, hop_denominator), model_id=model_id,
            target_network=TargetNetwork(target_network), network=network, tags=tags, minor=minor,
            sample_format=_sample_format(flags),
        )

    def max_num_samples(self, num_segments: int) -> int:
        """Return the most samples that `num_segments` segments cover: S segments span S - 1 hops.

        The half sample allows for the rounding of a length that was resampled to the analysis rate.
        """
        if num_segments == 0:
            return 0
        return min(MAX_SAMPLES, math.floor((num_segments - 1) * self.hop_seconds * self.sample_rate + Fraction(1, 2)))

    def check_chunk(self, num_segments: int, name: str = "chunk") -> None:
        """Hold the size of a chunk against its cap: C * S * K weight symbols are what a decoder must keep at once.

        Raises:
            FormatError: If the chunk has more than `MAX_CHUNK_SYMBOLS`.
        """
        num_symbols = self.num_channels * num_segments * self.num_weights
        if num_symbols > MAX_CHUNK_SYMBOLS:
            raise FormatError(f"{name}: {num_symbols} weight symbols, at most {MAX_CHUNK_SYMBOLS} are allowed")

    def check_num_samples(self, num_samples: int, num_segments: int) -> None:
        """Hold the final length of the file against this header and the segments that were stored.

        Raises:
            FormatError: If the header declares another length, or the segments do not cover this one.
        """
        if self.num_samples is not None and num_samples != self.num_samples:
            raise FormatError(f"{num_samples} samples, but the header declares {self.num_samples}")
        if num_samples > (covered := self.max_num_samples(num_segments)):
            raise FormatError(f"{num_samples} samples, but {num_segments} segments cover {covered}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkHeader:
    """What stands before the payload of a chunk.

    Attributes:
        first_segment: Segments before this chunk; even.
        num_segments: Segments in this chunk; even, 2 to `MAX_CHUNK_SEGMENTS`.
        order: Order of the weight symbols in the payload.
        payload_bytes: 1 to `MAX_CHUNK_PAYLOAD_BYTES`.
        symbol_digest: Digest of the decoded symbols, `DIGEST_BYTES` long, opaque here.
        is_last: No chunk follows. A writer that cannot know leaves it False.
        has_attacks: The payload begins with attacks.
        has_rotations: The payload begins with rotations, behind the attacks if there are any.
        has_bandwidth: The payload begins with a bandwidth, behind both.

    Raises:
        FormatError: If a value is out of its range.
    """

    first_segment: int
    num_segments: int
    order: ChunkOrder
    payload_bytes: int
    symbol_digest: bytes
    is_last: bool = False
    has_attacks: bool = False
    has_rotations: bool = False
    has_bandwidth: bool = False

    def __post_init__(self) -> None:
        _check_segments(self.num_segments)
        if self.first_segment % 2:
            raise FormatError(f"chunk starts at segment {self.first_segment}, which is odd")
        _check_range("first segment", self.first_segment, 0, MAX_SEGMENTS - self.num_segments)
        _check_range("payload bytes", self.payload_bytes, 1, MAX_CHUNK_PAYLOAD_BYTES)
        object.__setattr__(self, "order", member(ChunkOrder, self.order, "symbol order"))
        if len(self.symbol_digest) != DIGEST_BYTES:
            raise FormatError(f"symbol digest has {len(self.symbol_digest)} bytes, not {DIGEST_BYTES}")

    @property
    def stop_segment(self) -> int:
        """One past the last segment."""
        return self.first_segment + self.num_segments

    @property
    def byte_length(self) -> int:
        """Bytes of the whole chunk: header, payload and checksum."""
        return CHUNK_OVERHEAD_BYTES + self.payload_bytes

    def pack(self) -> bytes:
        """Return the bytes before the payload. The chunk's checksum covers these and the payload."""
        flags = CHUNK_FLAG_LAST * self.is_last
        flags |= CHUNK_FLAG_ATTACKS * self.has_attacks | CHUNK_FLAG_ROTATIONS * self.has_rotations
        flags |= CHUNK_FLAG_BANDWIDTH * self.has_bandwidth
        segments = (self.first_segment, self.num_segments)
        return CHUNK_HEADER.pack(CHUNK_MARKER, *segments, self.order, flags, self.payload_bytes, self.symbol_digest)

    @classmethod
    def unpack(cls, data: bytes) -> ChunkHeader:
        """Read the `CHUNK_HEADER.size` bytes before a payload. Nothing vouches for them until the checksum is verified.

        Raises:
            FormatError: If the marker is missing, or a value is out of range.
        """
        marker, first_segment, num_segments, order, flags, payload_bytes, symbol_digest = CHUNK_HEADER.unpack(data)
        if marker != CHUNK_MARKER:
            raise FormatError("there is no chunk where one should start")
        return cls(
            first_segment=first_segment, num_segments=num_segments, order=member(ChunkOrder, order, "symbol order"),
            payload_bytes=payload_bytes, symbol_digest=symbol_digest, is_last=bool(flags & CHUNK_FLAG_LAST),
            has_attacks=bool(flags & CHUNK_FLAG_ATTACKS), has_rotations=bool(flags & CHUNK_FLAG_ROTATIONS),
            has_bandwidth=bool(flags & CHUNK_FLAG_BANDWIDTH),
        )


class IndexEntry(NamedTuple):
    """One chunk in the seek index; offsets and first segments follow by summing."""

    byte_length: int
    num_segments: int


@dataclass(frozen=True, slots=True)
class Trailer:
    """Seek index and final length, found from the end of the file.

    Attributes:
        index: One entry per chunk, in order; at most `MAX_CHUNKS`.
        num_samples: Final length of each channel, 0 to `MAX_SAMPLES`.

    Raises:
        FormatError: If a value is out of its range.
    """

    index: tuple[IndexEntry, ...]
    num_samples: int

    def __post_init__(self) -> None:
        _check_range("number of chunks", len(self.index), 0, MAX_CHUNKS)
        _check_range("number of samples", self.num_samples, 0, MAX_SAMPLES)
        for entry in self.index:
            _check_range("payload bytes", entry.byte_length - CHUNK_OVERHEAD_BYTES, 1, MAX_CHUNK_PAYLOAD_BYTES)
            _check_segments(entry.num_segments)

    @property
    def byte_length(self) -> int:
        """Bytes of the whole trailer."""
        return trailer_byte_length(len(self.index))

    @property
    def chunks_byte_length(self) -> int:
        """Bytes of all chunks together."""
        return sum(entry.byte_length for entry in self.index)

    @property
    def num_segments(self) -> int:
        """Segments of all chunks together."""
        return sum(entry.num_segments for entry in self.index)

    def pack(self) -> bytes:
        """Return the trailer's bytes, from marker to end marker."""
        index = b"".join(INDEX_ENTRY.pack(*entry) for entry in self.index)
        checked = TRAILER_MARKER + index + TRAILER_COUNTS.pack(len(self.index), self.num_samples)
        return checked + TRAILER_END.pack(zlib.crc32(checked), self.byte_length, END_MARKER)

    @classmethod
    def unpack(cls, data: bytes) -> Trailer:
        """Read a whole trailer.

        Raises:
            FormatError: If it is not a trailer, is damaged, or contradicts itself.
        """
        if len(data) < TRAILER_OVERHEAD_BYTES or not data.startswith(TRAILER_MARKER):
            raise FormatError("there is no trailer where one should be")
        checked = data[: -TRAILER_END.size]
        num_chunks, num_samples = TRAILER_COUNTS.unpack(checked[-TRAILER_COUNTS.size :])
        checksum, byte_length, end_marker = TRAILER_END.unpack(data[-TRAILER_END.size :])
        if end_marker != END_MARKER or byte_length != len(data) or byte_length != trailer_byte_length(num_chunks):
            raise FormatError("trailer: the lengths contradict each other")
        if zlib.crc32(checked) != checksum:
            raise FormatError("trailer: checksum mismatch, the file is damaged")
        entries = INDEX_ENTRY.iter_unpack(checked[len(TRAILER_MARKER) : -TRAILER_COUNTS.size])
        return cls(tuple(IndexEntry(*entry) for entry in entries), num_samples)


def header_byte_length(prefix: bytes) -> int:
    """Return the length of a whole file header (bytes) from its first `HEADER_PREFIX.size` bytes.

    Raises:
        FormatError: If this is not the start of a `.hsnd` file, or of one that this version cannot read.
    """
    if not prefix:
        raise FormatError("not a .hsnd file: it is empty")
    magic = prefix[: len(MAGIC)]
    if len(prefix) < HEADER_PREFIX.size and MAGIC.startswith(magic):
        raise FormatError("truncated: the file ends inside its header")
    if magic != MAGIC and magic[1:5] == MAGIC[1:5]:
        raise FormatError("damaged at its first bytes, as by a transfer in text mode: fetch the file again")
    if magic != MAGIC:
        raise FormatError("not a .hsnd file")
    _, major, minor, _, header_bytes = HEADER_PREFIX.unpack(prefix)
    if major != VERSION_MAJOR:
        made_by = "made by a newer version" if major > VERSION_MAJOR else "not a valid .hsnd file"
        raise FormatError(f"{made_by}: it has format {major}.{minor}, and format {VERSION_MAJOR} is what can be read")
    if header_bytes < HEADER.size + CHECKSUM.size:
        raise FormatError(f"header: {header_bytes} bytes are too few")
    return header_bytes


def trailer_byte_length(num_chunks: int) -> int:
    """Return the length of the trailer (bytes) of a file of `num_chunks` chunks."""
    return TRAILER_OVERHEAD_BYTES + num_chunks * INDEX_ENTRY.size


def _check_range(name: str, value: int | Fraction, minimum: int | Fraction, maximum: int) -> None:
    if not minimum <= value <= maximum:
        raise FormatError(f"{name} {value} is not in {minimum} to {maximum}")


def _check_segments(num_segments: int) -> None:
    _check_range("segments in a chunk", num_segments, 2, MAX_CHUNK_SEGMENTS)
    if num_segments % 2:
        raise FormatError(f"chunk of {num_segments} segments, which is odd")


def _sample_format(flags: int) -> SampleFormat:
    code = flags >> HEADER_SAMPLE_FORMAT_SHIFT & 0x0F
    return SampleFormat(code) if code <= max(SampleFormat) else SampleFormat.UNKNOWN  # a later version may know more


def _checked_gain(gain: float) -> float:
    try:
        rounded = _F32.unpack(_F32.pack(gain))[0]
    except OverflowError:
        rounded = math.inf
    if not (math.isfinite(rounded) and rounded > 0):
        raise FormatError(f"gain {gain} is not a positive float32")
    return rounded
