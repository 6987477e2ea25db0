import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.audio.resample import Resampler, resample
from hscodec.rates import scaled_length

RATES = [(11_025, 48_000), (48_000, 11_025), (11_025, 11_050), (44_100, 48_000), (48_000, 16_000), (8000, 192_000)]


def stream(samples, from_rate, to_rate, block_samples):
    resampler = Resampler(from_rate, to_rate, num_channels=samples.shape[0])
    starts = range(0, samples.shape[1], block_samples)
    outputs = [resampler.process(samples[:, start : start + block_samples]) for start in starts]
    outputs.append(resampler.finish())
    assert resampler.num_read == samples.shape[1]
    assert resampler.num_emitted == sum(output.shape[1] for output in outputs)
    return np.concatenate(outputs, axis=1)


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize(("place", "error_db"), [(0.01, -110), (0.1, -110), (0.4, -75)])
def test_pure_tone_stays_a_pure_tone(from_rate, to_rate, place, error_db):
    # soxr's passband falls by up to 0.01 dB towards its edge, hence the lower demand there.
    frequency_hz = place * min(from_rate, to_rate)
    samples = np.sin(2 * np.pi * frequency_hz * np.arange(from_rate) / from_rate)[None]
    expected = np.sin(2 * np.pi * frequency_hz * np.arange(to_rate) / to_rate)[None]
    inner = slice(to_rate // 10, -(to_rate // 10))
    error = (resample(samples, from_rate, to_rate) - expected)[:, inner]
    assert 10 * np.log10(np.mean(error**2) / 0.5) < error_db


@pytest.mark.parametrize(("from_rate", "to_rate"), [(48_000, 16_000), (44_100, 11_025)])
def test_tone_above_the_new_band_disappears(from_rate, to_rate):
    samples = np.sin(2 * np.pi * 0.55 * to_rate * np.arange(from_rate) / from_rate)[None]
    inner = slice(to_rate // 10, -(to_rate // 10))
    assert np.abs(resample(samples, from_rate, to_rate)[:, inner]).max() < 1e-5


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
@pytest.mark.parametrize("num_samples", [0, 1, 2, 37, 5000])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_lengths_are_exact(from_rate, to_rate, num_samples, num_channels):
    samples = np.random.default_rng(0).uniform(-1, 1, (num_channels, num_samples)).astype(np.float32)
    whole = resample(samples, from_rate, to_rate)
    assert whole.shape == (num_channels, scaled_length(num_samples, from_rate, to_rate))
    assert whole.dtype == np.float32
    np.testing.assert_allclose(stream(samples, from_rate, to_rate, 1000), whole, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    rates=st.tuples(st.integers(8000, 192_000), st.integers(8000, 192_000)),
    num_samples=st.integers(0, 3000),
    block_samples=st.integers(1, 1000),
)
def test_streaming_equals_offline(rates, num_samples, block_samples):
    samples = np.random.default_rng(0).uniform(-1, 1, (2, num_samples)).astype(np.float32)
    whole = resample(samples, *rates)
    streamed = stream(samples, *rates, block_samples)
    assert streamed.shape == (2, scaled_length(num_samples, *rates))
    np.testing.assert_allclose(streamed, whole, atol=1e-6)


def test_channels_do_not_mix():
    samples = np.random.default_rng(0).uniform(-1, 1, (3, 4000)).astype(np.float32)
    together = resample(samples, 44_100, 48_000)
    for channel in range(3):
        np.testing.assert_allclose(together[channel], resample(samples[[channel]], 44_100, 48_000)[0], atol=1e-6)


def test_same_rate_changes_nothing():
    samples = np.random.default_rng(0).uniform(-1, 1, (2, 100)).astype(np.float32)
    np.testing.assert_array_equal(resample(samples, 8000, 8000), samples)
    np.testing.assert_array_equal(stream(samples, 8000, 8000, 30), samples)
