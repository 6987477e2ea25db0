import numpy as np
import pytest
import torch

from hscodec.errors import ConfigError
from hscodec.training.hypersound_config import HyperSoundLossConfig
from hscodec.training.hypersound_loss import HyperSoundLoss, frequency_weights
from hscodec.training.losses import mel_filters, numbered_mel_filters

RATE = 22_050
SMALL = HyperSoundLossConfig(fft_samples=(512, 128), num_mels=32)


@pytest.fixture
def samples():
    return 0.1 * torch.randn(2, 4096, generator=torch.Generator().manual_seed(0))


def test_identical_signals_cost_nothing(samples):
    total, terms = HyperSoundLoss(HyperSoundLossConfig(), RATE)(samples, samples)
    assert total.item() == 0
    assert {name: value.item() for name, value in terms.items()} == {"waveform": 0, "spectral": 0}


def test_the_gradient_is_finite_where_nothing_differs_and_in_silence(samples):
    silence = torch.zeros_like(samples)
    for reference, estimate in ((samples, samples.clone()), (silence, silence.clone()), (samples, silence.clone())):
        estimate.requires_grad_()
        total, _ = HyperSoundLoss(SMALL, RATE)(reference, estimate)
        total.backward()
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all()


def test_the_loss_is_the_weighted_sum_of_its_terms(samples):
    config = HyperSoundLossConfig(waveform=2.0, spectral=0.25, fft_samples=(512,), num_mels=32)
    total, terms = HyperSoundLoss(config, RATE)(samples, 0.8 * samples)
    assert terms["waveform"].item() == pytest.approx(0.2 * samples.abs().mean().item(), rel=1e-5)
    assert total.item() == pytest.approx(2 * terms["waveform"].item() + 0.25 * terms["spectral"].item())


def test_terms_of_no_weight_are_not_computed(samples):
    _, terms = HyperSoundLoss(HyperSoundLossConfig(spectral=0.0), RATE)(samples, 0 * samples)
    assert set(terms) == {"waveform"}
    _, terms = HyperSoundLoss(HyperSoundLossConfig(waveform=0.0), RATE)(samples, 0 * samples)
    assert set(terms) == {"spectral"}


def by_hand(reference, estimate, *, fft_samples, num_mels, power):
    """Return the distance of one item at one resolution: numpy, frame by frame."""
    filters, numbers = numbered_mel_filters(fft_samples, num_mels, RATE)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft_samples) / fft_samples)
    window /= np.sqrt((window**2).sum())
    mels = []
    for signal in (reference, estimate):
        padded = np.pad(signal, fft_samples // 2, mode="reflect")
        starts = range(0, len(padded) - fft_samples + 1, fft_samples // 4)
        magnitudes = np.abs([np.fft.rfft(window * padded[start : start + fft_samples]) for start in starts])
        mels.append(magnitudes @ filters.T)
    difference = mels[0] - mels[1]
    weights = (numbers + 1.0) ** power
    weights /= weights.mean()
    return (weights * np.abs(difference)).mean() + np.sqrt((weights * difference**2).mean())


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_distance_by_hand(samples, power):
    estimate = samples.flip(1) * 0.5
    loss = HyperSoundLoss(SMALL, RATE)
    expected = [
        by_hand(item, other, fft_samples=length, num_mels=32, power=power)
        for item, other in zip(samples.double().numpy(), estimate.double().numpy(), strict=True)
        for length in (512, 128)
    ]
    assert loss.mel_distance(samples, estimate, power).item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_resolutions_count_alike():
    """White noise has the magnitude of a Rayleigh variable, 0.886 of its effective value, at every resolution."""
    noise = 0.1 * torch.randn(1, 65_536, generator=torch.Generator().manual_seed(0))
    for fft_samples in (2048, 128):
        config = HyperSoundLossConfig(fft_samples=(fft_samples,), num_mels=16)
        l1_and_rmse = HyperSoundLoss(config, RATE).mel_distance(noise, 0 * noise, 0.0).item()
        assert l1_and_rmse == pytest.approx(2 * 0.0886, rel=0.05)


def test_frequency_weights_by_hand():
    assert frequency_weights(torch.arange(4), 1.0).tolist() == pytest.approx([0.4, 0.8, 1.2, 1.6])
    assert frequency_weights(torch.tensor([0, 3, 8]), 0.5).tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert frequency_weights(torch.arange(128), 0.0).tolist() == [1.0] * 128
    assert frequency_weights(torch.arange(128), 2.0).mean().item() == pytest.approx(1)


def test_the_weighting_is_warmed_in():
    loss = HyperSoundLoss(HyperSoundLossConfig(frequency_power=1.0, frequency_warmup=0.2), RATE)
    powers = [loss.power(progress) for progress in (0, 0.05, 0.1, 0.2, 0.7, 1.0)]
    assert powers == pytest.approx([0, 0.25, 0.5, 1, 1, 1])
    assert HyperSoundLoss(HyperSoundLossConfig(frequency_power=0.3, frequency_warmup=0.0), RATE).power(0) == 0.3


def tone(frequency_hz):
    return 0.1 * torch.sin(2 * torch.pi * frequency_hz * torch.arange(4096) / RATE)[None]


def test_high_frequencies_count_more_once_the_weighting_is_in():
    loss = HyperSoundLoss(HyperSoundLossConfig(waveform=0.0, frequency_power=1.0), RATE)
    costs = {
        (hz, progress): loss(tone(hz), torch.zeros(1, 4096), progress)[0].item()
        for hz in (200, 8000)
        for progress in (0.0, 1.0)
    }
    assert costs[8000, 1.0] > 1.2 * costs[8000, 0.0]
    assert costs[200, 1.0] < 0.8 * costs[200, 0.0]


def test_filters_that_meet_no_bin_are_left_out():
    kept = {}
    for fft_samples in (2048, 512, 128):
        filters, numbers = numbered_mel_filters(fft_samples, 128, RATE)
        np.testing.assert_array_equal(filters, mel_filters(fft_samples, 128, RATE))
        assert len(filters) == len(numbers)
        assert (np.diff(numbers) > 0).all()
        assert numbers[-1] == 127
        kept[fft_samples] = len(numbers)
    assert kept[2048] == 128
    assert 128 > kept[512] > kept[128] > 64


def test_a_filter_keeps_its_number():
    centres_hz = {}
    for fft_samples in (8192, 256):
        filters, numbers = numbered_mel_filters(fft_samples, 128, RATE)
        centre = (filters * np.linspace(0, RATE / 2, fft_samples // 2 + 1)).sum(1)
        centres_hz[fft_samples] = dict(zip(numbers.tolist(), centre, strict=True))
    for number, centre in centres_hz[256].items():
        assert centre == pytest.approx(centres_hz[8192][number], abs=RATE / 256)


@pytest.mark.parametrize(
    "change",
    [
        {"waveform": -1.0},
        {"waveform": 0.0, "spectral": 0.0},
        {"fft_samples": ()},
        {"fft_samples": (8,)},
        {"fft_samples": (130,)},
        {"num_mels": 0},
        {"frequency_warmup": 1.5},
    ],
)
def test_what_makes_no_sense_is_refused(change):
    with pytest.raises(ConfigError, match="loss"):
        HyperSoundLossConfig(**change)
