import math

import numpy as np
import pytest
import torch

from hscodec.training.losses import (
    RESOLUTIONS_48K,
    MelStftLoss,
    StftResolution,
    mel_filters,
    relative_error_loss,
)

SMALL = (StftResolution(512, 32), StftResolution(256, 16))


@pytest.fixture
def samples():
    return 0.3 * torch.randn(2, 9600, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("resolution", RESOLUTIONS_48K)
@pytest.mark.parametrize("sample_rate", [16_000, 48_000])
def test_filters_have_unit_sum_and_meet_a_bin(resolution, sample_rate):
    filters = mel_filters(resolution.fft_samples, resolution.num_mels, sample_rate)
    assert filters.dtype == np.float32
    assert filters.shape[1] == resolution.fft_samples // 2 + 1
    assert resolution.num_mels // 2 < len(filters) <= resolution.num_mels
    assert (filters >= 0).all()
    np.testing.assert_allclose(filters.sum(1), 1, rtol=1e-5)


def test_filters_rise_on_the_mel_scale():
    filters = mel_filters(4096, 120, 48_000)
    centres_hz = (filters * np.linspace(0, 24_000, 2049)).sum(1)
    assert (np.diff(centres_hz) > 0).all()
    mels = 2595 * np.log10(1 + centres_hz / 700)
    assert np.diff(mels)[10:] == pytest.approx(np.diff(mels)[10:].mean(), rel=0.2)
    assert centres_hz[-1] < 20_000


def test_identical_signals_cost_nothing(samples):
    assert MelStftLoss(48_000, resolutions=SMALL)(samples, samples).item() == 0


def test_the_loss_is_the_mean_over_resolutions(samples):
    loss = MelStftLoss(48_000, resolutions=SMALL)
    estimate = samples * 0.8
    single = [loss(samples, estimate, [index]).item() for index in range(2)]
    assert loss(samples, estimate).item() == pytest.approx(sum(single) / 2)


def test_a_change_of_level_costs_its_logarithm(samples):
    loss = MelStftLoss(48_000, resolutions=SMALL, linear_weight=0.0, log_floor=1e-6)
    assert loss(samples, samples * 0.5).item() == pytest.approx(math.log(2), rel=0.01)
    loss = MelStftLoss(48_000, resolutions=SMALL, linear_weight=1.0, log_floor=1e6)
    assert loss(samples, samples * 0.5).item() == pytest.approx(0.5, rel=0.01)


def test_gradient_is_finite_in_silence(samples):
    silence = torch.zeros_like(samples, requires_grad=True)
    MelStftLoss(48_000, resolutions=SMALL)(samples, silence).backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


def test_tables_are_not_part_of_the_state():
    assert MelStftLoss(48_000, resolutions=SMALL).state_dict() == {}


def test_relative_error(samples):
    assert relative_error_loss(samples, samples).item() == pytest.approx(-4)
    assert relative_error_loss(samples, torch.zeros_like(samples)).item() == pytest.approx(0, abs=1e-4)
    noisy = samples + 0.1 * samples.flip(0)
    levels = samples.square().mean(1)
    expected = torch.log10(0.01 * levels.flip(0) / levels + 1e-4).mean().item()
    assert relative_error_loss(samples, noisy).item() == pytest.approx(expected, rel=1e-3)


def test_relative_error_does_not_depend_on_level(samples):
    estimate = samples + 0.05 * samples.flip(0)
    loud, quiet = (relative_error_loss(samples * gain, estimate * gain).item() for gain in (1.0, 0.1))
    assert loud == pytest.approx(quiet, abs=1e-3)
