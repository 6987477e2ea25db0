import math

import numpy as np
import pytest

from benchmarks.scores import score
from hscodec.metrics import perceptual
from hscodec.metrics.waveform import snr_db


@pytest.fixture
def pair(stereo):
    """An original and a copy that is worse on the right, both [2, T]."""
    samples = stereo(16_000, 1.0)
    noise = np.random.default_rng(0).normal(size=samples.shape) * [[0.001], [0.01]]
    return samples, (samples + noise).astype(np.float32)


def test_a_score_is_the_mean_of_the_channels(pair):
    original, decoded = pair
    left, right = (snr_db(*channel) for channel in zip(original, decoded, strict=True))
    assert left > right + 10
    assert score("snr", original, decoded, 16_000, kind="speech") == pytest.approx((left + right) / 2, abs=1e-6)
    assert score("snr", original[:1], decoded[:1], 16_000, kind="speech") == round(left, 6)


@pytest.mark.parametrize("metric", ["pesq", "stoi", "si_sdr"])
@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_channel_is_left_out(pair, metric, silent):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    original, decoded = (samples.copy() for samples in pair)
    original[silent] = 0
    rest = slice(1 - silent, 2 - silent)
    alone = score(metric, original[rest], decoded[rest], 16_000, kind="speech")
    assert alone is not None
    assert score(metric, original, decoded, 16_000, kind="speech") == alone
    original[:] = 0
    assert score(metric, original, decoded, 16_000, kind="speech") is None


@pytest.mark.parametrize("metric", ["pesq", "si_sdr"])
def test_a_channel_that_a_codec_lost_is_not_left_out(pair, metric):
    pytest.importorskip("pesq")
    original, decoded = pair
    decoded[1] = 0
    assert score(metric, original, decoded, 16_000, kind="speech") is None


def test_an_infinite_channel_leaves_no_mean(pair):
    original, decoded = pair
    decoded[0] = original[0]
    assert score("snr", original, decoded, 16_000, kind="speech") is None
    assert score("lsd", original, decoded, 16_000, kind="speech") is not None


def test_a_metric_is_asked_for_channels_by_themselves(pair, monkeypatch):
    shapes = []
    monkeypatch.setattr(
        perceptual, "visqol", lambda original, decoded, *_, **__: shapes.append(original.shape) or math.nan
    )
    original, decoded = pair
    assert score("visqol", original, decoded, 16_000, kind="music") is None
    assert set(shapes) == {(16_000,)}


def test_an_unknown_metric_is_refused(pair):
    original, decoded = pair
    with pytest.raises(ValueError, match="unknown metric 'loudness'"):
        score("loudness", original, decoded, 16_000, kind="speech")
