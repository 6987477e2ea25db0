"""`hscodec.read`, `write`, `encode`, `decode` and `open`: the short way says what the long way says."""

import io
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch

import hscodec
from hscodec.codec import Reader, encode_file
from hscodec.codec.constants import DEFAULT_QUALITY
from hscodec.errors import AudioError, FormatError, HscodecError, ModelError
from hscodec.rates import scaled_length

RATE = 16_000


def noise(num_samples=20_000, num_channels=2):
    return np.random.default_rng(0).uniform(-0.5, 0.5, (num_channels, num_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory, tiny_model):
    path = tmp_path_factory.mktemp("api") / "noise.hsnd"
    hscodec.write(path, noise(), RATE, model=tiny_model)
    return path


@pytest.fixture(autouse=True)
def tiny(tiny_model):
    """The model is where files look for it."""
    return tiny_model


def test_importing_the_package_loads_nothing():
    check = "import sys, hscodec; bad = {'torch', 'numpy', 'soundfile'} & sys.modules.keys(); assert not bad, bad"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_package_names_what_it_offers():
    for name in ("read", "write", "encode", "decode", "open", "Reader", "HscodecError"):
        assert name in dir(hscodec)
        assert getattr(hscodec, name) is not None
    assert not hasattr(hscodec, "no_such_name")
    assert "open" not in hscodec.__all__, "a star import would hide Python's own"


def test_read_is_what_a_reader_reads(path):
    samples, rate = hscodec.read(path)
    assert rate == RATE and samples.shape == (2, 20_000)
    assert samples.dtype == torch.float32 and samples.device.type == "cpu"
    with Reader(path, device="cpu") as reader:
        assert torch.equal(samples, reader.read())


@pytest.mark.parametrize("rate", [8_000, 11_025, 48_000])
def test_ranges_count_samples_at_the_output_rate(path, rate):
    whole, found = hscodec.read(path, rate)
    assert found == rate and whole.shape[1] == scaled_length(20_000, RATE, rate)
    part, _ = hscodec.read(path, rate, 100, 3000)
    assert torch.equal(part, whole[:, 100:3000])
    tail, _ = hscodec.read(path, rate, start=4000)
    assert torch.equal(tail, whole[:, 4000:])


def test_seconds_go_through_the_reader(path):
    with hscodec.open(path, 8_000) as reader:
        start, stop = reader.sample_at(0.25), reader.sample_at(0.5)
        assert (start, stop) == (2000, 4000)
        assert torch.equal(reader.read(start, stop), hscodec.read(path, 8_000)[0][:, 2000:4000])


@pytest.mark.parametrize("range_", [(-1, None), (20_001, None), (5, 4), (1.5, None), (0, 1.5)])
def test_a_range_outside_of_the_sound_is_refused(path, range_):
    with pytest.raises(HscodecError):
        hscodec.read(path, None, *range_)


def test_a_range_beyond_the_end_stops_there(path):
    assert hscodec.read(path, start=19_990, stop=30_000)[0].shape == (2, 10)


def test_bytes_are_those_of_a_file(path, tmp_path, tiny_model):
    data = hscodec.encode(noise(), RATE, model=tiny_model)
    assert data == path.read_bytes()
    assert torch.equal(hscodec.decode(data, 8_000, 10, 500)[0], hscodec.read(path, 8_000, 10, 500)[0])
    soundfile.write(tmp_path / "noise.wav", noise().T, RATE, subtype="FLOAT")
    encode_file(tmp_path / "noise.wav", tmp_path / "noise.hsnd", model=tiny_model, device="cpu")
    assert data == (tmp_path / "noise.hsnd").read_bytes()


@pytest.mark.parametrize("subtype", ["int16", "int32", "float32", "float64"])
def test_samples_in_memory_are_encoded_like_a_file_that_holds_them(tmp_path, tiny_model, subtype):
    samples = noise(9_000, 1)
    if subtype.startswith("int"):
        samples = np.round(samples * (2 ** (int(subtype[3:]) - 1) - 1)).astype(subtype)
    samples = samples.astype(subtype)
    stored_as = {"int16": "PCM_16", "int32": "PCM_32", "float32": "FLOAT", "float64": "DOUBLE"}[subtype]
    soundfile.write(tmp_path / "in.wav", samples.T, RATE, subtype=stored_as)
    encode_file(tmp_path / "in.wav", tmp_path / "out.hsnd", model=tiny_model, device="cpu", tags=())
    assert hscodec.encode(samples, RATE, model=tiny_model) == (tmp_path / "out.hsnd").read_bytes()


def test_tensors_arrays_and_mono_are_the_same_to_it():
    mono = noise(3_000, 1)
    data = hscodec.encode(mono, RATE, model="tiny")
    assert hscodec.encode(torch.from_numpy(mono), RATE, model="tiny") == data
    assert hscodec.encode(torch.from_numpy(mono[0]).requires_grad_(), RATE, model="tiny") == data
    assert hscodec.encode(mono[0], RATE, model="tiny") == data
    assert hscodec.encode(np.asfortranarray(mono), RATE, model="tiny") == data
    half = hscodec.encode(torch.from_numpy(mono).half(), RATE, model="tiny")
    assert half == hscodec.encode(mono.astype(np.float16), RATE, model="tiny")


def test_the_header_says_how_samples_were_given():
    tags = (("title", "noise"),)
    data = hscodec.encode((noise(1_000, 1) * 32_767).astype(np.int16), RATE, model="tiny", quality=2.5, tags=tags)
    info = hscodec.open(io.BytesIO(data)).info
    assert (info.sample_format, info.quality, info.tags) == ("pcm_16", 2.5, tags)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((4_000, 2), np.float32), "transposed"),
        (np.zeros((9, 100), np.float32), "9 channels"),
        (np.zeros((2, 2, 100), np.float32), "channels, time"),
        (np.zeros((1, 100), np.uint8), "uint8"),
        (np.zeros((1, 100), complex), "complex128"),
        (np.full((1, 100), np.nan, np.float32), "not-finite"),
        (np.full((1, 100), 1e300), "not-finite"),
    ],
)
def test_what_cannot_be_encoded_is_refused(samples, message):
    with pytest.raises(AudioError, match=message):
        hscodec.encode(samples, RATE, model="tiny")


def test_rates_out_of_range_are_refused():
    with pytest.raises(AudioError, match="4000 Hz"):
        hscodec.encode(noise(), 4_000, model="tiny")


def test_nothing_is_a_sound_too():
    samples, rate = hscodec.decode(hscodec.encode(np.zeros((2, 0), np.float32), RATE, model="tiny"))
    assert samples.shape == (2, 0) and rate == RATE


def test_write_replaces_a_file_unless_told_not_to(tmp_path):
    target = tmp_path / "a.hsnd"
    target.write_bytes(b"old")
    with pytest.raises(HscodecError, match="exists"):
        hscodec.write(target, noise(1_000), RATE, model="tiny", overwrite=False)
    result = hscodec.write(target, noise(1_000), RATE, model="tiny")
    assert result.file_bytes == target.stat().st_size and result.num_samples == 1_000
    assert result.kbps == pytest.approx(hscodec.open(target).info.bitrate_kbps)


def test_writing_leaves_a_given_file_open(path):
    file = io.BytesIO()
    hscodec.write(file, noise(), RATE, model="tiny")
    assert file.getvalue() == path.read_bytes()
    assert hscodec.read(file)[0].shape == (2, 20_000) and not file.closed


def test_quality_is_a_choice():
    sizes = [len(hscodec.encode(noise(), RATE, model="tiny", quality=quality)) for quality in (1, DEFAULT_QUALITY, 9)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_models_are_loaded_once(monkeypatch, path, tiny_model):
    from hscodec import registry

    hscodec.encode(noise(1_000), RATE, model="tiny")
    monkeypatch.setattr(registry, "read_model_file", lambda *_: pytest.fail("read again"))
    hscodec.encode(noise(1_000), RATE, model="tiny")
    hscodec.read(path)


def test_a_model_is_read_again_if_its_file_changed(tmp_path, tiny_model_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(tiny_model_path.read_bytes())
    data = hscodec.encode(noise(1_000), RATE, model=copy)
    assert hscodec.encode(noise(1_000), RATE, model=str(copy)) == data
    copy.write_bytes(b"no model any more")
    with pytest.raises(ModelError):
        hscodec.encode(noise(1_000), RATE, model=copy)
    with pytest.raises(ModelError, match="no model called"):
        hscodec.encode(noise(1_000), RATE, model="unheard-of")


def test_other_files_and_damaged_ones_are_refused(path, tmp_path, speech):
    with pytest.raises(FormatError, match="not a .hsnd file"):
        hscodec.read(speech)
    with pytest.raises(FormatError):
        hscodec.decode(path.read_bytes()[:-30])
    samples, _ = hscodec.decode(path.read_bytes()[:-30], keep_going=True)
    assert samples.shape == (2, 20_000)
    with pytest.raises(HscodecError, match="warp"):
        hscodec.read(path, device="warp")
    with pytest.raises(FormatError, match="missing"):
        hscodec.read(tmp_path / "missing.hsnd")


@pytest.mark.parametrize(("rate", "speed"), [(8_000, 2), (22_050.5, 0.5), (Fraction(48_000_000, 1001), 1), (None, 4)])
def test_speed_and_rate_are_those_of_a_reader(path, rate, speed):
    with Reader(path, rate=rate, speed=speed, device="cpu") as reader:
        whole, found = hscodec.read(path, rate, speed=speed)
        assert found == reader.rate and torch.equal(whole, reader.read())
        assert whole.shape[1] == scaled_length(20_000, RATE, Fraction(reader.rate) / Fraction(speed))
        part, _ = hscodec.decode(path.read_bytes(), rate, 50, 700, speed=speed)
        assert torch.equal(part, whole[:, 50:700])
        with hscodec.open(path, rate, speed=speed) as sound:
            assert sound.playback == reader.playback


def test_a_rate_that_is_whole_comes_back_as_an_integer(path):
    assert isinstance(hscodec.read(path, 8_000.0, 0, 1)[1], int)
    assert hscodec.read(path, 8_000.5, 0, 1)[1] == Fraction(16_001, 2)


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": 5}, {"rate": 999.9}, {"rate": float("nan")}])
def test_impossible_rates_and_speeds_are_refused(path, options):
    with pytest.raises(HscodecError, match="must be between"):
        hscodec.read(path, **options)


def test_chunks_may_be_short():
    data = hscodec.encode(noise(60_000), RATE, model="tiny", chunk_seconds=1)
    ordinary = hscodec.encode(noise(60_000), RATE, model="tiny")
    with hscodec.open(io.BytesIO(data)) as short, hscodec.open(io.BytesIO(ordinary)) as long:
        assert short.info.num_chunks == 3 and long.info.num_chunks == 1
        assert [span.num_segments for span in short._container.chunks] == [50, 50, 90]
        assert short.num_samples == long.num_samples == 60_000
        assert torch.equal(short.read(15_000, 33_000), short.read()[:, 15_000:33_000])
    with pytest.raises(HscodecError, match="must last between 0.5 and 20 s"):
        hscodec.encode(noise(100), RATE, model="tiny", chunk_seconds=0.1)
