"""Audio to encode, and files made from it with the tiny model."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hscodec.codec import Encoder, encode_file
from hscodec.container import ContainerWriter, FileHeader


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


@pytest.fixture(scope="session")
def many_chunks(tmp_path_factory, tiny_model) -> Path:
    """Return 0.4 s of noise at 8 kHz in chunks of 2, 2, 4, 2, 8, 2 and 2 segments."""
    path = tmp_path_factory.mktemp("many") / "many.hsnd"
    encoder = Encoder(
        tiny_model, sample_rate=8000, num_channels=1, quality_hundredths=500, gain=1.0, device=torch.device("cpu")
    )
    header = FileHeader(
        sample_rate=8000,
        num_channels=1,
        num_samples=3200,
        num_weights=160,
        quality=500,
        model_id=tiny_model.model_id,
    )
    encoder._hold(_noise(3200).T)
    encoder._held = np.pad(encoder._held, ((0, 0), (0, 320)))
    with path.open("wb") as sink, ContainerWriter(sink, header) as container:
        for count in (2, 2, 4, 2, 8, 2, 2):
            encoder._encode(count)
        for chunk in encoder._packed(keep=0):
            chunk.write_to(container)
    return path
