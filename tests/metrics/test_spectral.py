import numpy as np
import pytest
import soxr

from hscodec.errors import AudioError
from hscodec.metrics import spectral
from hscodec.metrics.spectral import log_spectral_distance


def noise(seed, size=22_050, level=0.1):
    return np.random.default_rng(seed).normal(size=size) * level


def test_identical_signals_are_at_distance_zero():
    assert log_spectral_distance(noise(0), noise(0), 22_050) == 0
    assert log_spectral_distance(np.zeros(100), np.zeros(100), 16_000) == 0


@pytest.mark.parametrize("gain_db", [-20, -1, 6])
def test_a_gain_moves_every_bin_by_a_tenth_of_its_decibels(gain_db):
    assert log_spectral_distance(noise(1), noise(1) * 10 ** (gain_db / 20), 22_050) == pytest.approx(abs(gain_db) / 10)


def test_it_is_symmetric_and_blind_to_polarity():
    assert log_spectral_distance(noise(2), noise(3), 16_000) == log_spectral_distance(noise(3), noise(2), 16_000)
    assert log_spectral_distance(noise(2), -noise(2), 16_000) == 0


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_independent_noises_are_equally_far_apart_at_every_rate(sample_rate):
    # |X|^2 of noise is exponential, so the log10 of a ratio of two has variance pi^2 / (3 ln(10)^2), whatever the
    # window.
    distance = log_spectral_distance(noise(4, sample_rate), noise(5, sample_rate), sample_rate)
    assert distance == pytest.approx(np.pi / np.sqrt(3) / np.log(10), rel=0.02)


def test_the_window_is_1024_samples_every_220_at_22050_hz():
    # An impulse is seen by the windows that cover it, and no other.
    reference = np.zeros(22_050)
    degraded = reference.copy()
    degraded[10_000] = 0.5
    seen = [log_spectral_distance(reference[:size], degraded[:size], 22_050) for size in (10_000, 22_050)]
    assert seen[0] == 0
    starts = np.arange(0, 22_050 + 1, 220) - 512
    offset = 10_000 - starts[(starts < 10_000) & (starts + 1024 > 10_000)]
    window = np.sin(np.pi * offset / 1024) ** 2
    floor = 2.0**-30 / 12 * 384
    expected = np.sum(np.log10(np.maximum(0.25 * window**2, floor) / floor)) / starts.size
    assert seen[1] == pytest.approx(expected)


def test_what_lies_below_16_bit_rounding_noise_does_not_count():
    reference = noise(6, level=0.1)
    inaudible = noise(7, level=1e-7)
    assert log_spectral_distance(np.zeros_like(reference), inaudible, 22_050) == 0
    narrow = soxr.resample(soxr.resample(reference, 22_050, 8000), 8000, 22_050)[: reference.size]
    assert log_spectral_distance(narrow, narrow + inaudible, 22_050) < 0.01


def test_it_grows_with_the_noise():
    reference, disturbance = noise(8), noise(9, level=0.001)
    distances = [log_spectral_distance(reference, reference + disturbance * 10**k, 22_050) for k in range(3)]
    assert distances == sorted(distances) and distances[0] > 0


@pytest.mark.parametrize("num_samples", [1, 2, 100, 1023, 1024])
def test_signals_shorter_than_a_window_are_measured(num_samples):
    assert log_spectral_distance(noise(10, num_samples), 2 * noise(10, num_samples), 22_050) > 0.3


@pytest.mark.parametrize("windows", [1, 7, 100, 101])
def test_long_signals_are_measured_in_blocks(windows, monkeypatch):
    whole = log_spectral_distance(noise(11), noise(12), 22_050)
    monkeypatch.setattr(spectral, "_BLOCK_WINDOWS", windows)
    assert log_spectral_distance(noise(11), noise(12), 22_050) == pytest.approx(whole, rel=1e-12)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(AudioError):
        log_spectral_distance(np.zeros(4), np.zeros(5), 16_000)
    with pytest.raises(ValueError, match="100 Hz"):
        log_spectral_distance(np.zeros(4), np.zeros(4), 50)
