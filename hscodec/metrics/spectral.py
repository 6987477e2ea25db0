"""Distance between magnitude spectra, blind to phase."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from hscodec.metrics.waveform import checked_pair

_REFERENCE_RATE_HZ = 44_100
_WINDOW_SAMPLES = 2048  # at 44.1 kHz, that is 1024 at HyperSound's 22,050 Hz
_WINDOWS_PER_SECOND = 100
_BLOCK_WINDOWS = 1024  # spectra in memory at a time, whatever the length
_ROUNDING_NOISE = 2.0**-30 / 12  # variance of rounding to 16 bits, full scale 1.0


def log_spectral_distance(reference: ArrayLike, degraded: ArrayLike, sample_rate: int) -> float:
    """Return the log-spectral distance (LSD) as HyperSound (arXiv 2302.04959) measures it, in decades of power.

    The mean over windows of the root of the mean over bins of (log10 |X|^2 - log10 |Y|^2)^2, with Hann windows of
    46.4 ms every 10 ms: FFT length 1024 and hop 220 at 22,050 Hz, both scaled with the rate and rounded down (the
    definition of arXiv 2203.14941, which HyperSound takes over). The signals are padded with half a window of zeros
    on either side.

    One departure: powers below that of 16-bit rounding noise count as that noise. Digital silence has no logarithm,
    and without a floor the empty band above a codec's bandwidth, where one decoder writes zeros and another dithers,
    would decide the value.

    Args:
        reference: The original, full scale 1.0.
        degraded: The decoded signal.
        sample_rate: Rate of both (Hz), at least 100.

    Shape:
        reference, degraded: [T]

    Returns:
        The distance: 0 for identical signals, g / 10 for a copy that is g dB louder while both stay above the floor.

    Raises:
        AudioError: The signals cannot be compared (see `waveform.checked_pair`).
        ValueError: The rate is below 100 Hz.
    """
    if sample_rate < _WINDOWS_PER_SECOND:
        raise ValueError(f"a sample rate of at least {_WINDOWS_PER_SECOND} Hz is needed, not {sample_rate}")
    pair = checked_pair(reference, degraded)
    first, second = (_windows(signal, sample_rate) for signal in pair)
    distances = np.empty(len(first))
    for start in range(0, len(first), _BLOCK_WINDOWS):
        block = slice(start, start + _BLOCK_WINDOWS)
        difference = _log_power(first[block]) - _log_power(second[block])
        distances[block] = np.sqrt(np.mean(difference**2, axis=-1))
    return float(distances.mean())


def _windows(signal: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Return all stretches of a signal that are transformed, [windows, T], as a view."""
    window_samples = sample_rate * _WINDOW_SAMPLES // _REFERENCE_RATE_HZ
    hop_samples = sample_rate // _WINDOWS_PER_SECOND
    padded = np.pad(signal, window_samples // 2 + window_samples % 2)
    return sliding_window_view(padded, window_samples)[::hop_samples]


def _log_power(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log10 power spectra of windows, [windows, bins]."""
    window_samples = windows.shape[1]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_samples) / window_samples)
    power = np.abs(np.fft.rfft(windows * taper)) ** 2
    return np.log10(np.maximum(power, _ROUNDING_NOISE * float(taper @ taper)))
