import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.audio.files import AudioReader, AudioWriter, peak
from hscodec.errors import AudioError, HscodecError


def read_all(path, block_samples=1000):
    with AudioReader(path) as reader:
        blocks = list(reader.blocks(block_samples))
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((reader.num_channels, 0), np.float32)


def write_all(path, samples, sample_rate=16_000, **options):
    with AudioWriter(path, sample_rate, num_channels=samples.shape[0], **options) as writer:
        writer.write(samples)
    return writer


@pytest.mark.parametrize("extension", [".wav", ".flac", ".aiff", ".caf", ".w64", ".rf64", ".au"])
@pytest.mark.parametrize("num_samples", [0, 1, 999, 1000, 40_000])
def test_16_bit_round_trip_is_exact(tmp_path, extension, num_samples):
    if (extension, num_samples) == (".flac", 0):
        pytest.skip("libsndfile cannot write an empty FLAC file")
    levels = np.random.default_rng(num_samples).integers(-(2**15), 2**15, (2, num_samples))
    levels[:, : min(2, num_samples)] = [-(2**15), 2**15 - 1][: min(2, num_samples)]
    samples = (levels / 2**15).astype(np.float32)
    path = tmp_path / f"a{extension}"
    writer = write_all(path, samples)
    assert writer.num_clipped == 0
    assert writer.num_written == num_samples
    np.testing.assert_array_equal(read_all(path), samples)
    assert soundfile.info(str(path)).subtype == "PCM_16"


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_U8", 8), ("PCM_16", 16), ("PCM_24", 24)])
def test_levels_are_rounded_to_the_nearest(tmp_path, subtype, bits):
    samples = np.random.default_rng(0).uniform(-1, 1, (1, 5000)).astype(np.float32)
    write_all(tmp_path / "a.wav", samples, subtype=subtype)
    error = read_all(tmp_path / "a.wav") - samples
    assert np.abs(error)[samples < 1 - 2.0**-bits].max() <= 2.0**-bits
    assert abs(error.mean()) < 2.0**-bits / 10


@pytest.mark.parametrize("subtype", ["PCM_32", "PCM_16"])
def test_clipping_is_counted_once_per_sample(tmp_path, subtype):
    samples = np.array([[0.5, 1.5, -2.0, 1.0, -1.0], [0, 0, 0, 0, 3.0]], np.float32)
    assert write_all(tmp_path / "a.wav", samples, subtype=subtype).num_clipped == 3
    np.testing.assert_allclose(read_all(tmp_path / "a.wav"), [[0.5, 1, -1, 1, -1], [0, 0, 0, 0, 1]], atol=2**-15)


def test_float_keeps_values_beyond_full_scale(tmp_path):
    samples = np.array([[0.1, 1.5, -20.0]], np.float32)
    assert write_all(tmp_path / "a.wav", samples, subtype="float").num_clipped == 0
    np.testing.assert_array_equal(read_all(tmp_path / "a.wav"), samples)


@pytest.mark.parametrize("extension", [".ogg", ".opus", ".mp3"])
def test_lossy_formats_keep_length_and_sound(tmp_path, extension):
    time = np.arange(100_000) / 48_000
    samples = 0.5 * np.sin(2 * np.pi * 440 * time)[None].astype(np.float32)
    write_all(tmp_path / f"a{extension}", samples, 48_000)
    decoded = read_all(tmp_path / f"a{extension}", 1 << 16)
    assert decoded.shape == samples.shape
    inner = slice(5000, -5000)
    np.testing.assert_allclose(decoded[:, inner].std(), samples[:, inner].std(), rtol=0.02)
    correlation = np.corrcoef(decoded[0, inner], samples[0, inner])[0, 1]
    assert correlation > 0.98


@pytest.mark.parametrize("extension", [".flac", ".opus", ".mp3"])
def test_formats_that_cannot_be_empty_say_so(tmp_path, extension):
    with pytest.raises(AudioError, match="cannot hold an empty signal"):
        write_all(tmp_path / f"a{extension}", np.zeros((1, 0)), 48_000)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("num_samples", [10, 100_000])
def test_full_disk_is_reported(tmp_path, num_samples):
    (tmp_path / "a.wav").symlink_to("/dev/full")
    with pytest.raises(AudioError, match="cannot write"):
        write_all(tmp_path / "a.wav", np.zeros((1, num_samples)), overwrite=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the size of files")
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.aiff", "a.caf", "a.w64"])
def test_failure_while_the_file_is_closed_is_noticed(tmp_path, name):
    """libsndfile encodes the last samples when it closes a file, and does not say when they cannot be written."""
    import resource

    samples = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 20_000)).astype(np.float32)
    path = tmp_path / name
    write_all(path, samples, 48_000)
    size = path.stat().st_size
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for missing in (1, 2, 100, 1000, size // 2, size - 1, size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, limits[1]))
        try:
            with pytest.raises(HscodecError, match="cannot write"):
                write_all(path, samples, 48_000, overwrite=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == [name]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        write_all(path, samples, 48_000, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_all(path).shape == samples.shape


@settings(max_examples=25, deadline=None)
@given(num_samples=st.integers(0, 300), block_samples=st.integers(1, 97), num_channels=st.integers(1, 8))
def test_block_sizes_do_not_matter(tmp_path_factory, num_samples, block_samples, num_channels):
    path = tmp_path_factory.mktemp("blocks") / "a.wav"
    samples = np.random.default_rng(1).uniform(-1, 1, (num_channels, num_samples)).astype(np.float32)
    with AudioWriter(path, 8000, num_channels=num_channels, subtype="FLOAT") as writer:
        for start in range(0, num_samples, block_samples):
            writer.write(samples[:, start : start + block_samples])
    with AudioReader(path) as reader:
        assert (reader.num_channels, reader.num_samples, reader.sample_rate) == (num_channels, num_samples, 8000)
        assert (reader.subtype, reader.container_format) == ("FLOAT", "WAV")
        blocks = list(reader.blocks(block_samples))
        assert all(block.dtype == np.float32 and block.shape[1] == block_samples for block in blocks[:-1])
        assert all(block.shape[1] > 0 for block in blocks)
        reader.rewind()
        again = list(reader.blocks(1000))
    np.testing.assert_array_equal(np.concatenate([np.zeros((num_channels, 0)), *blocks], axis=1), samples)
    np.testing.assert_array_equal(np.concatenate([np.zeros((num_channels, 0)), *again], axis=1), samples)


def test_peak_leaves_the_reader_at_the_start(tmp_path):
    samples = np.zeros((2, 200_000), np.float32)
    samples[1, 150_000] = -0.75
    write_all(tmp_path / "a.wav", samples)
    with AudioReader(tmp_path / "a.wav") as reader:
        assert peak(reader) == 0.75
        assert sum(block.shape[1] for block in reader.blocks()) == 200_000
    write_all(tmp_path / "empty.wav", samples[:, :0])
    with AudioReader(tmp_path / "empty.wav") as reader:
        assert peak(reader) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_samples_are_located(tmp_path, value):
    samples = np.zeros((2, 20_000), np.float32)
    samples[1, 10_000] = value
    samples[0, 10_001] = value
    soundfile.write(tmp_path / "a.wav", samples.T, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: not-finite sample at 1\.250 s, channel 2$"):
        read_all(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="not-finite"):
        write_all(tmp_path / "b.wav", samples)
    assert not (tmp_path / "b.wav").exists()


def _make_folder(path):
    path.mkdir()


def _make_too_slow(path):
    soundfile.write(path, np.zeros(10), 4000, format="WAV")


def _make_too_fast(path):
    soundfile.write(path, np.zeros(10), 384_000, format="WAV")


def _make_too_many(path):
    soundfile.write(path, np.zeros((10, 9)), 16_000, format="WAV")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file or directory"),
        (_make_folder, "is a folder"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"hello, this is no audio" * 10), "not an audio file"),
        (_make_too_slow, r"sample rate 4000 Hz is not supported \(8000 to 192000 Hz\)"),
        (_make_too_fast, "sample rate 384000 Hz is not supported"),
        (_make_too_many, "9 channels, at most 8 are supported"),
    ],
)
@pytest.mark.parametrize("name", ["a.wav", "a.raw"])
def test_unusable_inputs(tmp_path, make, message, name):
    if name == "a.raw" and "supported" in message:
        pytest.skip("a raw file has no header")
    make(tmp_path / name)
    with pytest.raises(AudioError, match=rf"{name}: .*{message}") as caught:
        AudioReader(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_truncated_flac_is_reported(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (1, 100_000)).astype(np.float32)
    write_all(tmp_path / "a.flac", samples)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"a\.flac: (cut off|damaged)"):
        read_all(tmp_path / "a.flac")


def test_an_exception_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with pytest.raises(HscodecError, match="exists; use -f"):
        write_all(path, np.zeros((1, 10)))
    with pytest.raises(RuntimeError), AudioWriter(path, 8000, num_channels=1, overwrite=True) as writer:
        writer.write(np.zeros((1, 10), np.float32))
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.wav"]
    write_all(path, np.zeros((1, 10)), overwrite=True)
    assert read_all(path).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.xyz", {}, "unknown extension '.xyz'"),
        ("a", {}, "unknown extension ''"),
        ("a.flac", {"subtype": "FLOAT"}, "FLAC has no subtype 'FLOAT'"),
        ("a.opus", {"sample_rate": 44_100}, "cannot write OGG with OPUS, 44100 Hz"),
    ],
)
def test_unusable_outputs(tmp_path, name, options, message):
    with pytest.raises(AudioError, match=message):
        write_all(tmp_path / name, np.zeros((1, 10)), **options)
    assert os.listdir(tmp_path) == []


def test_wrong_block_shapes(tmp_path):
    with AudioWriter(tmp_path / "a.wav", 8000, num_channels=2) as writer:
        for shape in [(1, 10), (10,), (10, 2)]:
            with pytest.raises(AudioError, match="for 2 channels"):
                writer.write(np.zeros(shape, np.float32))
    with pytest.raises(AudioError, match="not open"):
        writer.write(np.zeros((2, 10), np.float32))


def test_long_wav_becomes_rf64(tmp_path):
    with AudioWriter(tmp_path / "a.wav", 48_000, num_channels=2, num_samples=2**31) as writer:
        writer.write(np.ones((2, 100), np.float32) / 2)
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    np.testing.assert_array_equal(read_all(tmp_path / "a.wav"), np.full((2, 100), 0.5))


def test_wav_of_unknown_length_stops_before_4_gib(tmp_path, monkeypatch):
    monkeypatch.setattr("hscodec.audio.writer._MAX_WAV_BYTES", 1000)
    with pytest.raises(AudioError, match="4 GiB"), AudioWriter(tmp_path / "a.wav", 8000, num_channels=1) as writer:
        writer.write(np.zeros((1, 500), np.float32))
        writer.write(np.zeros((1, 1), np.float32))
    assert os.listdir(tmp_path) == []


def test_importing_audio_does_not_load_torch():
    code = "import sys, hscodec.audio.files, hscodec.audio.resample; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
