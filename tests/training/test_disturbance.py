import numpy as np
import pytest
import soundfile
import torch

from hscodec.audio.resample import resample
from hscodec.training.disturbance import PerceptualDisturbance


@pytest.fixture(scope="module")
def sentence(speech):
    samples, rate = soundfile.read(speech, dtype="float32")
    return samples[: 4 * rate], rate


def noisy(samples, level, seed=0):
    """Return samples with noise that follows their level, as a coder's does."""
    random = np.random.default_rng(seed)
    envelope = np.sqrt(np.convolve(samples**2, np.ones(441) / 441, "same"))
    return (samples + level * envelope * random.standard_normal(len(samples))).astype(np.float32)


@pytest.fixture(scope="module")
def speech(request):
    return request.config.rootpath / "tests" / "data" / "speech.flac"


def scored(reference, degraded, from_rate, rate):
    pair = [torch.from_numpy(resample(part[None], from_rate, rate)) for part in (reference, degraded)]
    return PerceptualDisturbance(rate).score(*pair).item()


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("level", [0.03, 0.1, 0.3, 1.0])
def test_the_score_is_that_of_pesq(sentence, rate, level):
    pesq = pytest.importorskip("pesq")
    samples, own_rate = sentence
    degraded = noisy(samples, level)
    pair = [resample(part[None], own_rate, 16_000)[0] for part in (samples, degraded)]
    assert scored(samples, degraded, own_rate, rate) == pytest.approx(pesq.pesq(16_000, *pair, "wb"), abs=0.15)


def test_no_difference_is_no_disturbance(sentence):
    samples = torch.from_numpy(sentence[0])[None]
    disturbance = PerceptualDisturbance(22_000)
    assert disturbance(samples, samples).item() < 0.01
    assert disturbance.score(samples, samples).item() == pytest.approx(4.64, abs=0.02)


def test_level_does_not_matter(sentence):
    samples, degraded = (torch.from_numpy(part)[None] for part in (sentence[0], noisy(sentence[0], 0.3)))
    disturbance = PerceptualDisturbance(22_000)
    expected = disturbance(samples, degraded)
    torch.testing.assert_close(disturbance(0.1 * samples, 3 * degraded), expected, rtol=1e-3, atol=1e-3)


def test_items_of_a_batch_do_not_see_each_other(sentence):
    samples = torch.from_numpy(sentence[0])[None]
    degraded = [torch.from_numpy(noisy(sentence[0], level))[None] for level in (0.1, 0.5)]
    disturbance = PerceptualDisturbance(22_000)
    together = disturbance(samples.expand(2, -1), torch.cat(degraded))
    alone = torch.cat([disturbance(samples, part) for part in degraded])
    torch.testing.assert_close(together, alone)
    assert together[1] > together[0] > 0


def test_gradients_are_finite_even_in_silence(sentence):
    silence = torch.zeros(1, 22_000)
    disturbance = PerceptualDisturbance(22_000)
    for reference in (silence, torch.from_numpy(sentence[0][:22_000])[None]):
        for estimate in (silence.clone(), reference.clone(), 0.1 * torch.randn(1, 22_000)):
            estimate.requires_grad_(True)
            disturbance(reference, estimate).sum().backward()
            assert estimate.grad.isfinite().all()
