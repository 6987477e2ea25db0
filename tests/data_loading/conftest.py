"""A folder of short sounds, made with the tiny model."""

from pathlib import Path

import numpy as np
import pytest

import hscodec

RATES_AND_LENGTHS = {
    "a": (8_000, 120_000, 1),
    "b": (16_000, 100_000, 1),
    "c": (11_025, 90_000, 2),
    "d": (8_000, 3_000, 1),
}


def sound(name):
    """Return what the file `name` holds; with silence and onsets, so that there are attacks."""
    rate, num_samples, num_channels = RATES_AND_LENGTHS[name]
    random = np.random.default_rng(ord(name))
    swell = np.where(np.arange(num_samples) % rate < rate // 2, 0.001, 0.3)
    samples = random.normal(size=(num_channels, num_samples)) * swell
    return samples.astype(np.float32), rate


@pytest.fixture(scope="session")
def folder(tmp_path_factory, tiny_model) -> Path:
    """Return a folder of four files: two of one rate, one in stereo, one of 0.4 s; 36 s in all."""
    folder = tmp_path_factory.mktemp("sounds")
    (folder / "more").mkdir()
    for name in RATES_AND_LENGTHS:
        samples, rate = sound(name)
        hscodec.write(folder / ("more" if name == "b" else "") / f"{name}.hsnd", samples, rate, model=tiny_model)
    (folder / "notes.txt").write_text("not a sound")
    return folder


@pytest.fixture
def stereo_file(folder):
    return folder / "c.hsnd"
