"""Physics of the lapped SIREN: pure tones through any grid, exact round trips, and samplings that agree."""

import math
from fractions import Fraction

import pytest
import torch

from hscodec.inr.lapped import LappedSiren, features

NATIVE_RATES_HZ = [8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
TONES_HZ = [12.3, 50.0, 100.0, 440.0, 997.0, 1000.0, 1234.567, 2718.28, 3000.0, 4321.987, 5000.0, 5678.9, 6000.0]
"""Multiples of 50 Hz fit the lattice exactly and come out exactly; the others are the hard ones."""


def tone(frequency_hz, rate, num_samples, *, start_s=0.0):
    """Return an ideal sine [T], sample n at start + (n + 1/2) / rate."""
    time = (torch.arange(num_samples, dtype=torch.float64) + 0.5) / rate + start_s
    return torch.sin(2 * math.pi * frequency_hz * time + 0.3)


def tone_weights(frequency_hz, rate, num_segments=40):
    """Return the weights [S, K] of a tone; time 0 is the centre of segment 0."""
    per_hop = rate // 50
    samples = tone(frequency_hz, rate, (num_segments + 1) * per_hop, start_s=-0.02)
    return LappedSiren(per_hop).analyze(samples, per_hop)


def middle(samples):
    return samples[..., samples.shape[-1] // 4 : 3 * samples.shape[-1] // 4]


def snr_db(reference, estimate):
    return 10 * torch.log10((reference**2).mean() / ((reference - estimate) ** 2).mean()).item()


def random_weights(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rate", NATIVE_RATES_HZ)
@pytest.mark.parametrize(("dtype", "minimum_db"), [(torch.float64, 250), (torch.float32, 125)])
def test_round_trip_is_exact_at_native_rates(rate, dtype, minimum_db):
    per_hop = rate // 50
    samples = random_weights(2, 9 * per_hop, dtype=dtype)
    network = LappedSiren(per_hop)
    theta = network.analyze(samples, per_hop)
    assert theta.shape == (2, 8, per_hop)
    inner = samples[:, per_hop:-per_hop]
    rendered = network.synthesize(theta, per_hop)
    assert rendered.shape == inner.shape
    assert rendered.dtype == dtype
    assert snr_db(inner, rendered) > minimum_db


@pytest.mark.parametrize("frequency_hz", TONES_HZ)
@pytest.mark.parametrize("rate", [48_000, 22_050])
def test_tones_encoded_at_16_khz_are_ideal_at_other_rates(frequency_hz, rate):
    rendered = LappedSiren(320).synthesize(tone_weights(frequency_hz, 16_000), Fraction(rate, 50))
    assert snr_db(middle(tone(frequency_hz, rate, len(rendered))), middle(rendered)) > 80


@pytest.mark.parametrize("frequency_hz", [440.0, 1234.567, 4321.987])
@pytest.mark.parametrize("rate", [11_025, 12_345, 44_100, 96_000])
def test_tones_survive_fractional_and_high_rates(frequency_hz, rate):
    rendered = LappedSiren(320).synthesize(tone_weights(frequency_hz, 16_000), Fraction(rate, 50))
    assert snr_db(middle(tone(frequency_hz, rate, len(rendered))), middle(rendered)) > 75


@pytest.mark.parametrize("frequency_hz", [4500.0, 4567.8, 4999.9, 5555.5, 6789.1, 7000.0, 7777.0])
def test_a_lower_rate_does_not_alias(frequency_hz):
    rendered = LappedSiren(320).synthesize(tone_weights(frequency_hz, 16_000), Fraction(8000, 50))
    level_db = 10 * torch.log10((middle(rendered) ** 2).mean() / 0.5 + 1e-30).item()
    assert level_db < -60


def test_weights_do_not_depend_on_the_rate():
    reference = tone_weights(1234.567, 48_000)
    for rate in (16_000, 22_050, 44_100):
        theta = tone_weights(1234.567, rate)
        shared = min(theta.shape[-1], 250)
        assert snr_db(reference[:, :shared], theta[:, :shared]) > 70


def test_features_above_the_nyquist_frequency_are_zero():
    theta = LappedSiren(960).analyze(random_weights(5 * 320), 320)
    assert theta.shape == (4, 960)
    assert not theta[:, 320:].any()
    assert torch.equal(theta[:, :320], LappedSiren(320).analyze(random_weights(5 * 320), 320))


def test_analysis_is_the_documented_sum():
    per_hop = 12
    samples = random_weights(3 * per_hop)
    position = (torch.arange(2 * per_hop, dtype=torch.float64) + 0.5) / per_hop - 1
    expected = 2 / per_hop * samples.unfold(0, 2 * per_hop, per_hop) @ features(position, 7)
    torch.testing.assert_close(LappedSiren(7).analyze(samples, per_hop), expected)


def test_the_hidden_layer_is_the_documented_one():
    position = torch.linspace(-1, 1, 9, dtype=torch.float64)
    values = features(position, 3)
    for row, t in enumerate(position.tolist()):
        for k in range(3):
            omega, b = math.pi * (k + 0.5), 1.5 * math.pi * (k + 0.5) + math.pi / 2
            expected = math.cos(math.pi * t / 2) * math.sin(omega * t + b)
            assert values[row, k].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rate", [8000, 11_025, 12_345, 16_000, 22_050, 48_000])
def test_sampling_the_grid_is_synthesis(rate):
    grid = Fraction(rate, 50)
    network = LappedSiren(320)
    theta = random_weights(2, 6, 320)
    rendered = network.synthesize(theta, grid)
    assert rendered.shape == (2, math.ceil(5 * grid - Fraction(1, 2)))
    times = (torch.arange(rendered.shape[-1], dtype=torch.float64) + 0.5) / float(grid)
    sampled = network.sample(theta, times, band_limit=float(grid) / 2)
    torch.testing.assert_close(sampled, rendered, rtol=0, atol=1e-9)


@pytest.mark.parametrize("grid", [Fraction(320), Fraction(441, 2), Fraction(2469, 10), Fraction(1, 3), Fraction(7, 5)])
@pytest.mark.parametrize("cuts", [(1,), (4, 5), (3, 7, 8)])
def test_parts_equal_the_whole(grid, cuts):
    """A part that starts at a later segment falls onto the same grid; neighbours share one segment."""
    network = LappedSiren(40)
    theta = random_weights(2, 12, 40)
    bounds = [0, *cuts, 11]
    parts = [
        network.synthesize(theta[:, start : stop + 1], grid, first_segment=start)
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    torch.testing.assert_close(torch.cat(parts, -1), network.synthesize(theta, grid))


def test_a_whole_grid_and_a_fractional_one_agree():
    """Whole grids are evaluated by a Fourier transform, fractional ones by matrix products."""
    network = LappedSiren(20)
    theta = random_weights(8, 20)
    # Every third sample of a grid three times as fine is the coarse grid: (3 n + 1 + 1/2) / 3 g = (n + 1/2) / g.
    coarse = network.synthesize(theta, Fraction(81, 2))
    torch.testing.assert_close(network.synthesize(theta, Fraction(243, 2))[1::3], coarse)
    coarse = network.synthesize(theta, 40)
    torch.testing.assert_close(network.synthesize(theta, 120)[1::3], coarse)
    torch.testing.assert_close(network.sample(theta, (torch.arange(280, dtype=torch.float64) + 0.5) / 40), coarse)


def test_nothing_sounds_outside():
    network = LappedSiren(8)
    times = torch.tensor([-3.0, -1e-9, 3.0, 4.0, math.inf, -math.inf, math.nan], dtype=torch.float64)
    assert not network.sample(random_weights(2, 4, 8), times).any()
    assert network.sample(random_weights(2, 4, 8), times[:0]).shape == (2, 0)


@pytest.mark.parametrize("num_segments", [0, 1])
def test_less_than_two_segments_render_nothing(num_segments):
    network = LappedSiren(8)
    theta = random_weights(2, num_segments, 8)
    assert network.synthesize(theta, 16).shape == (2, 0)
    assert network.synthesize(theta, Fraction(5, 2)).shape == (2, 0)
    assert not network.sample(theta, torch.tensor([-0.5, 0.0, 0.5])).any()


def test_many_times_are_sampled_in_blocks():
    network = LappedSiren(5)
    theta = random_weights(4, 5)
    times = torch.rand(9000, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    sampled = network.sample(theta, times)
    order = torch.randperm(len(times), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network.sample(theta, times[order]), sampled[order])


def test_gradient_with_respect_to_time():
    network = LappedSiren(6)
    theta = random_weights(4, 6)
    times = torch.tensor([0.1, 0.9, 1.0001, 2.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda times: network.sample(theta, times), (times,))


def test_gradient_with_respect_to_weights_and_samples():
    network = LappedSiren(6)
    theta = random_weights(2, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda theta: network.synthesize(theta, 8), (theta,))
    assert torch.autograd.gradcheck(lambda theta: network.synthesize(theta, Fraction(5, 2)), (theta,))
    samples = random_weights(2, 5 * 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda samples: network.analyze(samples, 6), (samples,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grid", [Fraction(14), Fraction(31, 2)])
def test_training_works_after_inference(dtype, grid):
    """What is cached under inference mode must not be a tensor that autograd refuses."""
    num_weights = 13 if dtype == torch.float32 else 11  # sizes that no other test has cached
    network = LappedSiren(num_weights)
    samples = random_weights(5 * 14, dtype=dtype)
    with torch.inference_mode():
        network.synthesize(network.analyze(samples, 14), grid)
    samples = samples.clone().requires_grad_()
    network.synthesize(network.analyze(samples, 14), grid).square().sum().backward()
    assert samples.grad is not None
    assert samples.grad.any()


def test_a_network_needs_a_weight():
    with pytest.raises(ValueError, match="at least one weight"):
        LappedSiren(0)


@pytest.mark.parametrize("grid", [Fraction(14), Fraction(31, 2)])
def test_fine_grids_are_rendered_in_blocks(grid, monkeypatch):
    network = LappedSiren(12)
    theta = random_weights(2, 9, 12)
    whole = network.synthesize(theta, grid, first_segment=3)
    monkeypatch.setattr("hscodec.inr.lapped._BLOCK_SAMPLES", 50)
    torch.testing.assert_close(network.synthesize(theta, grid, first_segment=3), whole)
