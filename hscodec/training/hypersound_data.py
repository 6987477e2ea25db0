"""Crops for the HyperSound family: one or several segments long, at its sample rate, varied as in the paper.

Crops are drawn at the corpus' rate and longer than needed, resampled, their phase is changed, and they are cut to
length: what resampling and filtering do to ends is cut off.
"""

from collections.abc import Generator
from pathlib import Path

import numpy as np

from hscodec.audio.resample import resample
from hscodec.rates import scaled_length
from hscodec.training.data import SAMPLE_RATE, CropSampler, drawn_ahead, load_shards
from hscodec.training.hypersound_config import HyperSoundAugmentConfig, HyperSoundTrainingConfig

PCM_STEP = 2**-15
"""One step of 16-bit audio."""
ALLPASS_Q = 0.5**0.5
"""Quality of second-order all-pass filters: phase turns over about two octaves."""
_LEAD_S = 0.12
_TAIL_S = 0.02
"""What is cut off in front of and behind a crop. All-pass filters ring after the sound, and here around its end into
its beginning: at 20 Hz they have fallen by more than 80 dB within the lead."""


def allpass_response(num_samples: int, sample_rate: float, *, corner_hz: float, order: int) -> np.ndarray:
    """Return the frequency response of a digital all-pass filter, of magnitude 1 everywhere.

    Of first order (1 - u j) / (1 + u j), of second (1 - u^2 - u j / Q) / (1 - u^2 + u j / Q), where
    u = tan(omega / 2) / tan(omega_corner / 2): the analogue filters under the bilinear transform. Phase falls smoothly
    from 0 to -pi or -2 pi, and at the corner is half of that.

    Args:
        num_samples: T, length of the signal that it is meant for.
        sample_rate: Rate of the signal (Hz).
        corner_hz: Corner frequency.
        order: 1 or 2.

    Shape:
        returns: [T // 2 + 1], complex128
    """
    half_omega = np.pi * np.arange(num_samples // 2 + 1) / num_samples
    ratio = np.tan(half_omega) / np.tan(np.pi * corner_hz / sample_rate)
    half_phase = np.arctan(ratio) if order == 1 else np.arctan2(ratio / ALLPASS_Q, 1 - ratio**2)
    return np.exp(-2j * half_phase)


def mangle_phase(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Filter a signal, taken as periodic, by a frequency response.

    Shape:
        samples: [T]
        response: [T // 2 + 1]
        returns: [T]
    """
    return np.fft.irfft(np.fft.rfft(samples) * response, samples.size)


def dequantize(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add uniform noise of one 16-bit step, between half a step below and half a step above."""
    return samples + random.uniform(-PCM_STEP / 2, PCM_STEP / 2, samples.shape)


class SegmentSampler:
    """Draws batches of crops, of one segment or several, for ever; the same seed gives the same batches.

    Args:
        crops: Draws them at the corpus' rate, as long as `source_samples` says.
        sample_rate: Rate of the crops (Hz).
        crop_samples: T.
        augment: Variations.
        seed: Seed of the variations.
    """

    def __init__(
        self,
        crops: CropSampler,
        *,
        sample_rate: int,
        crop_samples: int,
        augment: HyperSoundAugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.crops = crops
        self.sample_rate = sample_rate
        self.crop_samples = crop_samples
        self.augment = augment or HyperSoundAugmentConfig()
        # Not the sequence of numbers that the crops are drawn by.
        self.random = np.random.default_rng((seed, 1))

    def draw(self) -> np.ndarray:
        """Return the next batch: float32 [B, T]."""
        batch = resample(self.crops.draw().samples, SAMPLE_RATE, self.sample_rate)
        lead = round(_LEAD_S * self.sample_rate)
        segments = np.stack([self._mangled(item) for item in batch])[:, lead : lead + self.crop_samples]
        if self.augment.dequantize:
            segments = dequantize(segments, self.random)
        return segments.astype(np.float32)

    def prefetch(self, depth: int = 4) -> Generator[np.ndarray, None, None]:
        """Yield batches drawn ahead, see `training.data.drawn_ahead`."""
        return drawn_ahead(self.draw, depth)

    def _mangled(self, samples: np.ndarray) -> np.ndarray:
        augment = self.augment
        if self.random.uniform() >= augment.phase_share:
            return samples
        corner_hz = np.exp(self.random.uniform(np.log(augment.phase_low_hz), np.log(augment.phase_high_hz)))
        order = int(self.random.integers(1, 3))
        return mangle_phase(samples, allpass_response(samples.size, self.sample_rate, corner_hz=corner_hz, order=order))


def source_samples(crop_samples: int, sample_rate: int) -> int:
    """Return how many samples of the corpus make a crop, with what is cut off around it."""
    cut_off = round(_LEAD_S * sample_rate) + round(_TAIL_S * sample_rate)
    return scaled_length(crop_samples + cut_off, sample_rate, SAMPLE_RATE)


def segment_sampler(config: HyperSoundTrainingConfig, *, seed: int) -> SegmentSampler:
    """Return the sampler of a run.

    Raises:
        CorpusError: The corpus cannot be used, or has no shard of the kinds that are wanted.
    """
    data, shape = config.data, config.hypernetwork
    crops = CropSampler(
        load_shards(Path(data.corpus)),
        batch_size=data.batch_size,
        crop_samples=source_samples(config.crop_samples, shape.sample_rate),
        kind_weights=data.kind_weights,
        source_weights=data.source_weights,
        max_attenuation_db=data.max_attenuation_db,
        seed=seed,
    )
    return SegmentSampler(
        crops,
        sample_rate=shape.sample_rate,
        crop_samples=config.crop_samples,
        augment=config.augment,
        seed=seed,
    )
