"""A `.hsnd` file in parts that can be changed one by one and joined again with lengths and checksums that hold."""

import zlib
from dataclasses import dataclass, field

from hscodec.container import format as fmt

Field = tuple[int, int]
"""Where a field lies in its record: (offset, size), in bytes."""

HEADER_FIELDS: dict[str, Field] = {
    "magic": (0, 8),
    "major": (8, 1),
    "minor": (9, 1),
    "flags": (10, 2),
    "header_bytes": (12, 2),
    "target_network": (14, 1),
    "num_channels": (15, 1),
    "model_id": (16, 16),
    "num_samples": (32, 8),
    "sample_rate": (40, 4),
    "hop_numerator": (44, 4),
    "hop_denominator": (48, 4),
    "gain": (52, 4),
    "num_weights": (56, 4),
    "quality": (60, 2),
    "num_tags": (62, 2),
}
CHUNK_FIELDS: dict[str, Field] = {
    "marker": (0, 4),
    "first_segment": (4, 4),
    "num_segments": (8, 2),
    "order": (10, 1),
    "flags": (11, 1),
    "payload_bytes": (12, 4),
    "symbol_digest": (16, 8),
}
TRAILER_FIELDS = ("marker", "byte_length", "num_segments", "num_chunks", "num_samples", "trailer_bytes", "end_marker")


def get(record: bytes | bytearray, place: Field) -> int:
    """Return the little-endian integer of a field."""
    offset, size = place
    return int.from_bytes(record[offset : offset + size], "little")


def put(record: bytearray, place: Field, value: int) -> None:
    """Write the lowest bytes of an integer, which may be negative, into a field."""
    offset, size = place
    record[offset : offset + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


@dataclass
class ChunkParts:
    """A chunk: its header, its payload, and whether the header's `payload_bytes` is to be set right."""

    head: bytearray
    payload: bytes
    fix_length: bool = True

    def join(self) -> bytes:
        """Return the chunk's bytes with a checksum that holds."""
        head = bytearray(self.head)
        if self.fix_length:
            put(head, CHUNK_FIELDS["payload_bytes"], len(self.payload))
        return _with_checksum(bytes(head) + self.payload)

    def copy(self) -> "ChunkParts":
        """Return a copy that can be changed by itself."""
        return ChunkParts(bytearray(self.head), self.payload, self.fix_length)


@dataclass
class FileParts:
    """A file; what is not said explicitly follows from the rest.

    Attributes:
        fixed: The fixed fields of the file header.
        tags: The tags, and whatever else stands before the header's checksum.
        chunks: The chunks.
        num_samples: As the trailer has it.
        index: (byte_length, num_segments) of each chunk for the index; None takes them from the chunks.
        stated: Fields of the trailer, by name, that are not to be set right.
        fix_header_length: Whether `header_bytes` is to be set right.
    """

    fixed: bytearray
    tags: bytearray
    chunks: list[ChunkParts]
    num_samples: int
    index: list[tuple[int, int]] | None = None
    stated: dict[str, int] = field(default_factory=dict)
    fix_header_length: bool = True

    def join(self) -> bytes:
        """Return the file's bytes; all checksums hold."""
        fixed = bytearray(self.fixed)
        if self.fix_header_length:
            put(fixed, HEADER_FIELDS["header_bytes"], len(fixed) + len(self.tags) + fmt.CHECKSUM.size)
        header = _with_checksum(bytes(fixed + self.tags))
        chunks = [chunk.join() for chunk in self.chunks]
        return b"".join([header, *chunks, self._trailer(chunks)])

    def _trailer(self, chunks: list[bytes]) -> bytes:
        index = self.index
        if index is None:
            counts = [get(chunk.head, CHUNK_FIELDS["num_segments"]) for chunk in self.chunks]
            index = [(len(chunk), count) for chunk, count in zip(chunks, counts, strict=True)]

        def stated(name: str, value: int, size: int) -> bytes:
            return (self.stated.get(name, value) % (1 << 8 * size)).to_bytes(size, "little")

        data = stated("marker", int.from_bytes(fmt.TRAILER_MARKER, "little"), 4)
        data += b"".join(fmt.INDEX_ENTRY.pack(length % (1 << 32), count % (1 << 16)) for length, count in index)
        data += stated("num_chunks", len(index), 4) + stated("num_samples", self.num_samples, 8)
        data = _with_checksum(data)
        data += stated("trailer_bytes", fmt.trailer_byte_length(len(index)), 4)
        return data + stated("end_marker", int.from_bytes(fmt.END_MARKER, "little"), 4)

    @property
    def shape(self) -> tuple[int, int]:
        """C and K, as the header has them."""
        return get(self.fixed, HEADER_FIELDS["num_channels"]), get(self.fixed, HEADER_FIELDS["num_weights"])


def parse(data: bytes) -> FileParts:
    """Take a file apart: its header, chunks for as long as there are any, and the counts of the trailer.

    Raises:
        ValueError: It has no header.
    """
    header_bytes = get(data, HEADER_FIELDS["header_bytes"])
    if len(data) < fmt.HEADER.size + fmt.CHECKSUM.size or header_bytes > len(data):
        raise ValueError("there is no header")
    position = max(header_bytes, fmt.HEADER.size + fmt.CHECKSUM.size)
    tags = bytearray(data[fmt.HEADER.size : position - fmt.CHECKSUM.size])
    chunks = []
    while data.startswith(fmt.CHUNK_MARKER, position):
        head = bytearray(data[position : position + fmt.CHUNK_HEADER.size])
        stop = position + fmt.CHUNK_OVERHEAD_BYTES + get(head, CHUNK_FIELDS["payload_bytes"])
        if len(head) < fmt.CHUNK_HEADER.size or stop > len(data):
            break
        chunks.append(ChunkParts(head, data[position + fmt.CHUNK_HEADER.size : stop - fmt.CHECKSUM.size]))
        position = stop
    counts = data[-fmt.TRAILER_END.size - fmt.TRAILER_COUNTS.size : -fmt.TRAILER_END.size]
    num_samples = fmt.TRAILER_COUNTS.unpack(counts)[1]
    return FileParts(bytearray(data[: fmt.HEADER.size]), tags, chunks, num_samples)


def _with_checksum(data: bytes) -> bytes:
    return data + fmt.CHECKSUM.pack(zlib.crc32(data))
