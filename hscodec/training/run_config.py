"""What the runs of all families have in common: where crops come from, AdamW, and how long a run takes."""

from dataclasses import dataclass, field

from hscodec.errors import ConfigError


@dataclass(frozen=True)
class CropConfig:
    """Where training audio comes from and how it is drawn.

    Attributes:
        corpus: Folder that `hscodec corpus prepare` wrote.
        batch_size: Crops per step.
        speech: Share of speech crops.
        music: Share of music crops.
        effects: Share of crops of other sounds.
        source_weights: Weight of single sources within their kind, 1 where not named.
        max_attenuation_db: Crops are scaled to a random peak down to this far below full scale.
    """

    corpus: str = "data/corpus"
    batch_size: int = 8
    speech: float = 0.6
    music: float = 0.28
    effects: float = 0.12
    source_weights: dict[str, float] = field(default_factory=dict)
    max_attenuation_db: float = 20.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError("data.batch_size must be at least 1")
        if min(self.speech, self.music, self.effects) < 0 or self.speech + self.music + self.effects <= 0:
            raise ConfigError("data: the shares of speech, music and effects must not be negative, nor all zero")
        if min(self.source_weights.values(), default=1.0) < 0 or self.max_attenuation_db < 0:
            raise ConfigError("data: source_weights and max_attenuation_db must not be negative")

    @property
    def kind_weights(self) -> dict[str, float]:
        """Share of each kind of sound."""
        return {"speech": self.speech, "music": self.music, "effects": self.effects}


@dataclass(frozen=True)
class AdamWConfig:
    """AdamW, gradient clipping and the length of the run.

    Attributes:
        learning_rate: Peak learning rate.
        weight_decay: Decoupled weight decay.
        max_gradient_norm: Gradients are clipped to this norm.
        average_decay: Decay of the weight average; at 0 the average is the weights themselves.
        steps: Length of the run in steps; 0 if `minutes` says it.
        minutes: Length of the run in minutes of training time over all resumed parts; 0 if `steps` says it.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    average_decay: float = 0.999
    steps: int = 0
    minutes: float = 0.0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.minutes > 0):
            raise ConfigError("optimizer: give either steps or minutes")
        if self.learning_rate <= 0 or self.max_gradient_norm <= 0:
            raise ConfigError("optimizer: learning_rate and max_gradient_norm must be greater than 0")
        for name in ("steps", "minutes", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"optimizer.{name} must not be negative")
        if not 0 <= self.average_decay < 1:
            raise ConfigError("optimizer.average_decay must be at least 0 and less than 1")


@dataclass(frozen=True)
class RunConfig:
    """What the training loop itself has to know.

    Attributes:
        name: What the model will be called.
        optimizer: AdamW and the length of the run.
        seed: Seed of the first weights and of the draw of crops.
        checkpoint_minutes: Time between two checkpoints.
        log_steps: Steps between two lines of the log.
    """

    name: str
    optimizer: AdamWConfig = field(default_factory=lambda: AdamWConfig(minutes=90.0))
    seed: int = 0
    checkpoint_minutes: float = 5.0
    log_steps: int = 50

    def __post_init__(self) -> None:
        if self.log_steps < 1 or self.checkpoint_minutes < 0:
            raise ConfigError("log_steps must be at least 1, and checkpoint_minutes not negative")
