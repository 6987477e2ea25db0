"""Audio to encode, and files made from it with the tiny model."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.codec import encode_file


def _noise(num_samples, *, num_channels=1, seed=0):
    """Return [T, C] of quiet noise under a slow swell, so that chunks differ."""
    random = np.random.default_rng(seed)
    swell = 0.1 + 0.4 * np.sin(np.arange(num_samples) / 9000)[:, None] ** 2
    return (random.uniform(-1, 1, (num_samples, num_channels)) * swell).astype(np.float32)


@pytest.fixture(scope="session")
def noise():
    return _noise


@pytest.fixture
def encoded(tmp_path, tiny_model):
    """Return a function that encodes noise and returns the `.hsnd` file."""

    def encode(num_samples, *, rate=16_000, num_channels=1, quality=5.0) -> Path:
        source, target = tmp_path / "in.wav", tmp_path / "out.hsnd"
        soundfile.write(source, _noise(num_samples, num_channels=num_channels), rate)
        encode_file(source, target, model=tiny_model, quality=quality, device="cpu", overwrite=True)
        return target

    return encode


@pytest.fixture(scope="session")
def long_file(tmp_path_factory, tiny_model) -> Path:
    """Return 14.3 s of noise at 8 kHz in two channels: 716 segments, chunks of 250 and 466."""
    folder = tmp_path_factory.mktemp("long")
    soundfile.write(folder / "in.wav", _noise(114_321, num_channels=2), 8000)
    encode_file(folder / "in.wav", folder / "out.hsnd", model=tiny_model, device="cpu")
    return folder / "out.hsnd"
