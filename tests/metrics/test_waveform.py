import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.errors import AudioError
from hscodec.metrics.waveform import l1, mse, psnr_db, si_sdr_db, si_snr_db, snr_db

METRICS = (mse, l1, snr_db, psnr_db, si_sdr_db, si_snr_db)


def noise(seed, size=4000, level=0.1):
    return np.random.default_rng(seed).normal(size=size) * level


def orthogonal_to(signal, seed):
    """Noise with neither a mean nor any share of the (zero-mean) signal, of the signal's energy."""
    other = noise(seed, signal.size)
    other -= other.mean()
    other -= signal * (other @ signal) / (signal @ signal)
    return other * np.sqrt((signal @ signal) / (other @ other))


@pytest.fixture
def signal():
    white = noise(1)
    return white - white.mean()


def test_known_values():
    reference, degraded = np.array([0.5, -0.5, 0.5, -0.5]), np.array([0.4, -0.4, 0.6, -0.5])
    assert mse(reference, degraded) == pytest.approx(0.0075)
    assert l1(reference, degraded) == pytest.approx(0.075)
    assert snr_db(reference, degraded) == pytest.approx(10 * math.log10(1 / 0.03))
    assert psnr_db(reference, degraded) == pytest.approx(10 * math.log10(4 / 0.0075))


def test_psnr_is_that_of_the_wave_mapped_to_0_1(signal):
    degraded = signal + noise(2, level=0.01)
    mapped_error = (degraded + 1) / 2 - (signal + 1) / 2
    assert psnr_db(signal, degraded) == pytest.approx(-10 * math.log10(np.mean(mapped_error**2)))


def test_psnr_of_silence_depends_on_the_level_of_the_clip_alone():
    # The level of the example that RECOMBINER's authors publish.
    quiet_speech = noise(3, size=200_000, level=0.057)
    assert psnr_db(quiet_speech, np.zeros_like(quiet_speech)) == pytest.approx(30.9, abs=0.1)


@pytest.mark.parametrize("noise_db", [-10, 0, 20, 60])
def test_orthogonal_noise_gives_the_same_snr_and_si_sdr(signal, noise_db):
    degraded = signal + orthogonal_to(signal, 4) * 10 ** (-noise_db / 20)
    assert snr_db(signal, degraded) == pytest.approx(noise_db)
    assert si_sdr_db(signal, degraded) == pytest.approx(noise_db)


def test_identical_signals_have_no_error(signal):
    assert mse(signal, signal) == l1(signal, signal) == 0
    assert snr_db(signal, signal) == psnr_db(signal, signal) == math.inf
    assert si_sdr_db(signal, signal) > 250


def test_limit_cases_of_silence(signal):
    silence = np.zeros_like(signal)
    assert snr_db(signal, silence) == pytest.approx(0)
    assert snr_db(silence, signal) == -math.inf
    assert snr_db(silence, silence) == math.inf
    assert si_sdr_db(signal, silence) == -math.inf
    assert math.isnan(si_sdr_db(silence, signal))
    assert math.isnan(si_sdr_db(np.full(8, 0.25), np.arange(8.0)))


def test_si_sdr_of_a_signal_without_any_share_of_the_reference():
    assert si_sdr_db(np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])) == -math.inf


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.0), (2.0, 0.1), (-1.0, -0.3)])
def test_si_sdr_ignores_gain_and_offset_where_snr_does_not(signal, gain, offset):
    degraded = signal + noise(5, level=0.01)
    assert si_sdr_db(signal, gain * degraded + offset) == pytest.approx(si_sdr_db(signal, degraded))
    assert snr_db(signal, gain * degraded + offset) < snr_db(signal, degraded) - 5


@pytest.mark.parametrize(("gain", "offset", "noise_db"), [(1.0, 0.0, 0), (0.5, 0.1, 20), (-2.0, -0.3, 60)])
def test_si_snr_is_si_sdr_where_there_is_sound(signal, gain, offset, noise_db):
    degraded = gain * (signal + orthogonal_to(signal, 4) * 10 ** (-noise_db / 20)) + offset
    assert si_snr_db(signal, degraded) == pytest.approx(noise_db, abs=0.02)
    assert si_snr_db(signal, degraded) == pytest.approx(si_sdr_db(signal, degraded), abs=0.02)


def test_si_snr_is_what_float32_leaves_of_it_for_identical_signals_and_silence(signal):
    offset, energy = 2.0**-23, float(signal @ signal)
    silence = np.zeros_like(signal)
    assert si_snr_db(signal, signal) == pytest.approx(10 * math.log10((energy + offset) / offset))
    assert si_snr_db(silence, silence) == 0
    assert si_snr_db(silence, signal) == pytest.approx(10 * math.log10(offset / (energy + offset)))
    assert si_snr_db(signal, silence) == pytest.approx(0, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_ratios_do_not_depend_on_the_common_level(seed, gain):
    reference = noise(seed, size=64)
    degraded = reference + noise(seed + 1, size=64, level=0.02)
    for ratio in (snr_db, si_sdr_db):
        assert ratio(gain * reference, gain * degraded) == pytest.approx(ratio(reference, degraded), abs=1e-6)


def test_all_get_worse_with_the_noise(signal):
    disturbance = noise(6, level=0.001)
    steps = [signal + disturbance * 2**k for k in range(8)]
    for error in (mse, l1):
        values = [error(signal, step) for step in steps]
        assert values == sorted(values)
    for ratio in (snr_db, psnr_db, si_sdr_db):
        values = [ratio(signal, step) for step in steps]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("reference", "degraded", "message"),
    [
        (np.zeros(3), np.zeros(4), "one length"),
        (np.zeros((2, 3)), np.zeros((2, 3)), "mono"),
        (np.zeros(0), np.zeros(0), "at least one sample"),
        (np.zeros(2), np.array([0.0, np.nan]), "finite"),
        (np.array([np.inf, 0.0]), np.zeros(2), "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(metric, reference, degraded, message):
    with pytest.raises(AudioError, match=message):
        metric(reference, degraded)


def test_integers_and_lists_do_not_overflow():
    loud = np.array([30_000, -30_000], dtype=np.int16)
    assert mse(loud, -loud) == 3_600_000_000
    assert l1([1, 2], [2, 4]) == 1.5
