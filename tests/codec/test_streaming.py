"""Pipes: one pass, unknown lengths, blocks of any size."""

import io
import os
import threading

import numpy as np
import pytest
import soundfile
import torch

from hscodec.audio.files import AudioReader
from hscodec.codec import Decoder, Encoder, Reader, decode_file, encode_file, verify_file
from hscodec.codec.constants import REFERENCE_PEAK
from hscodec.codec.symbols import SymbolStream
from hscodec.container import ContainerReader, ContainerWriter, FileHeader, iter_chunks
from hscodec.errors import FormatError, HscodecError

CPU = torch.device("cpu")


class Pipe(io.RawIOBase):
    """Delivers bytes in odd portions, and cannot seek."""

    def __init__(self, content, portion=777):
        self._content = io.BytesIO(content)
        self._portion = portion

    def readable(self):
        return True

    def read(self, size=-1):
        return self._content.read(self._portion if size < 0 else min(size, self._portion))


class Sink(io.BytesIO):
    """Takes bytes, but cannot go back."""

    def seekable(self):
        return False

    def seek(self, *arguments):
        raise OSError("cannot seek")

    tell = seek


@pytest.fixture
def piped():
    """Return a function that gives the descriptor of a pipe that delivers the bytes given."""
    threads = []

    def open_pipe(content):
        reading, writing = os.pipe()

        def feed():
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(content)

        threads.append(threading.Thread(target=feed))
        threads[-1].start()
        return reading

    yield open_pipe
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("sizes", [(1,), (159, 160, 161), (7, 65_536, 13), (200_000,)])
def test_chunks_do_not_depend_on_the_sizes_of_blocks(tiny_model, noise, sizes):
    samples = np.ascontiguousarray(noise(12_000, num_channels=2).T)
    options = {"sample_rate": 11_025, "num_channels": 2, "quality_hundredths": 500, "gain": 0.9, "device": CPU}

    def encoded(sizes):
        encoder = Encoder(tiny_model, **options)
        chunks, position, turn = [], 0, 0
        while position < samples.shape[1]:
            size = sizes[turn % len(sizes)] if len(sizes) > 1 or sizes[0] > 1 else 97
            chunks += encoder.push(samples[:, position : position + size])
            position, turn = position + size, turn + 1
        return chunks + list(encoder.finish())

    assert encoded(sizes) == encoded((12_000,))


def test_a_live_stream_has_its_length_behind_it(tmp_path, tiny_model, noise, piped):
    samples = noise(48_000 * 11)
    soundfile.write(tmp_path / "a.wav", samples, 48_000, subtype="FLOAT")
    sink = Sink()
    calls = []
    with AudioReader.from_pipe(piped((tmp_path / "a.wav").read_bytes())) as audio:
        result = encode_file(
            audio, sink, model=tiny_model, device="cpu", progress=lambda *call: calls.append(call)
        )
    assert (result.num_samples, result.file_bytes) == (samples.shape[0], len(sink.getvalue()))
    assert calls[-1][0] == 11
    container = ContainerReader(io.BytesIO(sink.getvalue()))
    assert container.header.num_samples is None
    assert container.header.gain == pytest.approx(1 / REFERENCE_PEAK)
    assert (container.num_samples, container.index_was_rebuilt) == (samples.shape[0], False)
    (tmp_path / "a.hsnd").write_bytes(sink.getvalue())
    assert verify_file(tmp_path / "a.hsnd").ok


def test_a_level_of_full_scale_gives_the_same_chunks_live_or_not(tmp_path, tiny_model, noise, piped):
    samples = noise(30_000)
    samples[17] = 1
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    encode_file(tmp_path / "a.wav", tmp_path / "a.hsnd", model=tiny_model, device="cpu")
    with AudioReader.from_pipe(piped((tmp_path / "a.wav").read_bytes())) as audio:
        encode_file(audio, tmp_path / "b.hsnd", model=tiny_model, device="cpu")
    first, second = (ContainerReader(io.BytesIO((tmp_path / name).read_bytes())) for name in ("a.hsnd", "b.hsnd"))
    assert [first.read_chunk(0)] == [second.read_chunk(0)]


@pytest.mark.parametrize("subtype", [None, "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [None, 11_025])
def test_a_pipe_decodes_to_what_the_file_decodes_to(long_file, tmp_path, tiny_model, subtype, rate):
    decode_file(long_file, tmp_path / "a.wav", subtype=subtype, rate=rate, device="cpu")
    expected, expected_rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    sink = Sink()
    result = decode_file(Pipe(long_file.read_bytes()), sink, subtype=subtype, rate=rate, device="cpu")
    samples, sample_rate = soundfile.read(io.BytesIO(sink.getvalue()), dtype="float32")
    assert sample_rate == expected_rate == result.sample_rate
    assert result.file_bytes == long_file.stat().st_size
    assert soundfile.info(io.BytesIO(sink.getvalue())).subtype == (subtype or "PCM_16")
    np.testing.assert_array_equal(samples, expected)


def without_length(path):
    """Return the bytes of a file, written anew as a stream whose header does not say its length."""
    container = ContainerReader(io.BytesIO(path.read_bytes()))
    header = container.header
    fields = ("sample_rate", "num_channels", "num_weights", "quality", "gain", "model_id")
    sink = io.BytesIO()
    writer = ContainerWriter(sink, FileHeader(num_samples=None, **{name: getattr(header, name) for name in fields}))
    for index in range(len(container.chunks)):
        chunk = container.read_chunk(index)
        writer.write_chunk(
            first_segment=chunk.header.first_segment,
            num_segments=chunk.header.num_segments,
            order=chunk.header.order,
            symbol_digest=chunk.header.symbol_digest,
            payload=chunk.payload,
        )
    writer.close(num_samples=container.num_samples)
    return sink.getvalue()


def test_a_stream_of_unknown_length(long_file, tmp_path, tiny_model):
    content = without_length(long_file)
    decode_file(long_file, tmp_path / "a.wav", device="cpu")
    expected, _ = soundfile.read(tmp_path / "a.wav")
    calls = []
    result = decode_file(
        Pipe(content), tmp_path / "b.wav", device="cpu", progress=lambda *call: calls.append(call)
    )
    assert calls[0] == (pytest.approx(249 * 0.02), None)
    samples, _ = soundfile.read(tmp_path / "b.wav")
    np.testing.assert_array_equal(samples, expected)
    assert result.num_samples == len(expected)
    sink = Sink()
    decode_file(Pipe(content), sink, device="cpu")
    wav = sink.getvalue()
    assert wav[40:44] == b"\xff\xff\xff\xff"  # the length was not known when the header was written
    np.testing.assert_array_equal(np.frombuffer(wav[44:], "<i2").reshape(-1, 2) / 2**15, expected)


def test_the_first_block_comes_before_the_last_chunk(long_file, tiny_model):
    """A stream is decoded as it arrives."""
    content = long_file.read_bytes()
    entries = ContainerReader(io.BytesIO(content)).chunks
    cut = Pipe(content[: entries[1].stop_offset])  # both chunks, but no trailer yet
    decoder = Decoder(SymbolStream(iter_chunks(cut), tiny_model), tiny_model, device=CPU)
    blocks = decoder.blocks()
    with Reader(long_file, model=tiny_model, device="cpu") as reader:
        assert torch.equal(next(blocks), reader.read(0, 249 * 160))
    with pytest.raises(FormatError, match="truncated"):
        list(blocks)


def test_a_damaged_stream_is_refused(long_file, tmp_path):
    content = bytearray(long_file.read_bytes())
    content[1000] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        decode_file(Pipe(bytes(content)), tmp_path / "a.wav", device="cpu")
    assert not (tmp_path / "a.wav").exists()


def test_a_range_of_a_pipe_is_refused(long_file, tmp_path):
    for options in ({"start": 1}, {"stop": 2}, {"keep_going": True}):
        with pytest.raises(HscodecError, match="cannot seek"):
            decode_file(Pipe(long_file.read_bytes()), tmp_path / "a.wav", device="cpu", **options)


def test_an_empty_stream(tmp_path, tiny_model, piped):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), 16_000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.hsnd", model=tiny_model, device="cpu")
    sink = Sink()
    assert decode_file(Pipe((tmp_path / "a.hsnd").read_bytes()), sink, device="cpu").num_samples == 0
    assert soundfile.info(io.BytesIO(sink.getvalue())).frames == 0
