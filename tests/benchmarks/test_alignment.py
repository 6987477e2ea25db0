import numpy as np
import pytest
import soxr

from benchmarks.alignment import align
from hscodec.metrics.waveform import snr_db


@pytest.fixture
def samples():
    """Noise below 6 kHz at 48 kHz, [1, T], so that a fraction of a sample is a well-defined shift."""
    white = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    return 0.1 * soxr.resample(white, 12_000, 48_000, quality="VHQ")[None, 2000:14_000]


def delayed(samples, delay_samples):
    padded = np.concatenate([samples, np.zeros_like(samples)], axis=1)
    spectrum = np.fft.rfft(padded) * np.exp(-2j * np.pi * np.fft.rfftfreq(padded.shape[1]) * delay_samples)
    return np.fft.irfft(spectrum)[:, : samples.shape[1]].astype(np.float32)


@pytest.mark.parametrize("delay_samples", [-11, -2.5, -0.125, 0.5, 3.75, 12])
def test_a_delay_is_found_and_taken_out(samples, delay_samples):
    aligned, seconds = align(samples, delayed(samples, delay_samples), 48_000)
    assert seconds == pytest.approx(delay_samples / 48_000)
    assert snr_db(samples[0, 200:-200], aligned[0, 200:-200]) > 40


def test_the_gain_and_the_length_stay(samples):
    aligned, seconds = align(samples, 0.5 * delayed(samples, 4), 48_000)
    assert seconds == pytest.approx(4 / 48_000)
    assert aligned.shape == samples.shape and aligned.dtype == np.float32
    np.testing.assert_allclose(aligned[:, 200:-200], 0.5 * samples[:, 200:-200], atol=1e-3)


@pytest.mark.parametrize("right", [-1.0, 0.0, 0.3], ids=["opposite", "silent", "quieter"])
def test_all_channels_are_shifted_by_one_delay(samples, right):
    stereo = np.concatenate([samples, right * samples]).astype(np.float32)
    aligned, seconds = align(stereo, delayed(stereo, 3.75), 48_000)
    assert seconds == pytest.approx(3.75 / 48_000)
    assert aligned.shape == stereo.shape
    np.testing.assert_allclose(aligned[:, 200:-200], stereo[:, 200:-200], atol=2e-3)


def test_what_is_aligned_is_returned_as_it_is(samples):
    noisy = samples + np.random.default_rng(1).normal(size=samples.shape).astype(np.float32) * 0.001
    for degraded in (samples, noisy, np.zeros_like(samples)):
        aligned, seconds = align(samples, degraded, 48_000)
        assert aligned is degraded and seconds == 0


def test_longer_delays_stay_visible(samples):
    _, seconds = align(samples, delayed(samples, 100), 48_000)
    assert abs(seconds) < 0.3e-3


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_very_short_clips_pass(num_samples):
    samples = np.ones((1, num_samples), np.float32)
    assert align(samples, samples, 48_000)[0].shape == (1, num_samples)
