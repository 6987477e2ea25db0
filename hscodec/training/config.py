"""What a training run is: read from TOML, checked when built."""

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hscodec.config import from_mapping, load_toml
from hscodec.errors import ConfigError
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.training.hypersound_config import HyperSoundTrainingConfig
from hscodec.training.run_config import AdamWConfig, CropConfig, RunConfig


@dataclass(frozen=True)
class DataConfig(CropConfig):
    """Where training audio comes from and how it is drawn.

    Attributes:
        crop_segments: Segments per crop, even; 96 are 1.94 s.
    """

    crop_segments: int = 96

    def __post_init__(self) -> None:
        if self.crop_segments < 16 or self.crop_segments % 2:
            raise ConfigError("data.crop_segments must be an even number of at least 16")
        super().__post_init__()


@dataclass(frozen=True)
class AugmentConfig:
    """Variations of crops, see `training.augment`; none by default.

    Attributes:
        share: Share of crops whose speed is changed, and share of those that are filtered.
        speed: Crops play up to so much faster or slower, and higher or lower: 0.15 is 15 %.
        filter_db: Standard deviation of the gain of a filter (dB).
        narrow_share: Share of crops that are cut to a narrower bandwidth.
    """

    share: float = 0.5
    speed: float = 0.0
    filter_db: float = 0.0
    narrow_share: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 <= self.narrow_share <= 1):
            raise ConfigError("augment: share and narrow_share must be between 0 and 1")
        if not (0 <= self.speed <= 1 and self.filter_db >= 0):
            raise ConfigError("augment: speed must be between 0 and 1, filter_db not negative")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms.

    Attributes:
        spectral: Weight of the multi-resolution mel-STFT distance; at 0 it is not computed.
        waveform: Weight of the relative waveform error (log10).
        waveform_floor: An error of less than this share of the signal's energy is not rewarded further.
        linear: Weight of the linear mel term within the spectral loss.
        log_floor: Floor of the logarithmic mel term (magnitude).
        loudness: Items are brought to this RMS before the spectral loss, so that the floor is relative to them;
            0 leaves them.
        rate: Weight of one kbit/s at quality 5.
        rate_slope: Below quality 5 the rate's weight changes by exp(-rate_slope) for one unit of level.
        rate_slope_above: The same above quality 5.
        disturbance: Weight of the disturbance of wideband PESQ.
        neurogram: Weight of the dissimilarity of neurograms, as in ViSQOL.
        neurogram_by_score: Share of that weight, in ViSQOL's audio mode, that bands get by what they count in its
            score, which is most above 7 kHz; the rest they get evenly.
        resolutions_per_step: STFT resolutions drawn at random for a step.
    """

    spectral: float = 1.0
    waveform: float = 0.15
    waveform_floor: float = 1e-4
    linear: float = 0.3
    log_floor: float = 1e-3
    loudness: float = 0.0
    rate: float = 0.04
    rate_slope: float = 1.2
    rate_slope_above: float = 1.2
    disturbance: float = 0.0
    neurogram: float = 0.0
    neurogram_by_score: float = 0.0
    resolutions_per_step: int = 2

    def __post_init__(self) -> None:
        if self.resolutions_per_step < 1:
            raise ConfigError("loss.resolutions_per_step must be at least 1")
        if min(self.log_floor, self.waveform_floor) <= 0:
            raise ConfigError("loss: log_floor and waveform_floor must be greater than 0")
        if not 0 <= self.neurogram_by_score <= 1:
            raise ConfigError("loss.neurogram_by_score must be between 0 and 1")


@dataclass(frozen=True)
class AdversarialConfig:
    """Discriminators that train against the codec.

    Attributes:
        weight: Weight of deceiving them; at 0 there are none.
        feature_weight: Weight of the distance between the features that original and decoded sound evoke in them.
        fft_samples: FFT lengths, one discriminator for each.
        width: Channels of their hidden layers.
        learning_rate: Their learning rate.
        max_gradient_norm: Their gradients are clipped to this norm.
        start_step: They learn from the beginning, and are listened to from this step on.
    """

    weight: float = 0.0
    feature_weight: float = 0.5
    fft_samples: tuple[int, ...] = (2048, 1024, 512)
    width: int = 32
    learning_rate: float = 3e-4
    max_gradient_norm: float = 1.0
    start_step: int = 0

    def __post_init__(self) -> None:
        if min(self.weight, self.feature_weight, self.start_step) < 0:
            raise ConfigError("adversarial: weight, feature_weight and start_step must not be negative")
        if self.width < 1 or min(self.fft_samples, default=0) < 64:
            raise ConfigError("adversarial: width must be at least 1, fft_samples at least one length of at least 64")
        if self.learning_rate <= 0 or self.max_gradient_norm <= 0:
            raise ConfigError("adversarial: learning_rate and max_gradient_norm must be greater than 0")


@dataclass(frozen=True)
class OptimizerConfig(AdamWConfig):
    """AdamW, and the lengths of the run and of its last stages.

    Attributes:
        warmup_steps: Steps of linear warm-up.
        scale_steps: Steps of the last stage but one, which fits the scale network alone; 0 leaves out the last, too.
        frequency_batches: Batches of the last stage, which counts the statistics of symbols.
    """

    warmup_steps: int = 200
    scale_steps: int = 1000
    frequency_batches: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("warmup_steps", "scale_steps", "frequency_batches"):
            if getattr(self, name) < 0:
                raise ConfigError(f"optimizer.{name} must not be negative")


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """A whole run of the flagship: the contents of a file in `configs/`.

    Attributes:
        family: What is trained.
        hypernetwork: Its shape.
        data: Where audio comes from.
        augment: Variations of crops, off by default.
        loss: Weights of the loss terms.
        adversarial: Discriminators, off by default.
        optimizer: AdamW and the length of the run.
    """

    family: Literal["hsc"] = "hsc"
    hypernetwork: HypernetworkConfig = field(default_factory=HypernetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(minutes=90.0))


_FAMILIES: dict[str, type[TrainingConfig] | type[HyperSoundTrainingConfig]] = {
    "hsc": TrainingConfig,
    "hypersound": HyperSoundTrainingConfig,
}


def load_training_config(path: Path) -> TrainingConfig | HyperSoundTrainingConfig:
    """Read and check a training configuration; its key `family` says of which kind, `hsc` by default.

    Raises:
        ConfigError: The file is missing or not TOML, or a key or value is wrong.
    """
    mapping: dict[str, Any] = dict(load_toml(path))
    family = mapping.get("family", "hsc")
    if not isinstance(family, str) or family not in _FAMILIES:
        raise ConfigError(f"{path.name}: family must be one of {', '.join(_FAMILIES)}, not {family!r}")
    config_type = _FAMILIES[family]
    for name, table_type in typing.get_type_hints(config_type).items():
        if name in mapping and dataclasses.is_dataclass(table_type):
            mapping[name] = from_mapping(typing.cast(type, table_type), mapping[name], f"{path.name}: [{name}]")
    return from_mapping(config_type, mapping, path.name)
