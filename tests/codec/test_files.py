from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec import codec
from hscodec.codec import decode_file, encode_file, verify_file
from hscodec.codec.constants import MAX_PEAK, REFERENCE_PEAK, SILENT_GAIN
from hscodec.codec.symbols import SymbolReader
from hscodec.container import ChunkOrder, ContainerReader, ContainerWriter, FileHeader
from hscodec.errors import AudioError, FormatError, HscodecError, ModelError
from hscodec.rates import scaled_length


def header_of(path):
    with open(path, "rb") as file:
        return ContainerReader(file).header


def decoded(path, target=None, **options):
    target = target or path.with_suffix(".wav")
    result = decode_file(path, target, device="cpu", overwrite=True, **options)
    samples, rate = soundfile.read(target, dtype="float32", always_2d=True)
    assert (result.sample_rate, result.num_samples, result.num_channels) == (rate, *samples.shape)
    return samples


@pytest.mark.parametrize("num_samples", [0, 1, 2, 319, 320, 321, 640, 48_000 * 11 + 7])
def test_lengths_are_exact(encoded, num_samples):
    path = encoded(num_samples)
    assert header_of(path).num_samples == num_samples
    assert decoded(path).shape == (num_samples, 1)
    assert verify_file(path).ok


@pytest.mark.parametrize("rate", [8000, 11_025, 12_345, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_rates(encoded, rate, num_channels):
    num_samples = rate // 4 + 3
    path = encoded(num_samples, rate=rate, num_channels=num_channels)
    header = header_of(path)
    assert (header.sample_rate, header.num_channels) == (rate, num_channels)
    assert header.num_weights == min(rate // 50, 960)
    assert decoded(path).shape == (num_samples, num_channels)
    assert verify_file(path).ok


def test_eight_channels_keep_their_places(tmp_path, tiny_model):
    time = np.arange(8000) / 8000
    source = np.zeros((8000, 8), np.float32)
    for channel in range(8):
        source[:, channel] = 0.1 * (1 + channel % 3) * np.sin(2 * np.pi * 300 * (channel + 1) * time)
    soundfile.write(tmp_path / "in.wav", source, 8000)
    encode_file(tmp_path / "in.wav", tmp_path / "a.hsnd", model=tiny_model, quality=10, device="cpu")
    samples = decoded(tmp_path / "a.hsnd")
    assert samples.shape == (8000, 8)
    for channel in range(8):
        overlap = source.T @ samples[:, channel]
        assert np.argmax(np.abs(overlap)) == channel


@pytest.mark.parametrize("rate", [1000, 8000, 11_025, 12_345, 16_000, 22_050, 44_100, 192_000, 384_000])
def test_decoding_at_another_rate_gives_the_rounded_length(encoded, rate):
    num_samples = 16_000 // 3
    path = encoded(num_samples)
    assert decoded(path, rate=rate).shape == (scaled_length(num_samples, 16_000, rate), 1)


def test_other_rates_are_the_same_sound(encoded):
    """Three times the rate visits each old sample's time again, in the middle of three."""
    path = encoded(16_000, rate=16_000)
    coarse = decoded(path, subtype="FLOAT")
    fine = decoded(path, rate=48_000, subtype="FLOAT")
    np.testing.assert_allclose(fine[1::3], coarse, atol=1e-5)


def test_encoding_is_deterministic(speech, tmp_path, tiny_model):
    contents = []
    for name in ("a.hsnd", "b.hsnd"):
        encode_file(speech, tmp_path / name, model=tiny_model, device="cpu")
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def orders_and_symbols(path, model):
    """Return the order of each chunk, and its symbols."""
    with open(path, "rb") as file:
        container = ContainerReader(file)
        symbols = SymbolReader(container, model)
        orders = [container.read_chunk(index).header.order for index in range(len(container.chunks))]
        return orders, [symbols.read(index) for index in range(len(orders))]


def test_zstd_alone_stores_the_same_symbols(speech, tmp_path, tiny_model):
    made = {}
    for zstd_only in (False, True):
        path = tmp_path / f"{zstd_only}.hsnd"
        encode_file(speech, path, model=tiny_model, device="cpu", zstd_only=zstd_only)
        assert verify_file(path).ok
        made[zstd_only] = orders_and_symbols(path, tiny_model)
    assert set(made[False][0]) == {ChunkOrder.BY_CONTEXT}
    assert set(made[True][0]) <= {ChunkOrder.PLAIN, ChunkOrder.BY_CLASS}
    for ours, zstds in zip(made[False][1], made[True][1], strict=True):
        np.testing.assert_array_equal(ours.latent, zstds.latent)
        np.testing.assert_array_equal(ours.weights, zstds.weights)
        np.testing.assert_array_equal(ours.attacks, zstds.attacks)
    np.testing.assert_array_equal(decoded(tmp_path / "False.hsnd"), decoded(tmp_path / "True.hsnd"))


def test_models_without_statistics_code_with_zstd(speech, tmp_path, tiny_model):
    model = replace(tiny_model, frequencies=None)
    encode_file(speech, tmp_path / "a.hsnd", model=model, device="cpu")
    encode_file(speech, tmp_path / "b.hsnd", model=tiny_model, device="cpu", zstd_only=True)
    assert (tmp_path / "a.hsnd").read_bytes() == (tmp_path / "b.hsnd").read_bytes()
    encode_file(speech, tmp_path / "c.hsnd", model=tiny_model, device="cpu")
    with pytest.raises(FormatError, match="its model has no statistics"):
        decode_file(tmp_path / "c.hsnd", tmp_path / "c.wav", model=model, device="cpu")


def test_results_and_progress(encoded, tmp_path, tiny_model):
    path = encoded(16_000)
    calls = []
    result = encode_file(
        tmp_path / "in.wav",
        path,
        model=tiny_model,
        device="cpu",
        overwrite=True,
        progress=lambda *call: calls.append(call),
    )
    assert result.file_bytes == path.stat().st_size
    assert result.seconds == 1
    assert result.kbps == pytest.approx(path.stat().st_size * 8 / 1000)
    assert calls[-1] == (1.0, 1.0)
    calls.clear()
    result = decode_file(path, tmp_path / "out.wav", device="cpu", rate=8000, progress=lambda *call: calls.append(call))
    assert (result.file_bytes, result.seconds) == (path.stat().st_size, 1)
    assert calls[-1] == (1.0, 1.0)


def test_an_empty_file_has_no_bitrate(encoded, tmp_path):
    result = decode_file(encoded(0), tmp_path / "a.wav", device="cpu")
    assert (result.num_samples, result.kbps, result.seconds) == (0, 0, 0)


def test_higher_quality_is_nearer_and_larger(speech, tmp_path, tiny_network, tiny_model):
    """Even random networks quantise finer at a higher quality."""
    sizes = []
    for quality in (1, 5, 9.99):
        encode_file(speech, tmp_path / "a.hsnd", model=tiny_model, quality=quality, device="cpu", overwrite=True)
        assert header_of(tmp_path / "a.hsnd").quality == round(100 * quality)
        sizes.append((tmp_path / "a.hsnd").stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[2] > 2 * sizes[0]


def test_coding_does_not_depend_on_level(tmp_path, tiny_model, noise):
    samples = noise(8000)
    contents = []
    for gain in (1.0, 2.0**-10):
        soundfile.write(tmp_path / "a.wav", samples * gain, 16_000, subtype="FLOAT")
        encode_file(tmp_path / "a.wav", tmp_path / "a.hsnd", model=tiny_model, device="cpu", overwrite=True)
        header = header_of(tmp_path / "a.hsnd")
        assert header.gain == pytest.approx(np.abs(samples).max() * gain / REFERENCE_PEAK)
        contents.append((tmp_path / "a.hsnd").read_bytes()[68:])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("num_channels", [1, 2])
def test_silence_stays_digital_silence(tmp_path, tiny_model, num_channels):
    soundfile.write(tmp_path / "a.wav", np.zeros((20_000, num_channels)), 44_100)
    encode_file(tmp_path / "a.wav", tmp_path / "a.hsnd", model=tiny_model, device="cpu")
    assert header_of(tmp_path / "a.hsnd").gain == SILENT_GAIN
    for rate in (None, 48_000):
        samples = decoded(tmp_path / "a.hsnd", rate=rate)
        assert not samples.any()


def test_clipped_samples_are_counted(tmp_path, tiny_model, noise):
    soundfile.write(tmp_path / "a.wav", noise(8000) * 8, 16_000, subtype="FLOAT")
    encode_file(tmp_path / "a.wav", tmp_path / "a.hsnd", model=tiny_model, device="cpu")
    assert decode_file(tmp_path / "a.hsnd", tmp_path / "b.wav", device="cpu").clipped_samples > 0
    result = decode_file(tmp_path / "a.hsnd", tmp_path / "c.wav", device="cpu", subtype="FLOAT")
    assert result.clipped_samples == 0


@pytest.mark.parametrize("quality", [-0.01, 10.01, float("nan"), float("inf")])
def test_quality_out_of_range(speech, tmp_path, tiny_model, quality):
    with pytest.raises(HscodecError, match="quality must be between 0 and 10"):
        encode_file(speech, tmp_path / "a.hsnd", model=tiny_model, quality=quality, device="cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [0, -1, 999, 384_001])
def test_output_rate_out_of_range(encoded, tmp_path, rate):
    path = encoded(10)
    with pytest.raises(HscodecError, match="output rate must be between"):
        decode_file(path, tmp_path / "a.wav", rate=rate, device="cpu")


@pytest.mark.parametrize("rate", [999, 384_001, 768_000])
def test_a_rate_in_the_header_that_is_out_of_range(tmp_path, tiny_model, rate):
    path = tmp_path / "a.hsnd"
    header = FileHeader(
        sample_rate=rate, num_channels=1, num_samples=0, num_weights=9, quality=0, model_id=tiny_model.model_id
    )
    with path.open("wb") as file:
        ContainerWriter(file, header).close()
    with pytest.raises(FormatError, match="choose an output rate"):
        decode_file(path, tmp_path / "a.wav", device="cpu")
    assert decoded(path, rate=8000).shape == (0, 1)


def test_samples_beyond_all_reason(tmp_path, tiny_model):
    soundfile.write(tmp_path / "a.wav", np.array([0, 1e38], np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="cannot be encoded"):
        encode_file(tmp_path / "a.wav", tmp_path / "a.hsnd", model=tiny_model, device="cpu")
    soundfile.write(tmp_path / "b.wav", np.array([0, MAX_PEAK], np.float32), 16_000, subtype="FLOAT")
    encode_file(tmp_path / "b.wav", tmp_path / "b.hsnd", model=tiny_model, device="cpu")
    assert np.isfinite(decoded(tmp_path / "b.hsnd", subtype="FLOAT")).all()


def test_existing_files_are_kept(encoded, tmp_path, speech, tiny_model):
    path = encoded(100)
    before = path.read_bytes()
    with pytest.raises(HscodecError, match="exists"):
        encode_file(speech, path, model=tiny_model, device="cpu")
    assert path.read_bytes() == before
    (tmp_path / "a.wav").write_text("mine")
    with pytest.raises(HscodecError, match="exists"):
        decode_file(path, tmp_path / "a.wav", device="cpu")
    assert (tmp_path / "a.wav").read_text() == "mine"


def test_a_source_that_breaks_off_leaves_nothing_behind(tmp_path, tiny_model, noise):
    soundfile.write(tmp_path / "a.flac", noise(200_000), 16_000)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError):
        encode_file(tmp_path / "a.flac", tmp_path / "a.hsnd", model=tiny_model, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]


@pytest.mark.parametrize("name", ["nowhere.hsnd", "."])
def test_missing_sources(tmp_path, name):
    with pytest.raises(FormatError):
        decode_file(tmp_path / name, tmp_path / "a.wav", device="cpu")
    with pytest.raises(FormatError):
        verify_file(tmp_path / name)


def test_truncated_files_are_refused(encoded, tmp_path):
    path = encoded(1000)
    whole = path.read_bytes()
    for stop in sorted({0, 4, 67, 68, 80, len(whole) // 2, len(whole) - 30, len(whole) - 1}):
        path.write_bytes(whole[:stop])
        with pytest.raises(FormatError):
            decode_file(path, tmp_path / "a.wav", device="cpu")
        assert not (tmp_path / "a.wav").exists()


def test_damaged_chunks_are_refused(encoded, tmp_path):
    path = encoded(1000)
    whole = bytearray(path.read_bytes())
    whole[110] ^= 1
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="chunk 0"):
        decode_file(path, tmp_path / "a.wav", device="cpu")
    assert not (tmp_path / "a.wav").exists()


def test_another_model_is_refused(encoded, tmp_path, tiny_model, tiny_model_path, monkeypatch):
    path = encoded(1000)
    other = replace(tiny_model, sha256="0" * 64)
    with pytest.raises(ModelError, match="made with the model"):
        decode_file(path, tmp_path / "a.wav", model=other, device="cpu")
    assert decoded(path, model=tiny_model).any()
    monkeypatch.setenv("HSCODEC_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match=tiny_model.model_id.hex()):
        decode_file(path, tmp_path / "a.wav", device="cpu")
    with pytest.raises(ModelError, match="not installed"):
        verify_file(path)


def test_unknown_device(encoded, speech, tmp_path, tiny_model):
    path = encoded(10)
    with pytest.raises(HscodecError, match="unknown device"):
        decode_file(path, tmp_path / "a.wav", device="abacus")
    with pytest.raises(HscodecError, match="unknown device"):
        encode_file(speech, tmp_path / "b.hsnd", model=tiny_model, device="abacus")


def test_the_package_names_its_parts():
    assert sorted(codec.__all__) == codec.__all__
    for name in codec.__all__:
        assert getattr(codec, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = codec.Nothing


def test_paths_may_be_text(encoded, tmp_path):
    path = encoded(100)
    target = str(tmp_path / "text.wav")
    decode_file(str(path), target, device="cpu")
    assert Path(target).exists()
