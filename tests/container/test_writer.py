"""Writing: front to back, to any sink, and nothing that a reader would refuse."""

import dataclasses
import io

import pytest

from hscodec.container import ChunkOrder, ContainerReader, ContainerWriter
from hscodec.container import writer as writer_module
from hscodec.errors import FormatError

CHUNK = {"num_segments": 2, "order": ChunkOrder.PLAIN, "symbol_digest": bytes(8), "payload": b"payload"}


def test_a_pipe_gets_the_same_bytes(header, one_way):
    files = []
    for sink in (io.BytesIO(), one_way()):
        writer = ContainerWriter(sink, header)
        writer.write_chunk(first_segment=0, **CHUNK)
        writer.close(num_samples=2)
        files.append(sink.getvalue() if isinstance(sink, io.BytesIO) else bytes(sink.data))
        assert writer.bytes_written == len(files[-1])
    assert files[0] == files[1]


def test_each_chunk_reaches_the_sink_when_it_is_written(header):
    sink = io.BytesIO()
    writer = ContainerWriter(sink, header)
    assert sink.getvalue() == header.pack()
    writer.write_chunk(first_segment=0, **CHUNK)
    assert len(sink.getvalue()) == writer.bytes_written == len(header.pack()) + 28 + len(CHUNK["payload"])


def test_payload_may_be_any_buffer(header):
    sinks = io.BytesIO(), io.BytesIO()
    for sink, payload in zip(sinks, (b"payload!", memoryview(b"payload!").cast("I")), strict=True):
        ContainerWriter(sink, header).write_chunk(first_segment=0, **{**CHUNK, "payload": payload})
    assert sinks[0].getvalue() == sinks[1].getvalue()


@pytest.mark.parametrize("first_segment", [0, 4, -2])
def test_chunks_must_be_contiguous(header, first_segment):
    writer = ContainerWriter(io.BytesIO(), header)
    writer.write_chunk(first_segment=0, **CHUNK)
    with pytest.raises(FormatError, match="previous one stops at 2"):
        writer.write_chunk(first_segment=first_segment, **CHUNK)


@pytest.mark.parametrize(
    "change", [{"num_segments": 3}, {"num_segments": 0}, {"payload": b""}, {"order": 7}, {"symbol_digest": b""}]
)
def test_a_refused_chunk_writes_nothing(header, change):
    writer = ContainerWriter(io.BytesIO(), header)
    before = writer.bytes_written
    with pytest.raises(FormatError):
        writer.write_chunk(first_segment=0, **{**CHUNK, **change})
    assert (writer.bytes_written, writer.num_segments) == (before, 0)


def test_nothing_follows_the_last_chunk_or_the_trailer(header):
    for marks_last in (True, False):
        writer = ContainerWriter(io.BytesIO(), dataclasses.replace(header, num_samples=0))
        if marks_last:
            writer.write_chunk(first_segment=0, last=True, **CHUNK)
        else:
            writer.close()
        with pytest.raises(FormatError, match="last"):
            writer.write_chunk(first_segment=writer.num_segments, **CHUNK)


def test_number_of_chunks_is_capped(header, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_CHUNKS", 1)
    writer = ContainerWriter(io.BytesIO(), header)
    writer.write_chunk(first_segment=0, **CHUNK)
    with pytest.raises(FormatError, match="at most 1 chunks"):
        writer.write_chunk(first_segment=2, **CHUNK)


def test_close_needs_a_length_that_is_known_and_possible(header):
    writer = ContainerWriter(io.BytesIO(), header)
    writer.write_chunk(first_segment=0, **CHUNK)
    with pytest.raises(FormatError, match="must be known"):
        writer.close()
    with pytest.raises(FormatError, match="2 segments cover 2"):
        writer.close(num_samples=3)
    with pytest.raises(FormatError):
        writer.close(num_samples=-1)
    writer.close(num_samples=2)
    writer.close()

    declared = ContainerWriter(io.BytesIO(), dataclasses.replace(header, num_samples=2))
    declared.write_chunk(first_segment=0, **CHUNK)
    with pytest.raises(FormatError, match="header declares 2"):
        declared.close(num_samples=1)


def test_context_manager_closes_the_file_but_not_the_sink(header):
    sink = io.BytesIO()
    with ContainerWriter(sink, dataclasses.replace(header, num_samples=2)) as writer:
        writer.write_chunk(first_segment=0, last=True, **CHUNK)
    assert not ContainerReader(sink).index_was_rebuilt


def test_a_block_that_fails_leaves_no_trailer(header):
    sink = io.BytesIO()
    with pytest.raises(KeyError), ContainerWriter(sink, dataclasses.replace(header, num_samples=2)) as writer:
        writer.write_chunk(first_segment=0, **CHUNK)
        raise KeyError
    reader = ContainerReader(sink)
    assert reader.index_was_rebuilt
    assert reader.read_chunk(0).payload == CHUNK["payload"]


def test_errors_of_the_sink_pass_through(header):
    class Full(io.RawIOBase):
        def write(self, data):
            raise OSError(28, "No space left on device")

    class Busy(io.RawIOBase):
        def write(self, data):
            return None

    with pytest.raises(OSError, match="No space"):
        ContainerWriter(Full(), header)
    with pytest.raises(BlockingIOError):
        ContainerWriter(Busy(), header)
