"""Variations of training crops: other speeds, other colours, narrower bands.

HyperSound finds augmentation essential (Szatkowski et al. 2023). Here a crop is transformed once, its
spectrum is stretched, filtered and cut, and it is transformed back: three variations for the price of two transforms.
The crop is taken as periodic; what that does to its ends lies in the hops that the losses leave out.
"""

import numpy as np

from hscodec.training.config import AugmentConfig

_KNOTS_HZ = np.geomspace(60, 20_000, 8)
_BANDWIDTHS_HZ = (4_000, 5_512, 8_000, 11_025, 12_000, 16_000, 20_000)


class Augmentation:
    """Draws and applies variations.

    Args:
        config: How often, and how much.
        sample_rate: Rate of the crops (Hz).
        random: Source of all draws.
    """

    def __init__(self, config: AugmentConfig, sample_rate: int, random: np.random.Generator) -> None:
        self.config = config
        self.sample_rate = sample_rate
        self.random = random

    def source_samples(self, crop_samples: int) -> int:
        """Draw how many samples of a recording make a crop: more of them play faster and higher."""
        if self.config.speed == 0 or self.random.uniform() >= self.config.share:
            return crop_samples
        factor = np.exp(self.random.uniform(-1, 1) * np.log1p(self.config.speed))
        hop = self.sample_rate // 50  # lengths whose transforms are fast
        return max(round(crop_samples * factor / hop), 1) * hop

    def apply(self, samples: np.ndarray, crop_samples: int, bandwidth_hz: float) -> tuple[np.ndarray, float]:
        """Return the crop and its bandwidth (Hz).

        Args:
            samples: As many as `source_samples` said.
            crop_samples: T.
            bandwidth_hz: Bandwidth of the recording.

        Shape:
            samples: [N]
            returns: [T]
        """
        bandwidth_hz = min(bandwidth_hz * samples.size / crop_samples, self.sample_rate / 2)
        gain_db = self._filter_db()
        cutoff_hz = self._cutoff_hz(bandwidth_hz)
        if samples.size == crop_samples and gain_db is None and cutoff_hz is None:
            return samples, bandwidth_hz
        spectrum = np.zeros(crop_samples // 2 + 1, np.complex128)
        found = np.fft.rfft(samples)[: spectrum.size]
        spectrum[: found.size] = found * (crop_samples / samples.size)
        frequency_hz = np.arange(spectrum.size) * self.sample_rate / crop_samples
        if gain_db is not None:
            log_hz = np.log(np.maximum(frequency_hz, 1.0))
            spectrum *= 10 ** (np.interp(log_hz, np.log(_KNOTS_HZ), gain_db) / 20)
        if cutoff_hz is not None:
            spectrum[frequency_hz >= cutoff_hz] = 0
            bandwidth_hz = cutoff_hz
        return np.fft.irfft(spectrum, crop_samples), bandwidth_hz

    def _filter_db(self) -> np.ndarray | None:
        """Draw the gain of a filter at its knots (dB); None for no filter."""
        if self.config.filter_db == 0 or self.random.uniform() >= self.config.share:
            return None
        return self.random.normal(0, self.config.filter_db, _KNOTS_HZ.size)

    def _cutoff_hz(self, bandwidth_hz: float) -> float | None:
        """Draw a narrower bandwidth; None to leave it."""
        narrower = [cutoff for cutoff in _BANDWIDTHS_HZ if cutoff < bandwidth_hz]
        if not narrower or self.random.uniform() >= self.config.narrow_share:
            return None
        return float(self.random.choice(narrower))
