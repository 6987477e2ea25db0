"""Segments side by side: each sample is its own segment's, on any grid, and parts are slices of the whole."""

import math
from fractions import Fraction

import pytest
import torch

from hscodec.inr import segments
from hscodec.inr.mlp import Mlp, MlpConfig, MlpKind, initial_weights
from hscodec.inr.segments import SegmentedMlp

CONFIGS = {
    kind.value: MlpConfig(kind=kind, hidden_layers=2, width=6, num_frequencies=3, omega_0=9.0) for kind in MlpKind
}
KINDS = pytest.mark.parametrize("kind", CONFIGS)
GRIDS = [Fraction(1), Fraction(20), Fraction(41, 2), Fraction(127, 9), Fraction(7, 5), Fraction(1, 3), Fraction(2, 7)]


def networks(kind="siren", count=6, seed=0):
    """Return a renderer and weights of `count` segments, float64."""
    theta = initial_weights(CONFIGS[kind], count, torch.Generator().manual_seed(seed)).double()
    return SegmentedMlp(Mlp(CONFIGS[kind])), theta


@pytest.mark.parametrize("first_segment", [0, 3, 100_001])
@pytest.mark.parametrize("grid", GRIDS)
@KINDS
def test_each_sample_is_that_of_its_segment(kind, grid, first_segment):
    target, theta = networks(kind)
    samples = target.synthesize(theta, grid, first_segment=first_segment)
    expected = []
    sample = math.floor(first_segment * grid) - 1
    while (position := (sample + Fraction(1, 2)) / grid) < first_segment + len(theta):
        if position >= first_segment:
            segment = math.floor(position)
            coordinate = torch.tensor([float(2 * (position - segment) - 1)], dtype=torch.float64)
            expected.append(target.mlp(theta[segment - first_segment][None], coordinate)[0, 0])
        sample += 1
    assert samples.dtype == theta.dtype
    torch.testing.assert_close(samples, torch.stack(expected))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("cuts", [(1,), (2, 3), (1, 4, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@KINDS
def test_parts_equal_the_whole_to_the_last_bit(kind, dtype, grid, cuts):
    target, theta = networks(kind)
    theta = theta.to(dtype)
    bounds = [0, *cuts, len(theta)]
    parts = [
        target.synthesize(theta[start:stop], grid, first_segment=start)
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    assert torch.equal(torch.cat(parts), target.synthesize(theta, grid))


@pytest.mark.parametrize("grid", GRIDS)
@KINDS
def test_a_regular_grid_is_made_of_times(kind, grid):
    target, theta = networks(kind)
    samples = target.synthesize(theta, grid)
    times = (torch.arange(len(samples), dtype=torch.float64) + 0.5) / float(grid)
    torch.testing.assert_close(target.sample(theta, times), samples)


@pytest.mark.parametrize("grid", [Fraction(24_000, 50), Fraction(22_050 * 7, 100), Fraction(11_111, 50)])
def test_a_tone_is_the_same_sound_at_every_rate(grid):
    """Each segment a SIREN of one neuron, with its phase moved on: together one sine of 12.3 cycles in a hop."""
    target, cycles = SegmentedMlp(Mlp(MlpConfig(kind="siren", hidden_layers=1, width=1, omega_0=2000.0))), 12.3
    centres = torch.arange(5, dtype=torch.float64) + 0.5
    phases = 2 * math.pi * cycles * centres
    theta = torch.stack([torch.full_like(phases, math.pi * cycles), phases, torch.full_like(phases, 2000 * 0.5)], -1)
    theta = torch.cat([theta / 2000, torch.zeros(5, 1, dtype=torch.float64)], -1)
    samples = target.synthesize(theta, grid)
    times = (torch.arange(len(samples), dtype=torch.float64) + 0.5) / float(grid)
    assert len(samples) == math.ceil(5 * grid - Fraction(1, 2))
    torch.testing.assert_close(samples, 0.5 * torch.sin(2 * math.pi * cycles * times), rtol=0, atol=1e-8)


def test_a_moment_on_the_joint_belongs_to_the_later_segment():
    target, theta = networks()
    early, late = (torch.tensor([value], dtype=torch.float64) for value in (1.0, -1.0))
    values = target.sample(theta, torch.tensor([2.0, 2.0 - 1e-12], dtype=torch.float64))
    torch.testing.assert_close(values[:1], target.mlp(theta[2:3], late)[0])
    torch.testing.assert_close(values[1:], target.mlp(theta[1:2], early)[0])


def test_times_may_come_in_any_order():
    target, theta = networks()
    times = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 8 - 1
    values = target.sample(theta, times)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(target.sample(theta, times[order]), values[order])
    for index in (0, 7, 499):
        torch.testing.assert_close(target.sample(theta, times[index : index + 1])[0], values[index])


def test_nothing_sounds_outside():
    target, theta = networks()
    times = torch.tensor([-3.0, -1e-9, 6.0, 7.0, math.inf, -math.inf, math.nan], dtype=torch.float64)
    assert not target.sample(theta, times).any()
    assert target.sample(theta, times[:0]).shape == (0,)
    assert target.sample(theta[:0], torch.tensor([0.5])).tolist() == [0]


@pytest.mark.parametrize("grid", GRIDS)
def test_no_segments_render_nothing(grid):
    target, theta = networks()
    assert target.synthesize(theta[:0], grid).shape == (0,)


def test_a_grid_may_have_no_sample_in_a_segment():
    target, theta = networks(count=1)
    assert target.synthesize(theta, Fraction(1, 3), first_segment=0).shape == (0,)
    assert target.synthesize(theta, Fraction(1, 3), first_segment=1).shape == (1,)


@pytest.mark.parametrize("grid", [Fraction(50), Fraction(101, 2)])
@pytest.mark.parametrize("block_values", [1, 6 * 20, 2**20])
def test_blocks_do_not_show(monkeypatch, grid, block_values):
    """In blocks of a single moment, of a part of a segment, or of all."""
    target, theta = networks()
    times = torch.linspace(-0.5, 6.5, 333, dtype=torch.float64)
    expected = target.synthesize(theta, grid), target.sample(theta, times)
    monkeypatch.setattr(segments, "_BLOCK_VALUES", block_values)
    torch.testing.assert_close(target.synthesize(theta, grid), expected[0])
    torch.testing.assert_close(target.sample(theta, times), expected[1])


def test_no_call_of_the_networks_is_larger_than_a_block(monkeypatch):
    target, theta = networks(count=40)
    monkeypatch.setattr(segments, "_BLOCK_VALUES", 6000)
    sizes = []
    target.mlp.register_forward_hook(lambda module, inputs, output: sizes.append(output.numel() * 6))
    for grid in (Fraction(120), Fraction(3001, 2), Fraction(241, 2)):
        target.synthesize(theta, grid)
    target.sample(theta, torch.rand(3000))
    assert len(sizes) > 10
    assert max(sizes) <= 6000


@KINDS
def test_gradient_with_respect_to_time(kind):
    target, theta = networks(kind)
    times = torch.tensor([2.51, 0.1, -0.2, 0.9, 1.0001, 7.0, 2.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda times: target.sample(theta, times), (times,))


@KINDS
def test_gradient_with_respect_to_weights(kind):
    target, theta = networks(kind, count=2)
    theta.requires_grad_()
    times = torch.tensor([0.2, 1.7, 2.1], dtype=torch.float64)
    for render in (
        lambda theta: target.synthesize(theta, 3),
        lambda theta: target.synthesize(theta, Fraction(5, 2)),
        lambda theta: target.sample(theta, times),
    ):
        assert torch.autograd.gradcheck(render, (theta,))


def test_a_long_time_into_a_sound_the_grid_is_still_exact():
    target, theta = networks()
    grid, first_segment = Fraction(22_050 * 3, 100), 10**7 * 200
    near = target.synthesize(theta, grid)
    torch.testing.assert_close(target.synthesize(theta, grid, first_segment=first_segment), near)


def test_weights_of_a_segment():
    assert SegmentedMlp(Mlp(MlpConfig())).num_weights == 34_741
