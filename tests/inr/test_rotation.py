from math import pi

import pytest
import torch

from hscodec.inr.lapped import LappedSiren
from hscodec.inr.rotation import rotated

SEGMENTS, NUM_WEIGHTS = 6, 40


def random_weights(num_channels, seed=0):
    return torch.randn(num_channels, SEGMENTS, NUM_WEIGHTS, generator=torch.Generator().manual_seed(seed))


def random_angles(num_pairs, seed=1):
    return 2 * pi * torch.rand(num_pairs, SEGMENTS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4, 7])
def test_turning_back_undoes_it(num_channels):
    theta, angles = random_weights(num_channels), random_angles(num_channels // 2)
    torch.testing.assert_close(rotated(rotated(theta, angles), -angles), theta, rtol=0, atol=2e-6)


@pytest.mark.parametrize("num_channels", [2, 5])
def test_each_pair_keeps_its_energy(num_channels):
    theta, angles = random_weights(num_channels), random_angles(num_channels // 2)
    turned = rotated(theta, angles)
    for first in range(0, num_channels - 1, 2):
        pair = slice(first, first + 2)
        torch.testing.assert_close(turned[pair].square().sum(0), theta[pair].square().sum(0))
    assert not torch.allclose(turned[:2].square().sum((1, 2)), theta[:2].square().sum((1, 2)))


def test_45_degrees_are_mid_and_side():
    left, right = theta = random_weights(2)
    mid, side = rotated(theta, torch.full((1, SEGMENTS), pi / 4))
    torch.testing.assert_close(mid, (left + right) / 2**0.5)
    torch.testing.assert_close(side, (right - left) / 2**0.5)


def test_90_degrees_change_places():
    left, right = theta = random_weights(2)
    first, second = rotated(theta, torch.full((1, SEGMENTS), pi / 2))
    torch.testing.assert_close(first, right, rtol=0, atol=1e-6)
    torch.testing.assert_close(second, -left, rtol=0, atol=1e-6)


def test_each_pair_and_each_segment_has_an_angle_of_its_own():
    theta, angles = random_weights(4), random_angles(2)
    turned = rotated(theta, angles)
    for pair in range(2):
        channels = slice(2 * pair, 2 * pair + 2)
        for segment in range(SEGMENTS):
            one = slice(segment, segment + 1)
            alone = rotated(theta[channels, one], angles[pair : pair + 1, one])
            torch.testing.assert_close(turned[channels, one], alone)


def test_what_is_in_no_pair_stays_as_it_is():
    theta, angles = random_weights(5), random_angles(2)
    assert torch.equal(rotated(theta, angles)[4], theta[4])
    assert torch.equal(rotated(theta, angles[:1])[2:], theta[2:])
    assert torch.equal(rotated(theta, angles[:0]), theta)


def test_no_angle_is_no_change_at_all():
    theta = random_weights(3)
    assert torch.equal(rotated(theta, torch.zeros(1, SEGMENTS)), theta)
    assert torch.equal(rotated(theta, -torch.zeros(1, SEGMENTS)), theta)


def test_weights_may_be_mixed_as_the_sound_is():
    theta, target = random_weights(2), LappedSiren(NUM_WEIGHTS)
    left, right = target.synthesize(theta, 48)
    mid, side = target.synthesize(rotated(theta, torch.full((1, SEGMENTS), pi / 4)), 48)
    torch.testing.assert_close(mid, (left + right) / 2**0.5, rtol=0, atol=1e-4)
    torch.testing.assert_close(side, (right - left) / 2**0.5, rtol=0, atol=1e-4)
