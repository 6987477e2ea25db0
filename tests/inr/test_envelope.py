from fractions import Fraction

import numpy as np
import pytest
import torch

from hscodec.inr.envelope import attack_gain, lowered, lowered_at
from hscodec.inr.slopes import Sampled
from hscodec.rates import ATTACK_LEAD_SLOTS

SLOT_SAMPLES = 60
GRID = Fraction(16 * SLOT_SAMPLES)


def gain_of(attacks, grid=GRID, *, origin=0, start=0, num_samples=10 * 960, num_channels=1):
    rows = np.array(attacks, np.int32).reshape(-1, 3)
    return attack_gain(
        rows, grid, origin=origin, start=start, num_samples=num_samples, num_channels=num_channels
    ).numpy()


def test_without_attacks_nothing_is_raised():
    assert (gain_of([], num_channels=2) == 1).all()


def test_the_gain_rises_stays_and_falls_at_the_attack():
    gain = gain_of([(0, 64, 6)])[0]
    attack = 64 * SLOT_SAMPLES
    lead = attack - ATTACK_LEAD_SLOTS * SLOT_SAMPLES
    assert (gain[:lead] == 1).all()
    assert (gain[attack:] == 1).all()
    assert (np.diff(gain[lead : lead + 12 * SLOT_SAMPLES]) > 0).all()
    np.testing.assert_allclose(gain[lead + 12 * SLOT_SAMPLES : attack - SLOT_SAMPLES], 8)
    assert (np.diff(gain[attack - SLOT_SAMPLES : attack]) < 0).all()
    # Halfway up in time is halfway up in decibels.
    assert gain[lead + 6 * SLOT_SAMPLES] == pytest.approx(8**0.5, rel=0.01)


def test_channels_have_attacks_of_their_own_and_the_greatest_gain_counts():
    gain = gain_of([(0, 64, 2), (0, 80, 8), (1, 64, 4)], num_channels=2)
    alone = [gain_of([attack])[0] for attack in ((0, 64, 2), (0, 80, 8), (0, 64, 4))]
    np.testing.assert_array_equal(gain[0], np.maximum(alone[0], alone[1]))
    np.testing.assert_array_equal(gain[1], alone[2])


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000, 96_001])
def test_every_grid_samples_one_function(rate):
    grid = Fraction(rate, 50)
    fine = gain_of([(0, 70, 9)], Fraction(960 * 64), num_samples=8 * 960 * 64)[0]
    num_samples = int(8 * grid)
    gain = gain_of([(0, 70, 9)], grid, num_samples=num_samples)[0]
    places = ((np.arange(num_samples) + 0.5) / float(grid) * 960 * 64).astype(int)
    np.testing.assert_allclose(gain, fine[places], rtol=2e-3)


def test_a_range_is_a_slice_of_the_whole_hours_into_a_file():
    origin, grid = 500_001, Fraction(11_111, 50)
    start = int(origin * grid)
    whole = gain_of([(0, 70, 9)], grid, origin=origin, start=start, num_samples=2000)[0]
    part = gain_of([(0, 70, 9)], grid, origin=origin, start=start + 777, num_samples=400)[0]
    np.testing.assert_array_equal(part, whole[777:1177])
    assert whole.max() == pytest.approx(2**4.5)
    near = gain_of([(0, 70, 9)], grid, num_samples=2000)[0]
    assert np.abs(np.log2(near).sum() - np.log2(whole).sum()) < 3
    assert torch.from_numpy(whole).dtype == torch.float32


ATTACKS = np.array([(0, 64, 2), (0, 80, 8), (1, 70, 4)], np.int32)


@pytest.mark.parametrize("origin", [0, 500_001])
def test_at_the_times_of_a_grid_it_is_the_gain_of_the_grid(origin):
    grid = Fraction(12_347, 50)
    num_samples, start = int(10 * grid), int(origin * grid)
    samples = torch.randn(2, num_samples, generator=torch.Generator().manual_seed(0))
    expected = lowered(samples, ATTACKS, grid, origin=origin, start=start)
    hops = (start + torch.arange(num_samples, dtype=torch.float64) + 0.5) / float(grid)
    values, slopes = lowered_at(Sampled(samples, None), ATTACKS, hops, origin=origin)
    assert slopes is None
    torch.testing.assert_close(values, expected, rtol=2e-6, atol=0)


def test_slopes_are_those_of_what_is_lowered():
    hops = torch.linspace(0, 8, 4001, dtype=torch.float64)
    sine, cosine = torch.sin(3 * hops).expand(2, -1), torch.cos(3 * hops).expand(2, -1)
    values, slopes = lowered_at(Sampled(sine, 3 * cosine), ATTACKS, hops, origin=1)
    differences = (values[:, 2:] - values[:, :-2]) / (hops[2:] - hops[:-2])
    error = (slopes[:, 1:-1] - differences).abs()
    assert (error > 0.02).sum() < 25  # where the gain has a kink
    assert slopes.abs().max() > 8  # a fall of 12 dB within a slot is steeper than the sine


def test_without_attacks_what_was_sampled_stays_as_it_is():
    sampled = Sampled(torch.ones(1, 3), None)
    assert lowered_at(sampled, ATTACKS[:0], torch.zeros(3), origin=0) is sampled
