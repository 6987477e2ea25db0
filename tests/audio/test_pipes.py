"""Real pipes: what a program at the other end may send, whole, cut or under a header that does not tell the length."""

import contextlib
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.audio.files import AudioReader, AudioWriter, peak
from hscodec.audio.pipe import _believable_length
from hscodec.errors import AudioError

RATE_HZ = 48_000
PCM = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
ENDLESS_BYTES = {
    "ffmpeg": 2**32 - 1,
    "ffmpeg, rounded to samples": 2**32 - 12,
    "sox": 2**31 - 2**12,
    "arecord": 2**31,
    "nothing": 0,
}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")


@pytest.fixture
def pipe():
    """Return a function that sends bytes through a pipe and returns the end to read from."""
    with contextlib.ExitStack() as stack:

        def send(data, piece_bytes=1 << 20, pause_s=0.0):
            reading, writing = os.pipe()

            def write():
                with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as file:
                    for start in range(0, len(data), piece_bytes):
                        file.write(data[start : start + piece_bytes])
                        time.sleep(pause_s)

            thread = threading.Thread(target=write)
            stack.callback(thread.join)
            stack.callback(os.close, reading)
            thread.start()
            return reading

        yield send


def sound(file_format="WAV", subtype="PCM_16", *, num_samples=50_000, num_channels=2, endian=None):
    """Return a file's bytes and the samples in it."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (num_samples, num_channels))
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format=file_format, subtype=subtype, endian=endian)
    file.seek(0)
    return file.getvalue(), soundfile.read(file, dtype="float32", always_2d=True)[0].T


def with_length(data, num_bytes):
    """Return a WAV file whose header announces this many bytes of samples."""
    patched = bytearray(data)
    order = ">" if data[:4] == b"RIFX" else "<"
    struct.pack_into(f"{order}I", patched, 4, min(num_bytes + 36, 2**32 - 1))
    struct.pack_into(f"{order}I", patched, data.index(b"data") + 4, num_bytes)
    return bytes(patched)


def with_aiff_length(data, num_bytes, num_samples):
    """Return an AIFF file whose header announces this many bytes and samples."""
    patched = bytearray(data)
    struct.pack_into(">I", patched, 4, min(num_bytes + 46, 2**32 - 1))
    struct.pack_into(">I", patched, data.index(b"COMM") + 10, num_samples)
    struct.pack_into(">I", patched, data.index(b"SSND") + 4, min(num_bytes + 8, 2**32 - 1))
    return bytes(patched)


def read_pipe(descriptor, block_samples=1000):
    """Return what is in a pipe and the length that was known at the start."""
    with AudioReader.from_pipe(descriptor) as reader:
        assert reader.is_pipe
        announced = reader.num_samples
        blocks = list(reader.blocks(block_samples))
        assert all(block.shape[1] == block_samples for block in blocks[:-1])
        samples = np.concatenate([np.zeros((reader.num_channels, 0), np.float32), *blocks], axis=1)
        assert reader.num_samples == samples.shape[1]
        return samples, announced


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [(name, subtype) for name in ("WAV", "WAVEX", "AIFF", "AU") for subtype in PCM],
)
def test_headers_that_tell_the_length(pipe, file_format, subtype, num_channels):
    data, expected = sound(file_format, subtype, num_channels=num_channels)
    samples, announced = read_pipe(pipe(data))
    assert announced == 50_000
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_U8", *PCM])
@pytest.mark.parametrize("num_bytes", ENDLESS_BYTES.values(), ids=ENDLESS_BYTES)
def test_wav_headers_that_do_not(pipe, subtype, num_channels, num_bytes):
    data, expected = sound("WAV", subtype, num_channels=num_channels)
    samples, announced = read_pipe(pipe(with_length(data, num_bytes)))
    assert announced is None
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("subtype", PCM[:4])
@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "AU"])
def test_both_orders_of_bytes(pipe, file_format, subtype, endian):
    if not soundfile.check_format(file_format, subtype, endian):
        pytest.skip("no such format")
    data, expected = sound(file_format, subtype, endian=endian)
    if file_format == "WAV":
        data = with_length(data, 0)
    elif file_format == "AIFF":
        data = with_aiff_length(data, 0, 0)
    else:
        data = data[:8] + b"\xff\xff\xff\xff" + data[12:]
    samples, announced = read_pipe(pipe(data))
    assert announced is None
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("subtype", ["PCM_S8", *PCM])
@pytest.mark.parametrize("num_bytes", [0, 2**31 - 2**24, 2**32 - 1])
def test_aiff_headers_that_do_not(pipe, subtype, num_bytes):
    data, expected = sound("AIFF", subtype)
    samples, announced = read_pipe(pipe(with_aiff_length(data, num_bytes, num_bytes // 4)))
    assert announced is None
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("subtype", ["PCM_S8", *PCM])
@pytest.mark.parametrize("num_bytes", [0, 2**32 - 1])
def test_au_headers_that_do_not(pipe, subtype, num_bytes):
    data, expected = sound("AU", subtype)
    samples, announced = read_pipe(pipe(data[:8] + struct.pack(">I", num_bytes) + data[12:]))
    assert announced is None
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_has_no_length(pipe, subtype):
    data, expected = sound("OGG", subtype)
    samples, announced = read_pipe(pipe(data))
    assert announced is None
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "AU"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.999])
def test_sound_that_is_cut_off(pipe, file_format, part):
    data, expected = sound(file_format)
    received = []
    with AudioReader.from_pipe(pipe(data[: int(part * len(data))]), "the radio") as reader:
        with pytest.raises(AudioError, match=r"^the radio: cut off: ends at \d\.\d+ s, its header promises 1\.042 s$"):
            received.extend(reader.blocks(1000))
    samples = np.concatenate(received, axis=1)
    np.testing.assert_array_equal(samples, expected[:, : samples.shape[1]])
    assert samples.shape[1] == pytest.approx(part * 50_000, abs=100)


def test_without_a_length_nobody_can_tell_a_cut(pipe):
    data, expected = sound()
    samples, _ = read_pipe(pipe(with_length(data, 2**32 - 1)[:-1]))
    np.testing.assert_array_equal(samples, expected[:, :-1])


@pytest.mark.parametrize("num_bytes", [0, 2**32 - 1])
def test_empty_sound(pipe, num_bytes):
    data, _ = sound(num_samples=0)
    samples, _ = read_pipe(pipe(with_length(data, num_bytes)))
    assert samples.shape == (2, 0)


def test_what_follows_the_samples_is_no_sound(pipe):
    data, expected = sound()
    samples, announced = read_pipe(pipe(data + b"LIST" + struct.pack("<I", 4000) + bytes(4000)))
    assert announced == 50_000
    np.testing.assert_array_equal(samples, expected)


def test_more_than_the_header_could_say(pipe, monkeypatch):
    """A WAV header ends at 4 GiB; here libsndfile would stop after 1,000 samples."""
    data, expected = sound()
    monkeypatch.setattr("hscodec.audio.pipe._believable_length", lambda num_samples, frame_bytes: None)
    samples, _ = read_pipe(pipe(with_length(data, 4000)))
    np.testing.assert_array_equal(samples, expected)


@settings(max_examples=30, deadline=None)
@given(piece_bytes=st.integers(1, 5000), block_samples=st.integers(1, 3000), endless=st.booleans())
def test_pieces_and_blocks_do_not_matter(piece_bytes, block_samples, endless):
    data, expected = sound("WAV", "PCM_24", num_samples=4001)
    reading, writing = os.pipe()

    def write():
        with os.fdopen(writing, "wb", buffering=0) as file:
            for start in range(0, len(data), piece_bytes):
                file.write(sent[start : start + piece_bytes])

    sent = with_length(data, 2**32 - 1) if endless else data
    thread = threading.Thread(target=write)
    thread.start()
    try:
        samples, announced = read_pipe(reading, block_samples)
    finally:
        os.close(reading)
        thread.join()
    assert announced == (None if endless else 4001)
    np.testing.assert_array_equal(samples, expected)


def test_slow_writer_that_stops_inside_a_sample(pipe):
    data, expected = sound(num_samples=50)
    samples, _ = read_pipe(pipe(data, piece_bytes=37, pause_s=0.002), 7)
    np.testing.assert_array_equal(samples, expected)


def test_a_block_comes_as_soon_as_it_can(pipe):
    reading, writing = os.pipe()
    data, expected = sound(num_samples=100)
    try:
        os.write(writing, with_length(data, 2**32 - 1))
        with AudioReader.from_pipe(reading) as reader:
            np.testing.assert_array_equal(next(reader.blocks(100)), expected)
    finally:
        os.close(reading)
        os.close(writing)


def test_tags_and_format_come_through(tmp_path, pipe):
    tags = (("TITLE", "T"), ("ARTIST", "Käse"))
    for name, source_format in (("a.wav", "WAV PCM_24"), ("a.ogg", "OGG VORBIS")):
        subtype = "PCM_24" if name == "a.wav" else None
        with AudioWriter(tmp_path / name, RATE_HZ, num_channels=1, subtype=subtype, tags=tags) as writer:
            writer.write(np.zeros((1, 1000)))
        data = (tmp_path / name).read_bytes()
        for sent in (data, with_length(data, 0)) if name == "a.wav" else (data,):
            with AudioReader.from_pipe(pipe(sent)) as reader:
                assert (reader.tags, reader.source_format) == (tags, source_format)
                assert (reader.sample_rate, reader.num_channels) == (RATE_HZ, 1)


def test_cat(tmp_path, speech):
    samples, rate = soundfile.read(speech, dtype="float32", always_2d=True)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="PCM_16")
    with subprocess.Popen(["cat", tmp_path / "a.wav"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        received, announced = read_pipe(process.stdout.fileno(), 1 << 16)
    assert process.returncode == 0
    assert announced == len(samples)
    np.testing.assert_array_equal(received, samples.T)


def test_a_named_pipe_is_a_pipe(tmp_path):
    data, expected = sound()
    path = tmp_path / "fifo"
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=[data])
    thread.start()
    with AudioReader(path) as reader:
        assert reader.is_pipe
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks()), axis=1), expected)
    thread.join()


def test_a_redirected_file_is_a_file(tmp_path):
    for file_format in ("WAV", "FLAC"):
        data, expected = sound(file_format)
        (tmp_path / "a").write_bytes(data)
        with open(tmp_path / "a", "rb") as file, AudioReader.from_pipe(file.fileno()) as reader:
            assert not reader.is_pipe
            assert reader.num_samples == 50_000
            assert peak(reader) == np.abs(expected).max()
            np.testing.assert_array_equal(np.concatenate(list(reader.blocks()), axis=1), expected)
            os.fstat(file.fileno())


def test_pipes_are_read_once(pipe):
    data, _ = sound()
    with AudioReader.from_pipe(pipe(data), "the radio") as reader:
        for again in (reader.rewind, lambda: peak(reader)):
            with pytest.raises(AudioError, match="the radio: a pipe can be read once only"):
                again()


@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [
        ("FLAC", None),
        ("MP3", None),
        ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("VOC", "PCM_16"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"),
        ("WAV", "GSM610"),
    ],
)
def test_formats_that_need_a_file_say_so(pipe, file_format, subtype):
    data, _ = sound(file_format, subtype, num_channels=1)
    message = "standard input: .*cannot be read from a pipe.*; WAV, AIFF, AU and Ogg can, .* as a file$"
    descriptor = pipe(data)
    with pytest.raises(AudioError, match=message) as caught:
        AudioReader.from_pipe(descriptor)
    assert "\n" not in str(caught.value)
    os.fstat(descriptor)


@pytest.mark.parametrize("endless", [2**32 - 1, 2**31 - 2**12, 0])
def test_adpcm_without_a_length_is_refused_too(pipe, endless):
    """libsndfile reads zeros without end from it."""
    data, _ = sound("WAV", "IMA_ADPCM")
    with pytest.raises(AudioError, match="cannot be read from a pipe"):
        AudioReader.from_pipe(pipe(with_length(data, endless)))


@pytest.mark.parametrize("data", [b"hello, this is no audio" * 100, b"R", b"RIFF", sound()[0][:20], sound()[0][:44]])
def test_rubbish(pipe, data):
    if data == sound()[0][:44]:
        with pytest.raises(AudioError, match="cut off|pipe"):
            read_pipe(pipe(data))
        return
    with pytest.raises(AudioError, match="standard input: cannot be read from a pipe"):
        AudioReader.from_pipe(pipe(data))


def test_nothing(pipe):
    with pytest.raises(AudioError, match="^the radio: is empty$"):
        AudioReader.from_pipe(pipe(b""), "the radio")
    with open(os.devnull, "rb") as file, pytest.raises(AudioError, match="standard input"):
        AudioReader.from_pipe(file.fileno())
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(AudioError, match="standard input: Bad file descriptor"):
        AudioReader.from_pipe(reading)


def test_limits_hold_for_pipes_too(pipe):
    for rate, channels, message in ((4000, 1, "sample rate 4000 Hz"), (16_000, 9, "9 channels")):
        file = io.BytesIO()
        soundfile.write(file, np.zeros((10, channels)), rate, format="WAV")
        with pytest.raises(AudioError, match=f"standard input: {message}"):
            AudioReader.from_pipe(pipe(file.getvalue()))


def test_not_finite_samples_are_located(pipe):
    samples = np.zeros((20_000, 2), np.float32)
    samples[10_000, 1] = np.nan
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match=r"standard input: not-finite sample at 1\.250 s, channel 2$"):
        read_pipe(pipe(file.getvalue()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("sent", ["nothing", "header", "some"])
def test_signals_end_the_waiting(number, sent):
    """libsndfile's own read would go on after a signal, until something comes."""
    code = """
import signal, sys
from hscodec.audio.reader import AudioReader
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
with AudioReader.from_pipe(0) as reader:
    for block in reader.blocks(1000):
        pass
"""
    data = with_length(sound()[0], 2**32 - 1)[: {"nothing": 0, "header": 44, "some": 30_000}[sent]]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], **streams) as process:
        assert process.stdin and process.stdout
        process.stdin.write(data)
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.1)
        process.send_signal(number)
        status = process.wait(timeout=20)
    assert status == (143 if number == signal.SIGTERM else -signal.SIGINT)


@given(st.integers(0, 2**40), st.sampled_from([1, 2, 3, 4, 6, 8, 64]))
def test_lengths_that_are_believed(num_bytes, frame_bytes):
    num_samples = num_bytes // frame_bytes
    length = _believable_length(num_samples, frame_bytes)
    assert length in (None, num_samples)
    if 0 < num_samples and num_bytes < 2**31 - 2**25 or 2**31 + 64 < num_bytes < 2**32 - 2**17:
        assert length == num_samples
    if num_samples == 0 or num_bytes >= 2**32 - 2**15 or 2**31 - 2**24 <= num_bytes <= 2**31:
        assert length is None


@pytest.mark.parametrize("num_bytes", ENDLESS_BYTES.values())
@pytest.mark.parametrize("frame_bytes", [1, 2, 3, 4, 6, 8, 12, 24, 64])
def test_endless_lengths_are_not_believed(num_bytes, frame_bytes):
    assert _believable_length(num_bytes // frame_bytes, frame_bytes) is None
    assert _believable_length(50_000, None) is None


class TestFlacWithoutLength:
    """FLAC that was written to a pipe: a file, but its header does not say the length."""

    @pytest.fixture
    def make(self, tmp_path):
        def write(num_samples, num_channels=2, part=1.0):
            data, expected = sound("FLAC", "PCM_16", num_samples=num_samples, num_channels=num_channels)
            patched = bytearray(data)
            patched[21] &= 0xF0
            patched[22:26] = bytes(4)
            (tmp_path / "a.flac").write_bytes(patched[: int(part * len(patched))])
            return tmp_path / "a.flac", expected

        return write

    @pytest.mark.parametrize("num_samples", [1, 4095, 4096, 4097, 50_000, 65_536, 150_000])
    @pytest.mark.parametrize("block_samples", [4096, 1 << 16])
    def test_is_read_to_the_end_twice(self, make, num_samples, block_samples):
        path, expected = make(num_samples)
        with AudioReader(path) as reader:
            assert reader.num_samples is None
            assert not reader.is_pipe
            assert peak(reader) == np.abs(expected).max()
            assert reader.num_samples == num_samples
            for _ in range(2):
                np.testing.assert_array_equal(np.concatenate(list(reader.blocks(block_samples)), axis=1), expected)
                reader.rewind()

    def test_works_from_a_descriptor(self, make):
        path, expected = make(50_000)
        with open(path, "rb") as file, AudioReader.from_pipe(file.fileno()) as reader:
            assert peak(reader) == np.abs(expected).max()
            np.testing.assert_array_equal(np.concatenate(list(reader.blocks()), axis=1), expected)

    def test_can_be_left_in_the_middle(self, make):
        path, expected = make(50_000)
        with AudioReader(path) as reader:
            np.testing.assert_array_equal(next(reader.blocks(100)), expected[:, :100])
            reader.rewind()
            np.testing.assert_array_equal(next(reader.blocks(100)), expected[:, :100])

    @pytest.mark.parametrize("part", [0.3, 0.5, 0.99])
    def test_cut_inside_a_frame_is_noticed(self, make, part):
        path, _ = make(50_000, part=part)
        with AudioReader(path) as reader, pytest.raises(AudioError, match=r"a\.flac: damaged near"):
            list(reader.blocks(1000))

    def test_damage_is_noticed(self, make):
        path, _ = make(50_000)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with AudioReader(path) as reader, pytest.raises(AudioError, match=r"a\.flac: damaged near"):
            list(reader.blocks(1000))

    def test_without_any_sample(self, tmp_path):
        stream_information = (16_000 << 44 | 1 << 41 | 15 << 36).to_bytes(8, "big")
        header = b"fLaC\x80\0\0\x22" + b"\x10\0" * 2 + bytes(6) + stream_information + bytes(16)
        (tmp_path / "a.flac").write_bytes(header)
        with AudioReader(tmp_path / "a.flac") as reader:
            assert peak(reader) == 0
            assert reader.num_samples == 0
