import numpy as np
import pytest

from benchmarks.contenders import Encoded, Hscodec
from hscodec.metrics.waveform import si_sdr_db


def test_a_rate_is_bytes_times_8_over_seconds_whatever_the_channels():
    encoded = Encoded(bytes(3000), 2500, 48_000, 2, 96_000)
    assert encoded.file_bytes == 3000
    assert encoded.kbps(encoded.file_bytes) == 12.0
    assert encoded.kbps(encoded.payload_bytes) == 10.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model without training: what its step sizes let through is already the sound."""
    import torch

    from hscodec.hypernet.config import HypernetworkConfig
    from hscodec.model import Hypernetwork
    from hscodec.training.export import model_bytes

    torch.manual_seed(0)
    network = Hypernetwork(HypernetworkConfig(width=16, scale_width=16, refine_width=16, refine_blocks=1))
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    path.write_bytes(model_bytes(network.eval()))
    return path


@pytest.mark.parametrize("sample_rate", [16_000, 22_050])
def test_hscodec_is_measured_like_the_others(model, speech, sample_rate):
    codec = Hscodec((2.0, 8.0), model=str(model))
    samples = speech(sample_rate, 1.0)[None]
    ratios, sizes = [], []
    for quality in codec.settings:
        encoded = codec.encode(samples, sample_rate, quality)
        decoded = codec.decode(encoded)
        assert decoded.dtype == np.float32 and decoded.shape == samples.shape
        assert encoded.payload_bytes == encoded.file_bytes == len(encoded.blob)
        ratios.append(si_sdr_db(samples[0], decoded[0]))
        sizes.append(encoded.file_bytes)
    assert ratios[0] < ratios[1] and ratios[1] > 10 and sizes[0] < sizes[1]
    assert codec.name == "tiny" and codec.version().startswith("hscodec ")


def test_hscodec_keeps_channels_apart_in_one_file(model, stereo):
    codec = Hscodec((8.0,), model=str(model))
    samples = stereo(16_000, 0.8)
    encoded = codec.encode(samples, 16_000, 8.0)
    decoded = codec.decode(encoded)
    assert decoded.dtype == np.float32 and decoded.shape == samples.shape == (encoded.num_channels, encoded.num_samples)
    for original, channel in zip(samples, decoded, strict=True):
        assert si_sdr_db(original, channel) > 10
        assert np.dot(original, channel) > 0
    assert encoded.file_bytes > 1.2 * codec.encode(samples[:1], 16_000, 8.0).file_bytes
