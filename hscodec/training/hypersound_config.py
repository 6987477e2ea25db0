"""What a training run of the HyperSound family is; the defaults are the paper's (Szatkowski et al. 2023)."""

from dataclasses import dataclass, field
from typing import Literal

from hscodec.errors import ConfigError
from hscodec.hypernet.hypersound import HyperSoundConfig
from hscodec.inr.mlp import MlpConfig
from hscodec.training.run_config import AdamWConfig, CropConfig, RunConfig


@dataclass(frozen=True)
class HyperSoundDataConfig(CropConfig):
    """Where training audio comes from: speech.

    Attributes:
        crop_segments: Consecutive segments of a crop. The loss compares crops, so short segments can have FFTs that are
            longer than they are, and learn to join without a seam.
    """

    batch_size: int = 16
    crop_segments: int = 1
    speech: float = 1.0
    music: float = 0.0
    effects: float = 0.0
    max_attenuation_db: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop_segments < 1:
            raise ConfigError("data.crop_segments must be at least 1")


@dataclass(frozen=True)
class HyperSoundAugmentConfig:
    """Variations of crops, see `training.hypersound_data`.

    Attributes:
        phase_share: Share of crops whose phase is changed by a random all-pass filter.
        phase_low_hz: Lowest corner frequency of these filters.
        phase_high_hz: Highest corner frequency of these filters.
        dequantize: Whether noise of one 16-bit step is added.
    """

    phase_share: float = 0.8
    phase_low_hz: float = 20.0
    phase_high_hz: float = 2000.0
    dequantize: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.phase_share <= 1:
            raise ConfigError("augment.phase_share must be between 0 and 1")
        if not 0 < self.phase_low_hz <= self.phase_high_hz:
            raise ConfigError("augment: phase_low_hz must be greater than 0, and phase_high_hz not less")


@dataclass(frozen=True)
class HyperSoundLossConfig:
    """Weights of the loss terms, see `training.hypersound_loss`.

    Attributes:
        waveform: Weight of the L1 distance of waveforms, lambda_t.
        spectral: Weight of the mel-STFT distance, lambda_f; at 0 it is not computed.
        fft_samples: FFT lengths.
        num_mels: I, mel bins of each resolution.
        frequency_power: p at the end of its warm-up: mel bin i has a weight proportional to (i + 1)^p.
        frequency_warmup: Share of the run over which p rises from 0.
    """

    waveform: float = 1.0
    spectral: float = 1.0
    fft_samples: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    num_mels: int = 128
    frequency_power: float = 0.2
    frequency_warmup: float = 0.2

    def __post_init__(self) -> None:
        if min(self.waveform, self.spectral) < 0 or self.waveform + self.spectral <= 0:
            raise ConfigError("loss: waveform and spectral must not be negative, nor both zero")
        if min(self.fft_samples, default=0) < 16 or any(length % 4 for length in self.fft_samples):
            raise ConfigError("loss.fft_samples must be multiples of 4 of at least 16")
        if self.num_mels < 1:
            raise ConfigError("loss.num_mels must be at least 1")
        if not 0 <= self.frequency_warmup <= 1:
            raise ConfigError("loss.frequency_warmup must be between 0 and 1")


@dataclass(frozen=True)
class OneCycleConfig(AdamWConfig):
    """AdamW under a one-cycle schedule.

    Attributes:
        initial_learning_rate: Learning rate of the first step.
        rising_share: Share of the run over which it rises to its peak.
    """

    learning_rate: float = 2.5e-3
    initial_learning_rate: float = 1e-4
    rising_share: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.initial_learning_rate <= self.learning_rate:
            raise ConfigError("optimizer.initial_learning_rate must be greater than 0, and at most learning_rate")
        if not 0 <= self.rising_share < 1:
            raise ConfigError("optimizer.rising_share must be at least 0 and less than 1")


@dataclass(frozen=True)
class HyperSoundTrainingConfig(RunConfig):
    """A whole run of the HyperSound family: the contents of a file in `configs/`.

    Attributes:
        family: What is trained.
        hypernetwork: Shapes of the hypernetwork and, in it, of the target network.
        start: How target networks are spread at first, see `inr.weight_modes.WeightStart`.
        data: Where audio comes from.
        augment: Variations of crops.
        loss: Weights of the loss terms.
        optimizer: AdamW and the length of the run.
    """

    family: Literal["hypersound"] = "hypersound"
    hypernetwork: HyperSoundConfig = field(
        default_factory=lambda: HyperSoundConfig(target=MlpConfig(), modes=("standard",))
    )
    start: Literal["common", "hyperfan", "plain"] = "common"
    data: HyperSoundDataConfig = field(default_factory=HyperSoundDataConfig)
    augment: HyperSoundAugmentConfig = field(default_factory=HyperSoundAugmentConfig)
    loss: HyperSoundLossConfig = field(default_factory=HyperSoundLossConfig)
    optimizer: OneCycleConfig = field(default_factory=lambda: OneCycleConfig(minutes=90.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.loss.fft_samples) > self.crop_samples:
            raise ConfigError("loss.fft_samples must not be longer than a crop")
        if self.augment.phase_high_hz >= self.hypernetwork.sample_rate / 2:
            raise ConfigError("augment.phase_high_hz must be less than half the sample rate")

    @property
    def crop_samples(self) -> int:
        """Samples of a crop at the hypernetwork's sample rate."""
        return self.data.crop_segments * self.hypernetwork.segment_samples
