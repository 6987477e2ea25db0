import pytest
import torch

from hscodec.training.config import LossConfig
from hscodec.training.distortion import Distortion

RATE = 16_000


@pytest.fixture(scope="module")
def noise():
    return 0.1 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))


def terms_of(reference, estimate, is_speech, **weights):
    """Return the perceptual terms; the spectral term draws its resolutions at random, they do not."""
    _, terms = Distortion(LossConfig(**weights), RATE)(reference, estimate, torch.tensor(is_speech))
    return {name: term.item() for name, term in terms.items()}


def test_terms_without_weight_are_left_out(noise):
    assert set(terms_of(noise, noise, [True, True])) == {"spectral", "waveform"}
    assert set(terms_of(noise, noise, [True, True], neurogram=1.0)) == {"spectral", "waveform", "neurogram"}


def test_the_total_is_the_weighted_sum(noise):
    weights = LossConfig(spectral=0.5, waveform=2.0, disturbance=3.0, neurogram=4.0)
    total, terms = Distortion(weights, RATE)(noise, 0.5 * noise.roll(1, 1), torch.tensor([True, False]))
    expected = sum(getattr(weights, name) * term for name, term in terms.items())
    assert total.item() == pytest.approx(expected.item())


def test_pesq_judges_speech_alone(noise):
    worse = noise + 0.05 * noise.flip(1)
    both = terms_of(noise, worse, [True, True], disturbance=1.0)["disturbance"]
    first = terms_of(noise, worse, [True, False], disturbance=1.0)["disturbance"]
    second = terms_of(noise, worse, [False, True], disturbance=1.0)["disturbance"]
    assert first > 0.01
    assert second > 0.01
    assert first + second == pytest.approx(both, rel=1e-4)
    assert terms_of(noise, worse, [False, False], disturbance=1.0)["disturbance"] == 0


def test_speech_is_judged_by_both_neurograms_and_music_by_one(noise):
    reference, worse = noise[:1], (noise + 0.05 * noise.flip(1))[:1]
    distortion = Distortion(LossConfig(neurogram=1.0), RATE)
    speech = terms_of(reference, worse, [True], neurogram=1.0)["neurogram"]
    music = terms_of(reference, worse, [False], neurogram=1.0)["neurogram"]
    from hscodec.training.neurogram import frame_power

    powers = [frame_power(samples, RATE) for samples in (reference, worse)]
    by_audio, by_speech = distortion.audio_neurogram(*powers).item(), distortion.speech_neurogram(*powers).item()
    assert music == pytest.approx(by_audio)
    assert speech == pytest.approx(0.25 * by_audio + 0.75 * by_speech)


def test_silence_is_not_judged_and_gradients_are_finite(noise):
    silence = torch.zeros(1, RATE)
    for is_speech in ([True], [False]):
        estimate = noise[:1].clone().requires_grad_(True)
        distortion = Distortion(LossConfig(disturbance=1.0, neurogram=1.0), RATE)
        total, terms = distortion(silence, estimate, torch.tensor(is_speech))
        assert terms["disturbance"] == terms["neurogram"] == 0
        total.backward()
        assert estimate.grad.isfinite().all()
