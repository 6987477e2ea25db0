import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # `benchmarks` is not part of the installed package


def _speech(sample_rate, seconds=2.0, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = np.cumsum(150 + 25 * np.sin(2 * np.pi * 0.7 * time)) / sample_rate
    formant = [np.exp(-(((harmonic * 150 - 800) / 500) ** 2)) for harmonic in range(1, 20)]
    voice = sum(level * np.sin(2 * np.pi * harmonic * phase) for harmonic, level in enumerate(formant, start=1))
    voice = voice * np.clip(np.sin(2 * np.pi * 2.5 * time) * 3, 0, 1) + 0.002 * rng.normal(size=time.size)
    return (0.3 * voice / np.abs(voice).max()).astype(np.float32)


@pytest.fixture(scope="session")
def speech():
    """A function that makes bursts of a gliding pulse train with noise: what voip encoders and PESQ take for speech."""
    return _speech


def _stereo(sample_rate, seconds=2.0):
    left = _speech(sample_rate, seconds)
    return np.stack([left, -0.5 * left[::-1]])


@pytest.fixture(scope="session")
def stereo():
    """A function that makes two channels, [2, T], that differ in content, level and sign: confusing them shows."""
    return _stereo


@pytest.fixture
def corpus(tmp_path):
    """Two folders: mono files at 16 kHz, and a stereo file in a subfolder beside files that are not audio."""
    first, second = tmp_path / "voices", tmp_path / "mixed"
    first.mkdir()
    (second / "deep").mkdir(parents=True)
    for index in range(3):
        soundfile.write(first / f"clip-{index}.flac", _speech(16_000, 1.0, index), 16_000)
    soundfile.write(second / "deep" / "stereo.wav", _stereo(22_050, 1.0).T, 22_050, subtype="FLOAT")
    (second / "notes.txt").write_text("not audio")
    (second / "empty.wav").write_bytes(b"")
    return first, second
