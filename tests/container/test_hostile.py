"""Files made to hurt: declared lengths never allocate, and scanning stays cheap."""

import io
import struct
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.container import ContainerReader, iter_chunks, scan_chunks
from hscodec.container import format as fmt
from hscodec.container import reader as reader_module
from hscodec.errors import FormatError


def chunk_header(payload_bytes: int, first_segment: int = 0) -> bytes:
    return fmt.ChunkHeader(
        first_segment=first_segment,
        num_segments=2,
        order=fmt.ChunkOrder.PLAIN,
        payload_bytes=payload_bytes,
        symbol_digest=bytes(8),
    ).pack()


def trailer_end(num_chunks: int, byte_length: int) -> bytes:
    return fmt.TRAILER_COUNTS.pack(num_chunks, 0) + fmt.TRAILER_END.pack(0, byte_length, fmt.END_MARKER)


class CountingSource(io.BytesIO):
    """Remembers the largest read that was asked of it, and how much was read in all."""

    largest_read = 0
    total_read = 0

    def read(self, size=-1):
        self.largest_read = max(self.largest_read, len(self.getbuffer()) if size is None or size < 0 else size)
        data = super().read(size)
        self.total_read += len(data)
        return data


def hostile_tails() -> dict[str, bytes]:
    huge = fmt.MAX_CHUNK_PAYLOAD_BYTES
    num_chunks = fmt.MAX_CHUNKS
    return {
        "payload at its cap": chunk_header(huge) + bytes(50),
        "payload over its cap": chunk_header(huge)[:12] + struct.pack("<I", huge + 1) + bytes(50),
        "payload of 4 GiB": chunk_header(huge)[:12] + b"\xff\xff\xff\xff" + bytes(50),
        "trailer at its cap": trailer_end(num_chunks, fmt.trailer_byte_length(num_chunks)),
        "trailer of 4 GiB": trailer_end(0xFFFF_FFFF, 0xFFFF_FFFF),
        "trailer of 0 bytes": trailer_end(0, 0),
        "trailer that starts inside the header": bytes(30) + trailer_end(20, fmt.trailer_byte_length(20)),
        "trailer with more chunks than fit": trailer_end(9, 28 + 54).rjust(28 + 54, b"\xb5"),
        "only a trailer marker": fmt.TRAILER_MARKER,
    }


@pytest.mark.parametrize("name", hostile_tails())
def test_declared_lengths_allocate_nothing(header, name):
    source = CountingSource(header.pack() + hostile_tails()[name])
    tracemalloc.start()
    try:
        reader = ContainerReader(source)
        assert reader.chunks == []
        source.seek(0)
        with pytest.raises(FormatError):
            list(iter_chunks(source))
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert source.largest_read <= reader_module.READ_BLOCK_BYTES


def test_an_index_entry_at_its_cap_allocates_nothing(header):
    """The index fits the file, the chunk header claims more than its entry."""
    body = chunk_header(fmt.MAX_CHUNK_PAYLOAD_BYTES) + bytes(5)
    source = CountingSource(header.pack() + body + fmt.Trailer((fmt.IndexEntry(len(body), 2),), 2).pack())
    reader = ContainerReader(source)
    assert not reader.index_was_rebuilt
    with pytest.raises(FormatError, match="chunk 0 .* contradicts the index"):
        reader.read_chunk(0)
    assert source.largest_read <= reader_module.READ_BLOCK_BYTES


def test_an_index_of_more_chunks_than_the_file_has_room_for_is_not_unpacked(header):
    source = CountingSource(header.pack() + fmt.Trailer((fmt.IndexEntry(30, 2),) * 100_000, 0).pack())
    tracemalloc.start()
    try:
        assert ContainerReader(source).chunks == []
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


def test_header_lengths_allocate_nothing(header):
    data = bytearray(header.pack())
    data[12:14] = b"\xff\xff"
    source = CountingSource(data)
    with pytest.raises(FormatError, match="truncated"):
        ContainerReader(source)
    assert source.largest_read <= reader_module.READ_BLOCK_BYTES


def test_markers_everywhere_do_not_make_a_scan_quadratic(header):
    """Each fake chunk reaches to the end of the file, so checking them all would read 20,000 times half a megabyte."""
    count = 20_000
    fakes = b"".join(chunk_header(24 * (count - index - 1) or 1) for index in range(count)) + bytes(8)
    source = CountingSource(header.pack() + fakes)
    assert scan_chunks(source, len(header.pack())) == []
    assert source.total_read <= (reader_module.MAX_SCAN_PASSES + 3) * len(source.getbuffer())


def test_bare_markers_cost_linear_time(header):
    data = header.pack() + fmt.CHUNK_MARKER * 100_000
    started_s = time.process_time()
    assert ContainerReader(io.BytesIO(data)).chunks == []
    assert time.process_time() - started_s < 10


def test_a_chunk_inside_a_payload_is_not_found(header, make_file):
    """A payload may hold what looks like a chunk; it counts only if the chunk around it is damaged."""
    inner = chunk_header(1, first_segment=2) + b"x"
    inner += struct.pack("<I", zlib.crc32(inner))
    outer = chunk_header(len(inner)) + inner
    outer += struct.pack("<I", zlib.crc32(outer))
    (entry,) = scan_chunks(io.BytesIO(header.pack() + outer), len(header.pack()))
    assert entry.byte_length == len(outer)


@pytest.mark.parametrize("shift", range(-30, 31))
def test_chunks_are_found_across_block_borders(header, shift):
    """The chunk header lies around the border of the scanner's first block."""
    gap = reader_module.READ_BLOCK_BYTES - 12 + shift
    chunk = chunk_header(3) + b"abc"
    chunk += struct.pack("<I", zlib.crc32(chunk))
    start = len(header.pack())
    (entry,) = scan_chunks(io.BytesIO(header.pack() + bytes(gap) + chunk), start)
    assert (entry.offset, entry.byte_length) == (start + gap, len(chunk))


def test_a_chunk_longer_than_a_block_is_found(header):
    chunk = chunk_header(200_000) + bytes(range(250)) * 800
    chunk += struct.pack("<I", zlib.crc32(chunk))
    reader = ContainerReader(io.BytesIO(header.pack() + b"junk" + chunk))
    assert reader.read_chunk(0).payload == bytes(range(250)) * 800


PIECES = st.sampled_from(
    [fmt.CHUNK_MARKER, fmt.TRAILER_MARKER, fmt.END_MARKER, b"\x1c\0\0\0", bytes(8), chunk_header(4)]
)


@given(st.lists(PIECES | st.binary(max_size=40), max_size=12))
def test_anything_behind_a_header_reads_without_surprise(header, pieces):
    data = header.pack() + b"".join(pieces)
    reader = ContainerReader(io.BytesIO(data))
    for index in range(len(reader.chunks)):
        try:
            reader.read_chunk(index)
        except FormatError as error:
            assert "\n" not in str(error)
    try:
        list(iter_chunks(io.BytesIO(data)))
    except FormatError as error:
        assert "\n" not in str(error)
