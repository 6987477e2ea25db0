"""Write a `.hsnd` file front to back, to any sink: nothing is ever rewritten, so pipes will do."""

from __future__ import annotations

import zlib
from types import TracebackType
from typing import BinaryIO

from hscodec.container.format import (
    CHECKSUM,
    MAX_CHUNKS,
    ChunkHeader,
    ChunkOrder,
    FileHeader,
    IndexEntry,
    Trailer,
)
from hscodec.errors import FormatError


class ContainerWriter:
    """Write the header at once, then chunks, then the trailer on `close`.

    As a context manager it closes at the end of the block; when the block fails it writes no trailer, and what was
    written so far can be read by scanning. The sink itself is left open.

    Attributes:
        header: The header that was written.
        num_segments: Segments of the chunks written so far.
        bytes_written: Bytes handed to the sink so far.
    """

    def __init__(self, sink: BinaryIO, header: FileHeader) -> None:
        self.header = header
        self.num_segments = 0
        self.bytes_written = 0
        self._sink = sink
        self._index: list[IndexEntry] = []
        self._has_last = False
        self._is_closed = False
        self._write(header.pack())

    def __enter__(self) -> ContainerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def write_chunk(
        self,
        *,
        first_segment: int,
        num_segments: int,
        order: ChunkOrder,
        symbol_digest: bytes,
        payload: bytes | memoryview,
        last: bool = False,
        has_attacks: bool = False,
        has_rotations: bool = False,
        has_bandwidth: bool = False,
    ) -> None:
        """Append a chunk.

        Args:
            first_segment: Where the previous chunk stopped; 0 for the first chunk.
            num_segments: Segments in this chunk; even, 2 to `MAX_CHUNK_SEGMENTS`.
            order: Order of the weight symbols in the payload.
            symbol_digest: Digest of the symbols, `DIGEST_BYTES` long.
            payload: 1 to `MAX_CHUNK_PAYLOAD_BYTES` bytes.
            last: Whether this is the last chunk. A stream that ends unexpectedly may leave it False on all.
            has_attacks: Whether the payload begins with attacks.
            has_rotations: Whether it begins with rotations, behind the attacks if there are any.
            has_bandwidth: Whether it begins with a bandwidth, behind both.

        Raises:
            FormatError: If a value is out of range, or the chunk does not continue the previous one.
        """
        if self._is_closed or self._has_last:
            raise FormatError("no chunk can follow the last one")
        if first_segment != self.num_segments:
            raise FormatError(f"chunk starts at segment {first_segment}, the previous one stops at {self.num_segments}")
        if len(self._index) == MAX_CHUNKS:
            raise FormatError(f"a file holds at most {MAX_CHUNKS} chunks")
        self.header.check_chunk(num_segments)
        payload = memoryview(payload).cast("B")
        header = ChunkHeader(
            first_segment=first_segment,
            num_segments=num_segments,
            order=order,
            payload_bytes=len(payload),
            symbol_digest=symbol_digest,
            is_last=last,
            has_attacks=has_attacks,
            has_rotations=has_rotations,
            has_bandwidth=has_bandwidth,
        )
        packed = header.pack()
        self._write(packed)
        self._write(payload)
        self._write(CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(packed))))
        self._index.append(IndexEntry(header.byte_length, num_segments))
        self.num_segments = header.stop_segment
        self._has_last = last

    def close(self, *, num_samples: int | None = None) -> None:
        """Write the trailer. Closing again does nothing.

        Args:
            num_samples: Final length of each channel. Needed if the header does not say it.

        Raises:
            FormatError: If the length is unknown, differs from the header's, or is more than the segments cover.
        """
        if self._is_closed:
            return
        if num_samples is None:
            num_samples = self.header.num_samples
        if num_samples is None:
            raise FormatError("the number of samples must be known when the file is closed")
        self.header.check_num_samples(num_samples, self.num_segments)
        self._write(Trailer(tuple(self._index), num_samples).pack())
        self._is_closed = True

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:  # an unbuffered sink may take a part only
            taken = self._sink.write(rest)
            if taken is None:
                raise BlockingIOError("the sink does not take more bytes now")
            rest = rest[taken:]
            self.bytes_written += taken
