"""Which pairs are rotated for the waveform, and how much the quality of the rest is lowered."""

from math import cos, pi, sin

import numpy as np
import pytest
import torch

from hscodec.codec.encoder import Encoder
from hscodec.codec.waveform_pairs import choose_waveform_rotations
from hscodec.coding.rotations import ANGLE_STEP, SILENT
from hscodec.inr.rotation import rotated
from hscodec.registry import TUNED_MODELS, load_model

SEGMENTS, NUM_WEIGHTS = 20, 960
QUALITY = 800


@pytest.fixture(scope="module")
def network():
    return load_model("hsc-4-fidelity").network(torch.device("cpu"))


def sound(seed=0):
    """Return weights [S, K] of noise that falls with frequency by 52 dB."""
    falling = 0.02 * torch.exp(-torch.arange(NUM_WEIGHTS) / 160)
    return torch.randn(SEGMENTS, NUM_WEIGHTS, generator=torch.Generator().manual_seed(seed)) * falling


def stereo(rest_db, index=64):
    """Return weights [2, S, K] whose principal axis is at an angle, in its units, with a rest of this level."""
    angles = torch.full((1, SEGMENTS), -index * ANGLE_STEP)
    return rotated(torch.stack([sound(), 10 ** (rest_db / 20) * sound(1)]), angles)


def choose(network, theta, quality=QUALITY, num_weights=NUM_WEIGHTS):
    with torch.inference_mode():
        return choose_waveform_rotations(theta, network, quality, num_weights).tolist()


def test_what_both_channels_share_is_stored_once(network):
    ((angle, reduction),) = choose(network, stereo(-12))
    assert angle == 64
    assert 0 < reduction < SILENT


@pytest.mark.parametrize("index", [20, 64, 100, 150, 230])
def test_the_angle_is_that_of_the_principal_axis(network, index):
    ((angle, _),) = choose(network, stereo(-20, index))
    assert abs(angle - index) <= 1


def test_channels_that_have_nothing_in_common_are_left_alone(network):
    assert choose(network, torch.stack([sound(), sound(1)])) == []
    assert choose(network, torch.stack([sound(), 0.1 * sound(1)])) == []


def test_one_sound_is_stored_once(network):
    assert choose(network, torch.stack([sound(), sound()])) == [[64, SILENT]]
    assert choose(network, torch.stack([sound(), 0 * sound()])) == [[0, SILENT]]
    assert choose(network, torch.stack([0 * sound(), 0 * sound()])) == []


def test_both_axes_get_the_same_step_size(network):
    theta = stereo(-12)
    ((angle, reduction),) = choose(network, theta)
    axes = rotated(theta, torch.full((1, SEGMENTS), angle * ANGLE_STEP))
    qualities = torch.tensor([QUALITY / 100, QUALITY / 100 - reduction / 10])
    with torch.inference_mode():
        latent = network.encode_latent(axes, qualities)
        log_steps = network.decode_precision(latent, qualities).step.log().mean((1, 2))
    assert abs(float(log_steps[0] - log_steps[1])) < 0.05


def test_the_rest_has_at_least_quality_0(network):
    ((_, reduction),) = choose(network, stereo(-30), quality=100)
    assert reduction <= 10


def test_left_and_right_of_six_channels(network):
    left, right = stereo(-12)
    back_left, back_right = stereo(-12, 100)
    six = torch.stack([left, right, left, left, back_left, back_right])
    front, centre, back = choose(network, six)
    assert centre == [0, 0]
    assert (front[0], abs(back[0] - 100) <= 1) == (64, True)


@pytest.mark.parametrize(("tune", "expected"), [("ear", 0), ("fidelity", 1)])
def test_the_rule_is_that_of_what_the_model_is_tuned_for(tune, expected):
    """12 dB below is wide stereo to the ear."""
    model = load_model(TUNED_MODELS[tune])
    assert model.tuned_for == tune
    encoder = Encoder(
        model, sample_rate=8000, num_channels=2, quality_hundredths=500, gain=1.0, device=torch.device("cpu")
    )
    time = np.arange(8000) / 8000
    tone, other = 0.4 * np.sin(2 * pi * 440 * time), 0.1 * np.sin(2 * pi * 700 * time)
    mix = np.array([[cos(pi / 4), -sin(pi / 4)], [sin(pi / 4), cos(pi / 4)]])
    list(encoder.push((mix @ np.stack([tone, other])).astype(np.float32)))
    encoder._hold(np.zeros((2, 0), np.float32))
    with torch.inference_mode():
        theta = encoder.target.analyze(torch.from_numpy(encoder._held), encoder.samples_per_hop)
        theta[..., encoder.num_weights :] = 0
        assert len(encoder._rotations(theta[:, : theta.shape[1] // 2 * 2])) == expected
