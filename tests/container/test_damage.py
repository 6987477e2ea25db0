"""Truncated and damaged files: no damage goes unnoticed, and only the chunks that were hit are lost."""

import dataclasses
import io
import struct
import zlib

import pytest

from hscodec.container import ContainerReader, iter_chunks
from hscodec.container import format as fmt
from hscodec.errors import FormatError


def read_all(data: bytes) -> tuple[ContainerReader, list]:
    reader = ContainerReader(io.BytesIO(data))
    return reader, [reader.read_chunk(index) for index in range(len(reader.chunks))]


@pytest.fixture(scope="module")
def known_length_file(make_file, header) -> bytes:
    return make_file(header=dataclasses.replace(header, num_samples=21), num_samples=21)


def test_every_chunk_before_a_cut_is_read(small_file):
    whole, chunks = read_all(small_file)
    header_bytes = len(whole.header.pack())
    for length in range(len(small_file)):
        if length < header_bytes:
            with pytest.raises(FormatError, match=r"^truncated|it is empty"):
                ContainerReader(io.BytesIO(small_file[:length]))
            continue
        reader, read = read_all(small_file[:length])
        assert reader.index_was_rebuilt
        assert read == [c for c, entry in zip(chunks, whole.chunks, strict=True) if entry.stop_offset <= length]
        assert reader.declared_num_samples is None
        assert reader.num_samples == whole.header.max_num_samples(reader.num_segments)


def test_a_stream_cut_anywhere_says_so(small_file):
    for length in range(len(small_file)):
        with pytest.raises(FormatError, match=r"^truncated|it is empty"):
            list(iter_chunks(io.BytesIO(small_file[:length])))


def test_every_flipped_bit_is_detected(small_file):
    whole, chunks = read_all(small_file)
    for bit in range(8 * len(small_file)):
        data = bytearray(small_file)
        data[bit // 8] ^= 1 << bit % 8
        try:
            reader = ContainerReader(io.BytesIO(data))
        except FormatError:
            assert bit // 8 < whole.chunks[0].offset
            continue
        if reader.index_was_rebuilt:
            assert bit // 8 >= whole.chunks[-1].stop_offset
            assert read_all(data)[1] == chunks
            continue
        assert reader.chunks == whole.chunks
        for index, entry in enumerate(reader.chunks):
            if entry.offset <= bit // 8 < entry.stop_offset:
                with pytest.raises(FormatError, match=rf"^chunk {index} \(segments {entry.first_segment} to "):
                    reader.read_chunk(index)
            else:
                assert reader.read_chunk(index) == chunks[index]


def test_every_flipped_bit_is_detected_in_a_stream(small_file):
    for bit in range(8 * len(small_file)):
        data = bytearray(small_file)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            list(iter_chunks(io.BytesIO(data)))


def test_a_scan_loses_only_the_chunks_that_were_hit(small_file):
    """Every flipped bit again, now without the trailer, so that scanning must find its way past the damage."""
    whole, chunks = read_all(small_file)
    stop = whole.chunks[-1].stop_offset
    for bit in range(8 * whole.chunks[0].offset, 8 * stop):
        data = bytearray(small_file[:stop])
        data[bit // 8] ^= 1 << bit % 8
        hit = [entry.offset <= bit // 8 < entry.stop_offset for entry in whole.chunks]
        assert read_all(data)[1] == [c for c, is_hit in zip(chunks, hit, strict=True) if not is_hit]


def test_bytes_lost_in_the_middle(small_file):
    whole, chunks = read_all(small_file)
    _, second, _ = whole.chunks
    reader, read = read_all(small_file[: second.offset + 9] + small_file[second.offset + 12 :])
    assert reader.index_was_rebuilt
    assert read == [chunks[0], chunks[2]]
    # The trailer no longer fits the file, but its checksum holds, and so its length is believed.
    assert reader.num_samples == reader.declared_num_samples == whole.num_samples


def test_bytes_added_in_the_middle(small_file):
    whole, chunks = read_all(small_file)
    offset = whole.chunks[1].offset
    for junk in (b"x", fmt.CHUNK_MARKER, fmt.CHUNK_MARKER[:3], small_file[whole.chunks[0].offset : offset]):
        reader, read = read_all(small_file[:offset] + junk + small_file[offset:])
        assert reader.index_was_rebuilt
        assert read == chunks


@pytest.mark.parametrize("junk", [b"\0", b"\r\n", fmt.END_MARKER, bytes(5000), b"TAG" + bytes(125)])
def test_bytes_added_at_the_end(small_file, junk):
    whole, chunks = read_all(small_file)
    reader, read = read_all(small_file + junk)
    assert reader.index_was_rebuilt
    assert read == chunks
    assert reader.declared_num_samples == whole.num_samples


def test_a_second_file_behind_the_first_is_not_read(small_file):
    reader, read = read_all(small_file + small_file)
    assert reader.index_was_rebuilt
    assert read == read_all(small_file)[1]


def test_nothing_is_read_behind_the_chunk_marked_last(small_file):
    whole, _ = read_all(small_file)
    later = fmt.ChunkHeader(
        first_segment=12, num_segments=2, order=fmt.ChunkOrder.PLAIN, payload_bytes=1, symbol_digest=bytes(8)
    ).pack() + b"x"
    data = small_file[: whole.chunks[-1].stop_offset] + later + struct.pack("<I", zlib.crc32(later))
    assert ContainerReader(io.BytesIO(data)).num_segments == 12
    with pytest.raises(FormatError, match="does not continue"):
        list(iter_chunks(io.BytesIO(data)))


def test_trailer_removed(small_file, known_length_file):
    for data, declared, num_samples in ((small_file, None, 22), (known_length_file, 21, 21)):
        stop = ContainerReader(io.BytesIO(data)).chunks[-1].stop_offset
        reader, read = read_all(data[:stop])
        assert reader.index_was_rebuilt
        assert len(read) == 3
        assert (reader.declared_num_samples, reader.num_samples) == (declared, num_samples)


def test_a_declared_length_is_cut_to_what_is_left(known_length_file):
    second = ContainerReader(io.BytesIO(known_length_file)).chunks[1]
    reader, _ = read_all(known_length_file[: second.stop_offset])
    assert (reader.declared_num_samples, reader.num_samples) == (21, 10)


def test_trailers_that_lie_are_not_believed(small_file, known_length_file):
    whole, chunks = read_all(small_file)
    stop = whole.chunks[-1].stop_offset
    index = [fmt.IndexEntry(entry.byte_length, entry.num_segments) for entry in whole.chunks]
    first, second, third = index
    longer = first._replace(byte_length=first.byte_length + 1)
    for lie in (
        fmt.Trailer((), 0),
        fmt.Trailer((first, second), 0),
        fmt.Trailer((longer, second, third), 0),
        fmt.Trailer(tuple(index), whole.num_samples + 1),
    ):
        reader, read = read_all(small_file[:stop] + lie.pack())
        assert reader.index_was_rebuilt
        assert read == chunks
        assert reader.num_samples <= whole.num_samples
    stop = ContainerReader(io.BytesIO(known_length_file)).chunks[-1].stop_offset
    reader, _ = read_all(known_length_file[:stop] + fmt.Trailer(tuple(index), 20).pack())
    assert (reader.index_was_rebuilt, reader.num_samples) == (True, 21)


def test_an_index_that_contradicts_the_chunks_is_noticed_when_they_are_read(small_file):
    whole, _ = read_all(small_file)
    first, second, third = (fmt.IndexEntry(entry.byte_length, entry.num_segments) for entry in whole.chunks)
    swapped = (first._replace(num_segments=2), second._replace(num_segments=4), third)
    moved = (
        first._replace(byte_length=first.byte_length + 1),
        second._replace(byte_length=second.byte_length - 1),
        third,
    )
    for index in (swapped, moved):
        reader = ContainerReader(
            io.BytesIO(small_file[: whole.chunks[-1].stop_offset] + fmt.Trailer(index, 22).pack())
        )
        assert not reader.index_was_rebuilt
        with pytest.raises(FormatError, match="chunk 0 .* contradicts the index"):
            reader.read_chunk(0)


def test_a_last_chunk_that_is_not_the_last_in_the_index_is_noticed(small_file):
    whole, _ = read_all(small_file)
    last = whole.chunks[-1]
    chunk = small_file[last.offset : last.stop_offset]
    head = small_file[: whole.chunks[0].offset]
    moved = chunk[:4] + bytes(4) + chunk[8:-4]
    moved += struct.pack("<I", zlib.crc32(moved))
    index = (fmt.IndexEntry(len(chunk), last.num_segments),) * 2
    reader = ContainerReader(io.BytesIO(head + moved + chunk + fmt.Trailer(index, 0).pack()))
    assert not reader.index_was_rebuilt
    with pytest.raises(FormatError, match="chunk 0 .* contradicts the index"):
        reader.read_chunk(0)
    assert reader.read_chunk(1).payload == chunk[24:-4]
