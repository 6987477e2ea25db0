"""Read a `.hsnd` file: any chunk through the seek index, a damaged file by scanning, a pipe front to back."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from hscodec.container.format import (
    CHECKSUM,
    CHUNK_HEADER,
    CHUNK_MARKER,
    CHUNK_OVERHEAD_BYTES,
    HEADER_PREFIX,
    MAX_CHUNKS,
    TRAILER_END,
    TRAILER_MARKER,
    TRAILER_OVERHEAD_BYTES,
    ChunkHeader,
    FileHeader,
    IndexEntry,
    Trailer,
    header_byte_length,
    trailer_byte_length,
)
from hscodec.errors import FormatError

READ_BLOCK_BYTES = 1 << 16
"""Input is read in blocks of this size at most, so that a declared length alone never allocates memory."""

MAX_SCAN_PASSES = 16
"""A scan gives up after checksumming, in vain, this many times the bytes of the file: hostile markers cost no more."""


class ByteSource(Protocol):
    """All that is asked of a stream."""

    def read(self, num_bytes: int, /) -> bytes:
        """Return up to `num_bytes`, none only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """Where one chunk lies: `byte_length` bytes from `offset`, segments `[first_segment, stop_segment)`."""

    offset: int
    byte_length: int
    first_segment: int
    num_segments: int

    @property
    def stop_offset(self) -> int:
        """One past the last byte."""
        return self.offset + self.byte_length

    @property
    def stop_segment(self) -> int:
        """One past the last segment."""
        return self.first_segment + self.num_segments


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk whose checksum holds."""

    header: ChunkHeader
    payload: bytes


class ContainerReader:
    """Random access to the chunks of a source that can seek.

    Without a trailer that fits the file, the index is rebuilt by scanning; chunks may then be missing between entries.

    Attributes:
        header: The file header.
        file_bytes: Size of the source.
        chunks: One entry per chunk, in order of segments, none overlapping.
        index_was_rebuilt: Whether the trailer was missing or wrong: the file is truncated, damaged, or has bytes added.
        declared_num_samples: Length of each channel according to header or trailer; None if neither is left to say it.
        num_samples: Length of each channel that can be rendered: what is declared, but never more than is covered by
            the segments up to the end of the last chunk in `chunks`.

    Raises:
        FormatError: If there is no header that can be read. Damage behind the header is not an error here.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        source.seek(0, io.SEEK_END)
        self.file_bytes = size = source.tell()
        source.seek(0)
        self.header = read_header(source)
        start = source.tell()
        trailer = _trailer_at_end(source, start, size)
        self.index_was_rebuilt = trailer is None or not _is_coherent(trailer, self.header, size - start)
        if trailer is not None and not self.index_was_rebuilt:
            self.chunks = _place_chunks(trailer, start)
        else:
            self.chunks = scan_chunks(source, start)
            if trailer is None:
                trailer = _trailer_behind(source, start, self.chunks)
        declared = self.header.num_samples
        if declared is None and trailer is not None:
            declared = trailer.num_samples
        self.declared_num_samples = declared
        covered = self.header.max_num_samples(self.num_segments)
        self.num_samples = covered if declared is None else min(declared, covered)

    @property
    def num_segments(self) -> int:
        """Where the last chunk in `chunks` stops."""
        return self.chunks[-1].stop_segment if self.chunks else 0

    def read_chunk(self, index: int) -> Chunk:
        """Read and verify the chunk `chunks[index]`.

        Raises:
            FormatError: If the chunk is damaged; the message names it.
        """
        entry = self.chunks[index]
        name = _chunk_name(index, entry.first_segment, entry.stop_segment)
        self._source.seek(entry.offset)
        packed = _read_exactly(self._source, CHUNK_HEADER.size, name)
        header = _unpack_chunk_header(packed, name)
        found = (header.byte_length, header.first_segment, header.num_segments)
        is_last = entry is self.chunks[-1]
        if found != (entry.byte_length, entry.first_segment, entry.num_segments) or (header.is_last and not is_last):
            raise FormatError(f"{name}: its header contradicts the index, the file is damaged")
        self.header.check_chunk(header.num_segments, name)
        return _read_body(self._source, packed, header, name)


class ChunkStream:
    """The chunks of a stream that cannot seek, in order: an iterator that has read the header already.

    The stream is read up to the end of the trailer and no further.

    Attributes:
        header: The file header.
        num_samples: Length of each channel; None until the trailer was read, if the header does not say it.

    Raises:
        FormatError: If there is no header that can be read; from `next()`, if the stream is truncated or damaged.
    """

    def __init__(self, stream: ByteSource) -> None:
        self._stream = _CountingStream(stream)
        self.header = read_header(self._stream)
        self.num_samples = self.header.num_samples
        self._chunks = self._read_all()

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the stream so far."""
        return self._stream.bytes_read

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def _read_all(self) -> Iterator[Chunk]:
        index: list[IndexEntry] = []
        stop_segment = 0
        has_last = False
        # Both markers have the same length, so four bytes tell a chunk from the trailer.
        while (marker := _read_exactly(self._stream, len(CHUNK_MARKER), "a marker")) != TRAILER_MARKER:
            name = f"chunk {len(index)} (from segment {stop_segment})"
            packed = marker + _read_exactly(self._stream, CHUNK_HEADER.size - len(marker), name)
            header = _unpack_chunk_header(packed, name)
            if has_last or header.first_segment != stop_segment or len(index) == MAX_CHUNKS:
                raise FormatError(f"{name}: it does not continue the previous chunk")
            self.header.check_chunk(header.num_segments, name)
            chunk = _read_body(self._stream, packed, header, name)
            index.append(IndexEntry(header.byte_length, header.num_segments))
            stop_segment, has_last = header.stop_segment, header.is_last
            yield chunk
        rest = _read_exactly(self._stream, trailer_byte_length(len(index)) - len(marker), "the trailer")
        trailer = Trailer.unpack(marker + rest)
        if trailer.index != tuple(index) or not _is_plausible(trailer, self.header):
            raise FormatError("trailer: it contradicts the header or the chunks")
        self.num_samples = trailer.num_samples


class _CountingStream:
    def __init__(self, stream: ByteSource) -> None:
        self._stream = stream
        self.bytes_read = 0

    def read(self, num_bytes: int, /) -> bytes:
        data = self._stream.read(num_bytes)
        self.bytes_read += len(data)
        return data


@contextlib.contextmanager
def open_container(path: str | Path) -> Iterator[ContainerReader]:
    """Open a file and yield a reader of it; the file is closed at the end of the block.

    Raises:
        FormatError: If the file cannot be read, or there is no header.
    """
    with contextlib.ExitStack() as stack:
        try:
            container = ContainerReader(stack.enter_context(open(path, "rb")))
        except OSError as error:
            raise FormatError(f"{path}: {error.strerror}") from error
        yield container


def iter_chunks(stream: ByteSource) -> ChunkStream:
    """Read the header of a stream that need not seek, and return an iterator over its chunks.

    Raises:
        FormatError: If there is no header that can be read; from the iterator, if the stream is truncated or damaged.
    """
    return ChunkStream(stream)


def read_header(stream: ByteSource) -> FileHeader:
    """Read the file header from the current position and stop behind it.

    Raises:
        FormatError: If it is not a header that this version reads, or is damaged.
    """
    prefix = _read_up_to(stream, HEADER_PREFIX.size)
    rest_bytes = header_byte_length(prefix) - len(prefix)
    return FileHeader.unpack(prefix + _read_exactly(stream, rest_bytes, "its header"))


def scan_chunks(source: BinaryIO, start: int) -> list[ChunkEntry]:
    """Find the intact chunks of a source that can seek, without its index.

    Each chunk that is returned has a checksum that holds, and starts where the one before it stops or later, in bytes
    and in segments. The scan ends with the chunk marked last. Its cost is linear in the size of the file
    (`MAX_SCAN_PASSES`), whatever the file holds.

    Args:
        source: Read from `start` to its end.
        start: Offset of the first byte behind the file header.
    """
    source.seek(0, io.SEEK_END)
    size = source.tell()
    wasted_bytes = 0
    entries: list[ChunkEntry] = []
    for offset, packed in _find_markers(source, start, size):
        if entries and offset < entries[-1].stop_offset:
            continue  # a marker by chance, inside a payload
        try:
            header = ChunkHeader.unpack(packed)
        except FormatError:
            continue
        overlaps = bool(entries) and header.first_segment < entries[-1].stop_segment
        if overlaps or header.byte_length > size - offset:
            continue
        if not _checksum_holds(source, offset, header):
            wasted_bytes += header.byte_length
            if wasted_bytes > MAX_SCAN_PASSES * size:
                break
            continue
        entries.append(ChunkEntry(offset, header.byte_length, header.first_segment, header.num_segments))
        if header.is_last or len(entries) == MAX_CHUNKS:
            break
    return entries


def _find_markers(source: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yield the offset of each chunk marker in `[start, stop)`, and the bytes of the chunk header there.

    Between two items the source may be moved.
    """
    while stop - start >= CHUNK_OVERHEAD_BYTES:
        source.seek(start)
        block = _read_up_to(source, min(READ_BLOCK_BYTES, stop - start))
        # Positions whose header does not fit into this block are left to the next one.
        num_positions = len(block) - CHUNK_HEADER.size + 1
        if num_positions <= 0:
            return
        position = block.find(CHUNK_MARKER)
        while 0 <= position < num_positions:
            yield start + position, block[position : position + CHUNK_HEADER.size]
            position = block.find(CHUNK_MARKER, position + 1)
        start += num_positions


def _checksum_holds(source: BinaryIO, offset: int, header: ChunkHeader) -> bool:
    source.seek(offset)
    rest_bytes = header.byte_length - CHECKSUM.size
    checksum = 0
    while rest_bytes:
        block = source.read(min(rest_bytes, READ_BLOCK_BYTES))
        if not block:
            return False
        checksum = zlib.crc32(block, checksum)
        rest_bytes -= len(block)
    return _read_up_to(source, CHECKSUM.size) == CHECKSUM.pack(checksum)


def _trailer_at_end(source: BinaryIO, start: int, size: int) -> Trailer | None:
    if size - start < TRAILER_OVERHEAD_BYTES:
        return None
    source.seek(size - TRAILER_END.size)
    _, byte_length, _ = TRAILER_END.unpack(_read_exactly(source, TRAILER_END.size, "the trailer"))
    # Each chunk in the index takes room in front of the trailer, so more chunks than that need not be read.
    max_chunks = min(MAX_CHUNKS, (size - start) // CHUNK_OVERHEAD_BYTES)
    if not TRAILER_OVERHEAD_BYTES <= byte_length <= min(trailer_byte_length(max_chunks), size - start):
        return None
    return _trailer_at(source, size - byte_length, byte_length)


def _trailer_behind(source: BinaryIO, start: int, chunks: list[ChunkEntry]) -> Trailer | None:
    """Look for the trailer right behind the last chunk: that is where it is when bytes were added to the file."""
    return _trailer_at(source, chunks[-1].stop_offset if chunks else start, trailer_byte_length(len(chunks)))


def _trailer_at(source: BinaryIO, offset: int, byte_length: int) -> Trailer | None:
    source.seek(offset)
    try:
        return Trailer.unpack(_read_exactly(source, byte_length, "the trailer"))
    except FormatError:
        return None


def _is_coherent(trailer: Trailer, header: FileHeader, bytes_behind_header: int) -> bool:
    fills_file = trailer.chunks_byte_length + trailer.byte_length == bytes_behind_header
    return fills_file and _is_plausible(trailer, header)


def _is_plausible(trailer: Trailer, header: FileHeader) -> bool:
    try:
        header.check_num_samples(trailer.num_samples, trailer.num_segments)
    except FormatError:
        return False
    return True


def _place_chunks(trailer: Trailer, offset: int) -> list[ChunkEntry]:
    entries = []
    first_segment = 0
    for byte_length, num_segments in trailer.index:
        entries.append(ChunkEntry(offset, byte_length, first_segment, num_segments))
        offset += byte_length
        first_segment += num_segments
    return entries


def _chunk_name(index: int, first_segment: int, stop_segment: int) -> str:
    return f"chunk {index} (segments {first_segment} to {stop_segment})"


def _unpack_chunk_header(packed: bytes, name: str) -> ChunkHeader:
    try:
        return ChunkHeader.unpack(packed)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None


def _read_body(stream: ByteSource, packed: bytes, header: ChunkHeader, name: str) -> Chunk:
    """Read payload and checksum of the chunk whose header is `packed`, and verify them."""
    payload = _read_exactly(stream, header.payload_bytes, name)
    checksum = CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(packed)))
    if _read_exactly(stream, CHECKSUM.size, name) != checksum:
        raise FormatError(f"{name}: checksum mismatch, the file is damaged")
    return Chunk(header, payload)


def _read_exactly(stream: ByteSource, num_bytes: int, name: str) -> bytes:
    data = _read_up_to(stream, num_bytes)
    if len(data) < num_bytes:
        raise FormatError(f"truncated: the file ends inside {name}")
    return data


def _read_up_to(stream: ByteSource, num_bytes: int) -> bytes:
    """Read `num_bytes`, fewer only at the end of the stream; a pipe may deliver them in pieces."""
    pieces = []
    while num_bytes and (piece := stream.read(min(num_bytes, READ_BLOCK_BYTES))):
        pieces.append(piece)
        num_bytes -= len(piece)
    return b"".join(pieces)
