import numpy as np
import pytest


@pytest.fixture(scope="session")
def speechlike():
    """Two seconds at 16 kHz of a pulse train through moving formants, in bursts: PESQ and ViSQOL take it for speech."""
    rate, seconds = 16_000, 2
    rng = np.random.default_rng(0)
    time = np.arange(seconds * rate) / rate
    phase = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / rate
    voice = np.zeros_like(time)
    for harmonic in range(1, 40):
        formants = np.exp(-(((harmonic * 120 - 700 - 300 * np.sin(2 * np.pi * 1.3 * time)) / 400) ** 2))
        formants += 0.4 * np.exp(-(((harmonic * 120 - 2200 + 500 * np.sin(2 * np.pi * 0.9 * time)) / 600) ** 2))
        voice += formants * np.sin(2 * np.pi * harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time) * 3, 0, 1)
    voice = voice * syllables + 0.001 * rng.normal(size=time.size)
    return 0.3 * voice / np.abs(voice).max(), rate
