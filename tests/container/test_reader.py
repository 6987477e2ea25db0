"""Reading whole files: through the index and as a stream, the same chunks come back."""

import dataclasses
import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.container import ChunkOrder, ContainerReader, ContainerWriter, iter_chunks, scan_chunks
from hscodec.errors import FormatError

CHUNKS = st.lists(
    st.tuples(st.integers(1, 1000), st.sampled_from(ChunkOrder), st.binary(min_size=8, max_size=8),
              st.binary(min_size=1, max_size=300)),
    max_size=6,
)


@given(CHUNKS, st.booleans(), st.booleans(), st.data())
def test_round_trip(header, one_way, chunks, length_is_known, marks_last, data):
    num_segments = sum(2 * half for half, *_ in chunks)
    num_samples = data.draw(st.integers(0, header.max_num_samples(num_segments)))
    header = dataclasses.replace(header, num_samples=num_samples if length_is_known else None)
    sink = io.BytesIO()
    writer = ContainerWriter(sink, header)
    for index, (half, order, digest, payload) in enumerate(chunks):
        writer.write_chunk(
            first_segment=writer.num_segments, num_segments=2 * half, order=order, symbol_digest=digest,
            payload=payload, last=marks_last and index == len(chunks) - 1,
        )
    writer.close(num_samples=num_samples)
    assert writer.bytes_written == len(sink.getvalue())

    reader = ContainerReader(sink)
    assert reader.header == header
    assert not reader.index_was_rebuilt
    assert reader.num_samples == reader.declared_num_samples == num_samples
    assert reader.num_segments == num_segments
    read = [reader.read_chunk(index) for index in range(len(reader.chunks))]
    expected = [(2 * half, order, digest, payload) for half, order, digest, payload in chunks]
    assert [(c.header.num_segments, c.header.order, c.header.symbol_digest, c.payload) for c in read] == expected
    assert [c.header.first_segment for c in read] == [entry.first_segment for entry in reader.chunks]

    assert scan_chunks(sink, len(header.pack())) == reader.chunks

    stream = iter_chunks(one_way(sink.getvalue()))
    assert stream.header == header
    assert stream.num_samples == header.num_samples
    assert list(stream) == read
    assert stream.num_samples == num_samples


def test_chunks_can_be_read_in_any_order_and_again(small_file):
    reader = ContainerReader(io.BytesIO(small_file))
    assert [(entry.first_segment, entry.stop_segment) for entry in reader.chunks] == [(0, 4), (4, 6), (6, 12)]
    assert reader.read_chunk(2) == reader.read_chunk(2)
    assert reader.read_chunk(0).header.is_last is False
    assert reader.read_chunk(-1).header.is_last is True
    with pytest.raises(IndexError):
        reader.read_chunk(3)


def test_an_unbuffered_source_will_do(small_file, tmp_path):
    path = tmp_path / "small.hsnd"
    path.write_bytes(small_file)
    with path.open("rb", buffering=0) as source:
        reader = ContainerReader(source)
        assert [len(reader.read_chunk(i).payload) for i in range(3)] == [e.byte_length - 28 for e in reader.chunks]


def test_a_stream_is_read_up_to_the_end_of_the_trailer(small_file):
    stream = io.BytesIO(small_file + b"what follows")
    assert len(list(iter_chunks(stream))) == 3
    assert stream.read() == b"what follows"


def test_a_stream_delivers_what_precedes_the_damage(small_file):
    damaged = bytearray(small_file)
    second = ContainerReader(io.BytesIO(small_file)).chunks[1]
    damaged[second.stop_offset - 5] ^= 1
    stream = iter_chunks(io.BytesIO(damaged))
    assert next(stream).header.first_segment == 0
    with pytest.raises(FormatError, match=r"chunk 1 \(from segment 4\): checksum mismatch"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_refuses_chunks_out_of_place(small_file):
    first, second, third = ContainerReader(io.BytesIO(small_file)).chunks
    head = small_file[: first.offset]
    chunks = [small_file[entry.offset : entry.stop_offset] for entry in (first, second, third)]
    end = small_file[third.stop_offset :]
    for order in ((0, 2), (1, 0, 2), (0, 1, 1, 2), (0, 1, 2, 2)):
        with pytest.raises(FormatError, match="does not continue"):
            list(iter_chunks(io.BytesIO(head + b"".join(chunks[index] for index in order) + end)))


def test_a_stream_refuses_a_trailer_of_other_chunks(small_file, make_file):
    end = ContainerReader(io.BytesIO(small_file)).chunks[-1].stop_offset
    with pytest.raises(FormatError, match="trailer: it contradicts"):
        list(iter_chunks(io.BytesIO(small_file[:end] + make_file((2, 4, 6))[-46:])))


@pytest.mark.parametrize("data", [b"", b"\x89HSND", b"RIFF....WAVE", b"\x89HSND\n\x1a" + bytes(100)])
def test_other_files_are_refused(data):
    for read in (ContainerReader, iter_chunks):
        with pytest.raises(FormatError, match=r"hsnd|damaged|truncated"):
            read(io.BytesIO(data))


def test_the_container_needs_neither_torch_nor_numpy():
    code = "import sys, hscodec.container; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
