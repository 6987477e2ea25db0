"""Alignment to a fraction of a sample, so that a delay that nobody hears does not decide a waveform metric."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import Samples

MAX_DELAY_SECONDS = 0.25e-3
"""Longer delays are a codec's fault, or a mistake in its delay compensation, and stay visible."""

_STEPS_PER_SAMPLE = 16


def align(reference: Samples, degraded: Samples, sample_rate: int) -> tuple[Samples, float]:
    """Shift a decoded clip by the delay within `MAX_DELAY_SECONDS` that makes it correlate best with the original.

    All channels are shifted alike: the correlations of the channels are added up, in which, unlike in a mix of the
    channels, opposite signals do not cancel and silent ones have no say.

    Args:
        reference: The original.
        degraded: The decoded clip.
        sample_rate: Rate of both (Hz).

    Shape:
        reference, degraded: [C, T]
        returns: [C, T]

    Returns:
        The shifted clip, and the delay that was taken out (seconds, in steps of 1/16 sample; positive where the
        decoded clip was late).
    """
    size = 1 << (reference.shape[1] + sample_rate // 1000).bit_length()  # padding: nothing wraps around
    spectra = np.fft.rfft(degraded, size)
    cross = np.sum(np.conj(np.fft.rfft(reference, size)) * spectra, axis=0)
    most = int(MAX_DELAY_SECONDS * sample_rate)
    whole = np.roll(np.fft.irfft(cross, size), most)[: 2 * most + 1].argmax() - most
    steps = np.arange(-_STEPS_PER_SAMPLE, _STEPS_PER_SAMPLE + 1) / _STEPS_PER_SAMPLE + whole
    correlation = [float(np.sum((cross * _advance(size, delay)).real)) for delay in steps]
    delay = float(steps[np.argmax(correlation)])
    if delay == 0 or max(correlation) <= 0:
        return degraded, 0.0
    shifted = np.fft.irfft(spectra * _advance(size, delay), size)[:, : degraded.shape[1]]
    return shifted.astype(np.float32), delay / sample_rate


def _advance(size: int, delay_samples: float) -> NDArray[np.complex128]:
    return np.exp(2j * np.pi * np.fft.rfftfreq(size) * delay_samples)
