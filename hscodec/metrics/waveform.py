"""Errors of the waveform itself: squared and absolute error, and the ratios in decibels that are made of them."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hscodec.errors import AudioError

_SI_SNR_OFFSET = 2.0**-23  # the resolution of float32


def checked_pair(reference: ArrayLike, degraded: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both signals as float64, or refuse a pair that cannot be compared sample by sample.

    Args:
        reference: The original.
        degraded: The decoded signal.

    Shape:
        reference, degraded: [T], T at least 1
        returns: [T], [T]

    Raises:
        AudioError: A signal is not one-dimensional, is empty or holds a value that is not finite, or the lengths
            differ.
    """
    pair = np.asarray(reference, dtype=np.float64), np.asarray(degraded, dtype=np.float64)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        raise AudioError(f"metrics compare two mono signals of one length, not {pair[0].shape} and {pair[1].shape}")
    if pair[0].size == 0:
        raise AudioError("metrics need at least one sample")
    if not all(np.isfinite(signal).all() for signal in pair):
        raise AudioError("metrics need finite samples")
    return pair


def mse(reference: ArrayLike, degraded: ArrayLike) -> float:
    """Return the mean squared error, 0 for identical signals.

    Args:
        reference: The original, full scale 1.0.
        degraded: The decoded signal.

    Shape:
        reference, degraded: [T]

    Raises:
        AudioError: The signals cannot be compared (see `checked_pair`).
    """
    original, decoded = checked_pair(reference, degraded)
    return float(np.mean((decoded - original) ** 2))


def l1(reference: ArrayLike, degraded: ArrayLike) -> float:
    """Return the mean absolute error, 0 for identical signals.

    Args:
        reference: The original, full scale 1.0.
        degraded: The decoded signal.

    Shape:
        reference, degraded: [T]

    Raises:
        AudioError: The signals cannot be compared (see `checked_pair`).
    """
    original, decoded = checked_pair(reference, degraded)
    return float(np.mean(np.abs(decoded - original)))


def snr_db(reference: ArrayLike, degraded: ArrayLike) -> float:
    """Return the signal-to-noise ratio, 10 log10(|x|^2 / |y - x|^2), in decibels.

    Args:
        reference: The original x.
        degraded: The decoded signal y.

    Shape:
        reference, degraded: [T]

    Returns:
        The ratio; `inf` for identical signals, `-inf` for a silent reference with an error, 0 for a silent decoded
        signal.

    Raises:
        AudioError: The signals cannot be compared (see `checked_pair`).
    """
    original, decoded = checked_pair(reference, degraded)
    return _ratio_db(_energy(original), _energy(decoded - original))


def psnr_db(reference: ArrayLike, degraded: ArrayLike) -> float:
    """Return the peak signal-to-noise ratio as papers on implicit neural representations define it, in decibels.

    COIN++, COMBINER and RECOMBINER (arXiv 2309.17182) map the wave from [-1, 1] to [0, 1] by (x + 1) / 2 and call 1
    the peak: -10 log10 of the error after that, that is 10 log10(4 / mse). The level of the signal does not enter, so
    quiet speech against *silence* already scores some 30 dB (30.9 dB on RECOMBINER's example): compare such figures
    only on the same clip.

    Args:
        reference: The original, in [-1, 1].
        degraded: The decoded signal, in [-1, 1]; it is not clipped.

    Shape:
        reference, degraded: [T]

    Returns:
        The ratio; `inf` for identical signals.

    Raises:
        AudioError: The signals cannot be compared (see `checked_pair`).
    """
    return _ratio_db(4.0, mse(reference, degraded))


def si_sdr_db(reference: ArrayLike, degraded: ArrayLike) -> float:
    """Return the scale-invariant signal-to-distortion ratio of Le Roux et al. (ICASSP 2019, section 2), in decibels.

    Both signals lose their mean. With a = <x, y> / |x|^2 the ratio is 10 log10(|a x|^2 / |y - a x|^2), so that
    neither the gain of a codec nor an offset counts as an error; a delay does, and so does a codec's high-pass
    filter.

    Args:
        reference: The original x.
        degraded: The decoded signal y.

    Shape:
        reference, degraded: [T]

    Returns:
        The ratio; `inf` where y is a scaled copy of x with no rounding error, `-inf` where y is silent or orthogonal
        to x, and `nan` for a silent (or constant) reference, for which the ratio is not defined.

    Raises:
        AudioError: The signals cannot be compared (see `checked_pair`).
    """
    original, decoded = checked_pair(reference, degraded)
    original, decoded = original - original.mean(), decoded - decoded.mean()
    energy = _energy(original)
    if energy == 0:
        return math.nan
    target = original * (float(original @ decoded) / energy)
    if not target.any():
        return -math.inf
    return _ratio_db(_energy(target), _energy(decoded - target))


def si_snr_db(reference: ArrayLike, degraded: ArrayLike) -> float:
    """Return the scale-invariant signal-to-noise ratio (SI-SNR) as HyperSound (arXiv 2302.04959) measures it, in dB.

    It is the ratio of `si_sdr_db`, means removed, with e = 2^-23 added to every energy: a = (<x, y> + e) / (|x|^2 + e)
    and 10 log10((|a x|^2 + e) / (|y - a x|^2 + e)), as the authors' package torchmetrics has it in float32. Where both
    energies are far above e the two are the same number. They differ for identical signals and for silence, where this
    one stays finite, so that a mean over clips exists; but there it says how loud the clip is, not how good the copy.

    Args:
        reference: The original x, full scale 1.0.
        degraded: The decoded signal y.

    Shape:
        reference, degraded: [T]

    Returns:
        The ratio: 10 log10(|x|^2) + 69.2 for identical signals, 0 for two silent ones.

    Raises:
        AudioError: The signals cannot be compared (see `checked_pair`).
    """
    original, decoded = checked_pair(reference, degraded)
    original, decoded = original - original.mean(), decoded - decoded.mean()
    target = original * ((float(original @ decoded) + _SI_SNR_OFFSET) / (_energy(original) + _SI_SNR_OFFSET))
    return _ratio_db(_energy(target) + _SI_SNR_OFFSET, _energy(decoded - target) + _SI_SNR_OFFSET)


def _energy(signal: NDArray[np.float64]) -> float:
    return float(signal @ signal)


def _ratio_db(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
