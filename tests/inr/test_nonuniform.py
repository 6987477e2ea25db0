"""The non-uniform Fourier transform is the sum of sines that it stands for, values and slopes."""

import math

import pytest
import torch

from hscodec.inr import nonuniform
from hscodec.inr.lapped import LappedSiren
from hscodec.inr.nonuniform import sample_nonuniform
from hscodec.inr.slopes import differentiable


def random_weights(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def random_times(count, *, stop, start=0.0, seed=1):
    return start + (stop - start) * torch.rand(
        count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def norm(theta):
    """Return the root of the sum of squares of the weights of a segment, the mean over all of them."""
    return theta.square().sum(-1).mean().sqrt().item()


@pytest.mark.parametrize("num_weights", [1, 2, 5, 40, 441, 960])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-6), (torch.float64, 2e-12)])
def test_it_is_the_sum_of_sines(num_weights, dtype, tolerance):
    theta = random_weights(2, 12, num_weights)
    times = torch.cat([random_times(600, start=-1, stop=13), torch.arange(12.0)])
    expected = LappedSiren(num_weights).sample(theta, times)
    values, slopes = sample_nonuniform(theta.to(dtype), times)
    assert slopes is None
    assert values.dtype == dtype
    assert (values - expected).abs().max() < tolerance * norm(theta)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-6), (torch.float64, 2e-12)])
def test_slopes_are_the_derivative(dtype, tolerance):
    theta = random_weights(6, 320)
    times = random_times(300, stop=5).requires_grad_()
    (expected,) = torch.autograd.grad(LappedSiren(320).sample(theta, times).sum(), times)
    slopes = sample_nonuniform(theta.to(dtype), times, with_slopes=True).slopes
    assert (slopes - expected).abs().max() < tolerance * norm(theta) * math.pi * 320


def test_the_gradient_is_that_of_finite_differences():
    theta = random_weights(2, 4, 6)

    def sampled(times):
        return differentiable(times, *sample_nonuniform(theta, times, with_slopes=True))

    times = torch.tensor([2.5, 0.1, 0.9, 1.0001, -0.5, 3.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sampled, (times,))


@pytest.mark.parametrize("frequency_hz", [12.3, 440.0, 1234.567, 4321.987, 6000.0])
def test_tones_are_ideal_at_arbitrary_times(frequency_hz):
    """A tone at 16 kHz, analyzed, is a tone between its samples as well; 0.3 is its phase at time 0."""
    per_hop, num_segments = 320, 40
    at = ((torch.arange((num_segments + 1) * per_hop, dtype=torch.float64) + 0.5) / per_hop - 1) / 50
    theta = LappedSiren(per_hop).analyze(torch.sin(2 * math.pi * frequency_hz * at + 0.3), per_hop)
    times = random_times(5000, start=10, stop=30)
    expected = torch.sin(2 * math.pi * frequency_hz * times / 50 + 0.3)
    error = sample_nonuniform(theta.float(), times).values - expected
    assert 10 * torch.log10(expected.square().mean() / error.square().mean()) > 80


@pytest.mark.parametrize("band_limit", [0.2, 0.5, 7.3, 20.0, 99.0])
def test_a_band_limit_drops_what_is_above(band_limit):
    theta = random_weights(5, 40)
    times = random_times(50, stop=4)
    kept = int(2 * band_limit)
    expected = LappedSiren(40).sample(torch.cat([theta[:, :kept], torch.zeros_like(theta[:, kept:])], 1), times)
    torch.testing.assert_close(sample_nonuniform(theta, times, band_limit=band_limit).values, expected)


def test_nothing_sounds_outside():
    times = torch.tensor([-3.0, -1e-9, 3.0, 4.0, math.inf, -math.inf, math.nan], dtype=torch.float64)
    values, slopes = sample_nonuniform(random_weights(2, 4, 8), times, with_slopes=True)
    assert not values.any()
    assert not slopes.any()
    assert sample_nonuniform(random_weights(2, 4, 8), times[:0]).values.shape == (2, 0)


@pytest.mark.parametrize("num_segments", [0, 1])
def test_less_than_two_segments_render_nothing(num_segments):
    theta = random_weights(3, 2, num_segments, 8)
    values = sample_nonuniform(theta, torch.tensor([-0.5, 0.0, 0.5])).values
    assert values.shape == (3, 2, 3)
    assert not values.any()


def test_order_and_blocks_do_not_matter(monkeypatch):
    theta = random_weights(2, 3, 30, 12)
    times = random_times(2000, stop=29)
    whole = sample_nonuniform(theta, times, with_slopes=True)
    assert whole.values.shape == (2, 3, 2000)
    monkeypatch.setattr(nonuniform, "_BLOCK_HOPS", 7)
    monkeypatch.setattr(nonuniform, "_BLOCK_TIMES", 100)
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(2))
    parts = sample_nonuniform(theta, times[order], with_slopes=True)
    for part, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(part, expected[..., order])


def test_single_precision_times_are_taken_as_they_are():
    theta = random_weights(4, 20)
    times = random_times(50, stop=3).float()
    expected = LappedSiren(20).sample(theta, times.double())
    torch.testing.assert_close(sample_nonuniform(theta, times).values, expected)
