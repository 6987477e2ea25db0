"""Which pairs are rotated: those that are nearly one sound, everywhere that anything is heard."""

from math import cos, pi, sin

import numpy as np
import pytest
import torch

from hscodec.codec.pairs import choose_rotations, chunk_angles
from hscodec.coding.rotations import ANGLE_STEP, SILENT, no_rotations
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.inr.rotation import rotated

CONFIG = HypernetworkConfig()
SEGMENTS, NUM_WEIGHTS = 40, 960


def sound(seed=0):
    """Return weights [S, K] that fall with frequency, as those of sounds do: by 52 dB."""
    falling = torch.exp(-torch.arange(NUM_WEIGHTS) / 160)
    return torch.randn(SEGMENTS, NUM_WEIGHTS, generator=torch.Generator().manual_seed(seed)) * falling


def panned(index, theta=None):
    """Return weights [2, S, K] of one sound whose principal axis is at an angle (in its units)."""
    theta = sound() if theta is None else theta
    return torch.stack([cos(index * ANGLE_STEP) * theta, sin(index * ANGLE_STEP) * theta])


def nearly_mono(ratio_db, index=64):
    """Return weights [2, S, K] of a pair whose rest is so far below its principal axis, at each frequency."""
    rest = 10 ** (-ratio_db / 20) * sound(1)
    return panned(index) + panned(index + 128, rest)


def choose(theta, quality=1000, config=CONFIG):
    return choose_rotations(theta, config, quality).tolist()


def test_one_sound_in_both_channels_is_stored_once():
    theta = sound()
    assert choose(torch.stack([theta, theta])) == [[64, SILENT]]


def test_one_sound_in_one_channel_is_stored_once():
    theta, silence = sound(), torch.zeros(SEGMENTS, NUM_WEIGHTS)
    assert choose(torch.stack([theta, silence])) == [[0, SILENT]]
    assert choose(torch.stack([silence, theta])) == [[128, SILENT]]


def test_opposite_channels_are_stored_once():
    theta = sound()
    assert choose(torch.stack([theta, -theta])) == [[192, SILENT]]
    assert choose(torch.stack([-theta, theta])) == [[192, SILENT]]


@pytest.mark.parametrize("index", [1, 17, 63, 100, 127, 129, 200, 255])
def test_the_angle_is_that_of_the_panning(index):
    assert choose(panned(index)) == [[index, SILENT]]
    assert choose(-panned(index)) == [[index, SILENT]]


def test_angles_go_round():
    """Half a turn is no turn: just below it, the nearest angle is 0."""
    assert choose(panned(255.6))[0][0] == 0
    assert choose(panned(255.4))[0][0] == 255


@pytest.mark.parametrize("index", [16.5, 64.5, 200.5])
def test_a_panning_between_two_angles_leaves_a_rest(index):
    """Half a unit of the angle is 44 dB."""
    ((angle, reduction),) = choose(panned(index))
    assert abs(angle - index) == pytest.approx(0.5)
    assert 0 < reduction < SILENT
    first, second = rotated(panned(index), torch.full((1, SEGMENTS), angle * ANGLE_STEP))
    assert 10 * torch.log10(first.square().sum() / second.square().sum()) == pytest.approx(44.2, abs=0.1)


@pytest.mark.parametrize("ratio_db", [20, 25, 30])
@pytest.mark.parametrize("index", [3, 64, 190])
def test_nearly_one_sound_is_rotated(ratio_db, index):
    ((angle, reduction),) = choose(nearly_mono(ratio_db, index))
    assert angle == index
    # The step of the rest would be so much finer at the same quality: it follows what it is for.
    levels = CONFIG.level(10.0) - CONFIG.level(10.0 - reduction / 10)
    assert 20 / np.log(10) * CONFIG.step_per_level * levels == pytest.approx(ratio_db, abs=2.5)


def test_the_reduction_grows_with_the_ratio():
    reductions = [choose(nearly_mono(ratio_db))[0][1] for ratio_db in (18, 20, 25, 30, 40, 50, 57, 63)]
    assert reductions[:4] == sorted(set(reductions[:4]))
    assert reductions[4:] == [100, 100, 100, SILENT]  # there is no quality below 0


@pytest.mark.parametrize(("ratio_db", "is_rotated"), [(12, False), (14, False), (18, True)])
def test_less_alike_is_not_rotated(ratio_db, is_rotated):
    assert choose(nearly_mono(ratio_db)) == ([[64, pytest.approx(55, abs=8)]] if is_rotated else [])


@pytest.mark.parametrize("quality", [0, 100, 500, 1000])
@pytest.mark.parametrize("ratio_above", [1.0, 2.0])
def test_no_quality_is_lowered_below_0(quality, ratio_above):
    config = HypernetworkConfig(level_ratio_above=ratio_above)
    for ratio_db in (20, 30, 58):
        ((angle, reduction),) = choose(nearly_mono(ratio_db), quality, config)
        assert angle == 64
        assert 0 <= 10 * reduction <= quality
        assert (reduction == 0) == (quality == 0)
    assert choose(panned(64), quality) == [[64, SILENT]]


def test_what_would_change_nothing_is_not_stored():
    """The rest is 30 dB below at angle 0, and cannot be coded any worse than at quality 0."""
    assert choose(nearly_mono(30, 0), 0) == []


def test_wide_stereo_is_not_rotated():
    assert choose(torch.stack([sound(0), sound(1)])) == []
    assert choose(torch.stack([sound(0), sound(0) + 0.5 * sound(1)])) == []
    assert choose(torch.stack([sound(0), 0.5 * sound(1)])) == []


@pytest.mark.parametrize("band", [slice(0, 8), slice(60, 100), slice(400, 700)])
@pytest.mark.parametrize(("scale", "is_rotated"), [(1.0, False), (1e-5, True)])
def test_one_wide_band_is_enough_unless_it_is_not_heard(band, scale, is_rotated):
    theta = panned(64)
    theta[:, :, band] = torch.stack([sound(2), sound(3)])[:, :, band] * scale
    if band.start == 400 and is_rotated:
        theta[:, :, 200:] = theta[:, :, 200:] * 1e-3
    assert bool(choose(theta)) == is_rotated


def test_segments_that_differ_are_not_rotated():
    """A chunk has one angle."""
    theta = torch.cat([panned(20)[:, :20], panned(108)[:, 20:]], 1)
    assert choose(theta) == []


def test_silence_is_not_rotated():
    rotations = choose_rotations(torch.zeros(2, SEGMENTS, NUM_WEIGHTS), CONFIG, 500)
    assert rotations.shape == no_rotations().shape
    assert rotations.dtype == no_rotations().dtype


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_level_does_not_matter(scale):
    assert choose(scale * nearly_mono(30)) == choose(nearly_mono(30))
    assert choose(scale * panned(64)) == [[64, SILENT]]
    assert choose(scale * torch.stack([sound(0), sound(1)])) == []


def test_left_and_right_are_paired():
    theta, other = sound(), sound(1)
    assert choose(theta[None]) == []
    assert choose(torch.stack([theta, theta, theta])) == [[64, SILENT]]
    assert choose(torch.stack([other, theta, theta])) == []
    six = torch.stack([theta, theta, theta, theta, theta, -theta])
    assert choose(six) == [[64, SILENT], [0, 0], [192, SILENT]]  # the third and fourth are centre and low frequencies
    five = torch.stack([theta, theta, theta, theta, theta])
    assert choose(five) == [[64, SILENT], [0, 0]]  # the back pair, fourth and fifth, cannot be rotated
    assert choose(torch.stack([theta, theta, theta, other])) == [[64, SILENT], [0, 0]]


def test_a_narrower_bandwidth():
    """Weights above the bandwidth are zero, and bands without any sound have no say."""
    theta = nearly_mono(30)
    theta[..., 160:] = 0
    assert choose(theta) == [[64, pytest.approx(choose(nearly_mono(30))[0][1], abs=3)]]


def test_angles_of_a_chunk():
    angles = chunk_angles(np.array([(64, 3), (0, 0)], np.int32), 5, 6)
    assert (angles.shape, angles.dtype) == ((2, 6), torch.float32)
    torch.testing.assert_close(angles, torch.tensor([[pi / 4], [0.0]]).expand(2, 6))
    assert not chunk_angles(no_rotations(), 2, 6).any()
    assert chunk_angles(no_rotations(), 1, 6).shape == (0, 6)
