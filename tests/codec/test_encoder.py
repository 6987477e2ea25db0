import numpy as np
import pytest
import torch

from hscodec.codec.constants import CHUNK_SEGMENTS
from hscodec.codec.encoder import Encoder, file_num_weights
from hscodec.inr.lapped import LappedSiren
from hscodec.rates import num_segments


def chunks(model, samples, rate, block_samples):
    encoder = Encoder(
        model,
        sample_rate=rate,
        num_channels=len(samples),
        quality_hundredths=300,
        gain=0.5,
        device=torch.device("cpu"),
    )
    made = []
    for start in range(0, samples.shape[1], block_samples):
        made += encoder.push(samples[:, start : start + block_samples])
    return made + list(encoder.finish())


@pytest.mark.parametrize("rate", [8000, 11_025])
def test_chunks_do_not_depend_on_block_sizes(tiny_model, noise, rate):
    samples = noise(round(15.2 * rate), num_channels=2).T
    reference = chunks(tiny_model, samples, rate, samples.shape[1])
    assert [chunk.num_segments for chunk in reference] == [250, 250, 262]
    for block_samples in (777, 1 << 14):
        assert chunks(tiny_model, samples, rate, block_samples) == reference


@pytest.mark.parametrize("num_hops", [0, 1, 2, 250, 498, 499, 500, 748, 749, 750, 1300])
@pytest.mark.parametrize("rate", [8000, 8050, 8049])
def test_chunks_cover_the_signal(tiny_model, num_hops, rate):
    """A chunk is cut off only while at least a whole one remains, also when the resampler holds samples back."""
    num_samples = num_hops * rate // 50
    made = chunks(tiny_model, np.zeros((1, num_samples), np.float32), rate, 1 << 16)
    counts = [chunk.num_segments for chunk in made]
    assert sum(counts) == num_segments(num_samples, rate // 50) if rate % 50 == 0 else sum(counts) >= num_hops
    assert [chunk.first_segment for chunk in made] == [sum(counts[:index]) for index in range(len(counts))]
    assert all(count == CHUNK_SEGMENTS for count in counts[:-1])
    assert all(count % 2 == 0 and count < 2 * CHUNK_SEGMENTS for count in counts)
    assert not counts or len(counts) == 1 or counts[-1] >= CHUNK_SEGMENTS


def test_channels_are_coded_side_by_side(tiny_model, noise):
    """Symbols of a channel do not depend on the others."""
    samples = noise(8000, num_channels=3).T
    encoder = Encoder(
        tiny_model, sample_rate=16_000, num_channels=3, quality_hundredths=500, gain=1.0, device=torch.device("cpu")
    )
    together = encoder._symbols(torch.from_numpy(samples[:, :6720].copy()))
    for channel in range(3):
        alone = encoder._symbols(torch.from_numpy(samples[channel : channel + 1, :6720].copy()))
        # Rounding of sums may differ with the batch, which may tip a symbol over.
        assert np.mean(together.latent[channel] != alone.latent[0]) < 0.01
        assert np.mean(together.weights[channel] != alone.weights[0]) < 0.01


def test_features_above_the_files_bandwidth_are_not_analyzed(tiny_model):
    """At 11,025 Hz a hop of the analysis rate has 221 samples; only 220 features lie below the Nyquist frequency."""
    encoder = Encoder(
        tiny_model, sample_rate=11_025, num_channels=1, quality_hundredths=500, gain=1.0, device=torch.device("cpu")
    )
    assert (encoder.samples_per_hop, encoder.num_weights) == (221, 220)
    theta = torch.zeros(1, 9, 221)
    theta[..., 220] = 1
    symbols = encoder._symbols(LappedSiren(221).synthesize(theta, 221)[:, 221:])
    silence = encoder._symbols(torch.zeros(1, 7 * 221))
    np.testing.assert_array_equal(symbols.latent[:, 1:-1], silence.latent[:, 1:-1])


@pytest.mark.parametrize(
    ("rate", "expected"), [(8000, 160), (11_025, 220), (16_000, 320), (22_050, 441), (48_000, 960), (192_000, 960)]
)
def test_file_num_weights(tiny_model, rate, expected):
    assert file_num_weights(tiny_model, rate) == expected
