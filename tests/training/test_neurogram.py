from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hscodec.audio.resample import resample
from hscodec.training.neurogram import (
    AUDIO_BANDS,
    AUDIO_SCORE_PER_BAND,
    NeurogramDissimilarity,
    audio_band_weights,
    band_centres_hz,
    frame_power,
)

RATE = 16_000


@pytest.fixture(scope="module")
def sentence(request):
    samples, rate = soundfile.read(request.config.rootpath / "tests" / "data" / "speech.flac", dtype="float32")
    return torch.from_numpy(resample(samples[None, : 4 * rate], rate, RATE))


@pytest.fixture(scope="module")
def dissimilarity():
    return NeurogramDissimilarity(RATE, num_bands=21, top_hz=8000.0)


def noisy(samples, level):
    noise = torch.randn(samples.shape, generator=torch.Generator().manual_seed(0))
    return samples + level * noise


def power(samples):
    return frame_power(samples, RATE)


def test_the_bands_are_those_of_visqol():
    gammatone = pytest.importorskip("visqol.gammatone")
    np.testing.assert_allclose(band_centres_hz(21, 8000.0), gammatone.calc_center_freqs(50, 8000, 21)[::-1])


def test_the_neurogram_is_that_of_visqol(sentence, dissimilarity):
    gammatone = pytest.importorskip("visqol.gammatone")
    from visqol.analysis_window import AnalysisWindow
    from visqol.audio_utils import AudioSignal

    builder = gammatone.GammatoneSpectrogramBuilder(21, 50.0, speech_mode=True)
    expected = builder.build(AudioSignal(sentence[0].double().numpy(), RATE), AnalysisWindow(RATE))
    expected_db = gammatone.convert_to_db(expected.data)
    measured_db = dissimilarity.neurogram_db(power(sentence))[0].numpy()
    assert measured_db.shape == expected_db.shape
    loud = expected_db > expected_db.max() - 25
    assert np.abs(measured_db - expected_db)[loud].mean() < 0.3
    assert np.abs(measured_db - expected_db)[loud].max() < 2.5


def test_the_similarity_is_nearly_that_of_visqol(sentence, dissimilarity):
    nsim = pytest.importorskip("visqol.nsim")
    degraded = noisy(sentence, 0.01)
    pair = dissimilarity._above_floor(
        dissimilarity.neurogram_db(power(sentence)), dissimilarity.neurogram_db(power(degraded))
    )
    expected = nsim.measure_patch_similarity(*(part[0].double().numpy() for part in pair)).similarity
    assert 1 - dissimilarity(power(sentence), power(degraded)).item() == pytest.approx(expected, abs=0.005)


def test_equal_sounds_are_alike_and_noise_makes_them_less_so(sentence, dissimilarity):
    values = [dissimilarity(power(sentence), power(noisy(sentence, level))).item() for level in (0.0, 0.001, 0.01, 0.1)]
    assert values[0] == pytest.approx(0, abs=1e-3)
    assert values == sorted(values)
    assert values[-1] > 0.2


def test_gradients_are_finite_even_in_silence(sentence, dissimilarity):
    silence = torch.zeros(1, RATE)
    for reference in (silence, sentence[:, :RATE]):
        for estimate in (silence.clone(), reference.clone(), 0.1 * torch.randn(1, RATE)):
            estimate.requires_grad_(True)
            dissimilarity(power(reference), power(estimate)).sum().backward()
            assert estimate.grad.isfinite().all()


def test_the_score_per_band_is_the_gradient_of_visqols_mapping():
    quality_mapper = pytest.importorskip("visqol.quality_mapper")
    (model,) = Path(quality_mapper.__file__).parent.glob("model/*svr*.txt")
    mapper = quality_mapper.SvrSimilarityToQualityMapper(str(model))
    mapper.init()
    similar = np.full(AUDIO_BANDS, 0.95)
    drop = 0.02 * np.eye(AUDIO_BANDS)
    gradient = [(mapper.predict_quality(similar + one) - mapper.predict_quality(similar - one)) / 0.04 for one in drop]
    np.testing.assert_allclose(AUDIO_SCORE_PER_BAND, gradient, atol=0.015)


def test_weights_of_bands_go_from_even_to_those_of_the_score():
    for share in (0.0, 0.3, 1.0):
        assert audio_band_weights(share).sum().item() == pytest.approx(1)
    assert audio_band_weights(0.0).unique().tolist() == [1 / AUDIO_BANDS]
    assert audio_band_weights(1.0)[-8:].sum() > 0.8


def test_an_error_counts_as_much_as_its_band(sentence):
    """A tone of 440 Hz in place of silence is an error in the lower bands alone."""
    tone = 0.1 * torch.sin(2 * torch.pi * 440 / RATE * torch.arange(sentence.shape[1]))[None]
    low = torch.arange(21) < 10
    on_low, on_high = (
        NeurogramDissimilarity(RATE, num_bands=21, top_hz=8000.0, band_weights=chosen / chosen.sum())
        for chosen in (low.float(), (~low).float())
    )
    pair = power(sentence), power(sentence + tone)
    assert on_low(*pair).item() > 5 * on_high(*pair).item()
