"""`Reader.sample`: the sound as a function of time is the one that `read` samples."""

import io
import math
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch

from hscodec.codec import Decoder, Reader, encode_file
from hscodec.codec.fit import FitConfig
from hscodec.codec.fit_file import fit_file
from hscodec.container import ContainerReader
from hscodec.errors import FormatError, HscodecError
from hscodec.inr.mlp import MlpConfig
from hscodec.registry import load_model

TOLERANCE = 3e-6
"""Of the peak."""


def grid_times(reader, start=0, stop=None):
    """Return the times of the samples `[start, stop)` of a reader in seconds of the encoded sound."""
    index = torch.arange(start, reader.num_samples if stop is None else stop, dtype=torch.float64)
    return (index + 0.5) / float(reader.playback.samples_per_second)


def nyquist_hz(reader):
    return float(reader.playback.samples_per_second) / 2


@pytest.fixture(scope="module")
def stereo_file(tmp_path_factory):
    """Six seconds: clicks out of silence, nearly the same in both channels, coded with rotation and attacks."""
    folder = tmp_path_factory.mktemp("stereo")
    random = np.random.default_rng(0)
    time = np.arange(6 * 16_000) / 16_000
    sound = 1e-4 * random.standard_normal(time.size)
    for onset in (0.4, 0.9037, 4.99, 5.3):
        sound += (time >= onset) * 0.5 * random.uniform(-1, 1, time.size) * np.exp(-40 * np.maximum(time - onset, 0))
    channels = np.stack([sound, 0.7 * sound], 1)
    soundfile.write(folder / "in.wav", channels, 16_000, subtype="FLOAT")
    encode_file(folder / "in.wav", folder / "out.hsnd", model=load_model("hsc-5"), device="cpu")
    with Reader(folder / "out.hsnd", device="cpu") as reader:
        assert len(reader.symbols(0).attacks)
        assert reader.symbols(0).rotations.any()
    return folder / "out.hsnd"


@pytest.mark.parametrize(("rate", "speed"), [(None, 1), (44_100, 1), (6000, 1), (Fraction(48_000_000, 1001), 3)])
@pytest.mark.parametrize("name", ["stereo_file", "long_file", "many_chunks"])
def test_at_the_times_of_a_grid_it_is_what_is_read(request, name, rate, speed):
    with Reader(request.getfixturevalue(name), rate=rate, speed=speed, device="cpu") as reader:
        expected = reader.read()
        found = reader.sample(grid_times(reader), band_limit_hz=nyquist_hz(reader))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE * expected.abs().max().item())


def test_rate_and_speed_of_the_reader_play_no_role(long_file):
    times = torch.rand(100, dtype=torch.float64) * 14
    with Reader(long_file, device="cpu") as plain, Reader(long_file, rate=1000, speed=4, device="cpu") as other:
        assert torch.equal(plain.sample(times), other.sample(times))
        assert (plain.sample(times) - other.sample(times, band_limit_hz=500)).abs().max() > 1e-3


def test_a_tone_at_arbitrary_times(tmp_path):
    """Its phase and level are those of the tone, up to what coding costs."""
    at = (np.arange(48_000) + 0.5) / 16_000
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 997 * at), 16_000, subtype="FLOAT")
    encode_file(
        tmp_path / "tone.wav", tmp_path / "a.hsnd", model=load_model("hsc-4-fidelity"), quality=10, device="cpu"
    )
    times = 0.1 + 2.8 * torch.rand(4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = 0.5 * torch.sin(2 * math.pi * 997 * times)
    with Reader(tmp_path / "a.hsnd", device="cpu") as reader:
        error = reader.sample(times)[0] - expected
        on_grid = reader.read(1600, 46_400)[0] - expected.new_tensor(0.5 * np.sin(2 * np.pi * 997 * at[1600:46_400]))
    snr_db = 10 * torch.log10(expected.square().mean() / error.square().mean()).item()
    assert snr_db > 50
    # What coding costs is the same between the samples as on them.
    assert error.square().mean().sqrt() < 1.2 * on_grid.square().mean().sqrt()


def test_order_and_precision_of_the_times(long_file):
    times = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 14
    with Reader(long_file, device="cpu") as reader:
        found = reader.sample(times)
        order = torch.randperm(500, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(reader.sample(times[order]), found[:, order], rtol=0, atol=1e-6)
        single = times.float()
        torch.testing.assert_close(reader.sample(single), reader.sample(single.double()))
        assert torch.equal(reader.sample(times[:1].repeat(3)), found[:, :1].expand(-1, 3))


def test_outside_there_is_silence(long_file):
    end = 114_321 / 8000
    times = torch.tensor([-1, -1e-9, end, end + 1, 1e30, math.inf, -math.inf, math.nan], dtype=torch.float64)
    with Reader(long_file, device="cpu") as reader:
        assert not reader.sample(times).any()
        assert reader.sample(times[:0]).shape == (2, 0)
        assert reader.sample(torch.tensor([0.0, end - 1e-6], dtype=torch.float64)).all()


def test_the_gradient_is_the_slope(stereo_file):
    """Central differences of what is returned, in front of attacks too, where the gain has a slope of its own.

    None of the times is a multiple of the hop: there coded sound has a kink.
    """
    step = 1e-6
    times = torch.tensor([0.385, 0.3991, 0.4203, 0.9003, 3.303, 5.29, 5.31, -1.0, 7.0], dtype=torch.float64)
    with Reader(stereo_file, device="cpu") as reader:
        variable = times.clone().requires_grad_()
        samples = reader.sample(variable)
        assert torch.equal(samples, reader.sample(times))
        found = torch.stack([torch.autograd.grad(row.sum(), variable, retain_graph=True)[0] for row in samples])
        later, earlier = reader.sample(times + step), reader.sample(times - step)
    expected = (later - earlier).double() / (2 * step)
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=1e-3 * found.abs().max().item())
    assert not found[:, -2:].any()


def test_gradients_reach_times_in_single_precision(long_file):
    times = torch.rand(20).requires_grad_()
    with Reader(long_file, device="cpu") as reader:
        reader.sample(times).square().sum().backward()
        assert times.grad.dtype == torch.float32
        with torch.no_grad():
            assert not reader.sample(times).requires_grad


def test_only_what_is_needed_is_refined_and_it_is_kept(long_file, monkeypatch):
    refined = []
    refine = Decoder._refined
    monkeypatch.setattr(Decoder, "_refined", lambda self, *part: refined.append(part[2]) or refine(self, *part))
    with Reader(long_file, device="cpu") as reader:
        reader.sample(torch.tensor([12.0, 0.1, 12.1], dtype=torch.float64))
        assert sorted(refined) == [0, 500]
        reader.sample(torch.tensor([0.2, 13.0], dtype=torch.float64))
        assert len(refined) == 2


def test_lost_chunks_are_silence_or_a_failure(long_file, tiny_model):
    content = bytearray(long_file.read_bytes())
    chunk = ContainerReader(io.BytesIO(content)).chunks[1]
    content[(chunk.offset + chunk.stop_offset) // 2] ^= 1
    early, late = torch.tensor([1.0], dtype=torch.float64), torch.tensor([6.0, 10.0], dtype=torch.float64)
    with Reader(io.BytesIO(content), model=tiny_model, device="cpu") as reader:
        with pytest.raises(FormatError, match="chunk 1"):
            reader.sample(late)
    with Reader(io.BytesIO(content), model=tiny_model, device="cpu", keep_going=True) as reader:
        assert not reader.sample(late).any()
        assert reader.sample(early).any()
        assert reader.lost == [(pytest.approx(4.98), pytest.approx(114_321 / 8000))]
        expected = reader.read()
        torch.testing.assert_close(reader.sample(grid_times(reader)), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("times", "band_limit_hz", "message"),
    [
        (torch.zeros(2, 2), None, "vector of floats"),
        (torch.arange(3), None, "vector of floats"),
        (torch.zeros(2), 0.0, "band limit must be a frequency"),
        (torch.zeros(2), math.inf, "band limit must be a frequency"),
        (torch.zeros(2), math.nan, "band limit must be a frequency"),
    ],
)
def test_what_cannot_be_sampled(long_file, times, band_limit_hz, message):
    with Reader(long_file, device="cpu") as reader, pytest.raises(HscodecError, match=message):
        reader.sample(times, band_limit_hz=band_limit_hz)


@pytest.fixture(scope="module", params=["siren", "fmlp"])
def fitted_file(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    at = np.arange(3_300) / 8000
    channels = np.stack([np.sin(2 * np.pi * 200 * at), 0.3 * np.sin(2 * np.pi * 320 * at)], 1)
    soundfile.write(folder / "in.wav", 0.5 * channels, 8000, subtype="FLOAT")
    network = (
        MlpConfig(kind="siren", hidden_layers=2, width=12, omega_0=300.0, omega=20.0)
        if request.param == "siren"
        else MlpConfig(kind="fmlp", hidden_layers=2, width=12, num_frequencies=6)
    )
    config = FitConfig(network, segment_seconds=Fraction(1, 10), steps=30, learning_rate=5e-3)
    fit_file(folder / "in.wav", folder / "out.hsnd", config=config, device="cpu")
    return folder / "out.hsnd"


@pytest.mark.parametrize(("rate", "speed"), [(None, 1), (11_025, 1), (44_100, Fraction(1, 3))])
def test_networks_with_hidden_layers_are_sampled_and_played_alike(fitted_file, rate, speed):
    with Reader(fitted_file, rate=rate, speed=speed, device="cpu") as reader:
        expected = reader.read()
        assert expected.shape[1] == round(3_300 * Fraction(rate or 8000) / 8000 / speed)
        found = reader.sample(grid_times(reader))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
        for start, stop in ((0, None), (100, 2345)):
            backwards = torch.cat(list(reader.blocks(start, stop, reverse=True)), 1)
            assert torch.equal(backwards, expected[:, start:stop].flip(1))


def test_the_gradient_of_networks_with_hidden_layers(fitted_file):
    times = torch.tensor([0.33, 0.05, 0.1501], dtype=torch.float64, requires_grad=True)
    with Reader(fitted_file, device="cpu") as reader:
        (found,) = torch.autograd.grad(reader.sample(times).sum(), times)
        with torch.no_grad():
            expected = (reader.sample(times + 1e-5) - reader.sample(times - 1e-5)).sum(0).double() / 2e-5
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.1 * found.abs().max().item())
        with pytest.raises(HscodecError, match="they know no band limit"):
            reader.sample(times, band_limit_hz=1000)


def test_lost_networks_with_hidden_layers_are_silent(fitted_file):
    content = bytearray(fitted_file.read_bytes())
    content[len(content) // 2] ^= 1
    with Reader(io.BytesIO(content), device="cpu", keep_going=True) as reader:
        times = torch.tensor([0.1, 0.3], dtype=torch.float64, requires_grad=True)
        samples = reader.sample(times)
        assert not samples.any()
        samples.sum().backward()
        assert not times.grad.any()
