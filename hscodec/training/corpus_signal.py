"""From a decoded recording to a training clip: mono, silences shortened, 48 kHz, a common peak."""

import numpy as np
import soxr

CORPUS_RATE_HZ = 48_000
SILENCE_DB = -55.0
"""Below this, relative to the recording's peak, a stretch counts as silence."""
SHORTEST_SILENCE_S = 0.5
KEPT_SILENCE_S = 0.2
PEAK_DB = -1.0
MAX_GAIN_DB = 30.0
"""Quieter recordings are raised by this much only, so that noise does not become a sound of its own."""
_FRAME_S = 0.01
_FADE_S = 0.005


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Return the mean of all channels.

    Shape:
        - samples: `[C, T]`
        - Output: `[T]`, float32
    """
    return samples.mean(axis=0, dtype=np.float32)


def cut_silence(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Shorten every silence longer than 0.5 s to 0.2 s: its first and its last 0.1 s.

    A silence is a run of 10 ms frames whose peaks stay below -55 dB relative to the peak of the whole signal.

    Args:
        samples: The signal.
        sample_rate: Hz.

    Shape:
        - samples: `[T]`
        - Output: `[T']`, `T' <= T`
    """
    frame_samples = max(1, round(_FRAME_S * sample_rate))
    num_frames = -(-len(samples) // frame_samples)
    padded = np.pad(np.abs(samples), (0, num_frames * frame_samples - len(samples)))
    peaks = padded.reshape(num_frames, frame_samples).max(axis=1, initial=0)
    silent = peaks < peaks.max(initial=0) * 10 ** (SILENCE_DB / 20)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], silent, [False])).astype(np.int8)))
    side = round(KEPT_SILENCE_S / 2 / _FRAME_S)
    keep = np.ones(num_frames, dtype=bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if (stop - start) * _FRAME_S > SHORTEST_SILENCE_S:
            keep[start + side : stop - side] = False
    return samples[np.repeat(keep, frame_samples)[: len(samples)]]


def to_clip(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resample to 48 kHz, fade both ends over 5 ms, bring the peak to -1 dBFS (by at most +30 dB) and round to 16 bits.

    Args:
        samples: The signal; silence stays silence.
        sample_rate: Hz.

    Shape:
        - samples: `[T]`, float32
        - Output: `[T']`, int16, `T' = T * 48000 / sample_rate`
    """
    samples = soxr.resample(samples, sample_rate, CORPUS_RATE_HZ, quality="HQ").astype(np.float32)
    # Excerpts start in the middle of a sound; a step there would be a click that nobody recorded.
    fade_samples = min(round(_FADE_S * CORPUS_RATE_HZ), len(samples) // 2)
    ramp = np.arange(fade_samples, dtype=np.float32) / max(1, fade_samples)
    samples[:fade_samples] *= ramp
    samples[len(samples) - fade_samples :] *= ramp[::-1]
    peak = float(np.abs(samples).max(initial=0))
    gain = min(10 ** (PEAK_DB / 20) / max(peak, 1e-9), 10 ** (MAX_GAIN_DB / 20))
    return np.rint(samples * (gain * 32767)).astype(np.int16)
