import numpy as np


def speech(sample_rate, seconds=2.0, seed=0):
    """Bursts of a gliding pulse train with noise: what voip encoders and PESQ take for speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = np.cumsum(150 + 25 * np.sin(2 * np.pi * 0.7 * time)) / sample_rate
    formant = [np.exp(-(((harmonic * 150 - 800) / 500) ** 2)) for harmonic in range(1, 20)]
    voice = sum(level * np.sin(2 * np.pi * harmonic * phase) for harmonic, level in enumerate(formant, start=1))
    voice = voice * np.clip(np.sin(2 * np.pi * 2.5 * time) * 3, 0, 1) + 0.002 * rng.normal(size=time.size)
    return (0.3 * voice / np.abs(voice).max()).astype(np.float32)
