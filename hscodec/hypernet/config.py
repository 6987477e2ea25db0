"""The shape of a hypernetwork. It travels in the model file's metadata, so that one hash covers weights and shape."""

import math
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from hscodec.errors import ConfigError

if TYPE_CHECKING:
    import torch

QualityT = TypeVar("QualityT", float, "torch.Tensor")

QUALITY_KNOTS = 11
"""Whole qualities 0, 1, ..., 10, between which quality-dependent tables are interpolated."""

PIVOT_QUALITY = 5.0
"""Where the price of rate is stated in training, and above which levels may rise faster."""

_MAX_SIZE = 2**14
_MAX_BLOCKS = 64


@dataclass(frozen=True)
class HypernetworkConfig:
    """Sizes and constants of the flagship hypernetwork `hsc`.

    Attributes:
        num_weights: K of the networks' input and output, 960 for 24 kHz of bandwidth at 25 Hz spacing.
        latent_channels: Z, channels of the precision latent, which runs at half the segment rate.
        width: Width of the latent's encoder and decoder.
        encoder_blocks: ConvNeXt blocks of the encoder, at the segment rate and again at the latent rate.
        decoder_blocks: ConvNeXt blocks of the decoder, at the latent rate and again at the segment rate.
        block_kernel: Taps of the encoder's and decoder's depthwise convolutions, odd.
        scale_width: Width of the scale network.
        refine_width: Width of the refinement network.
        refine_blocks: ConvNeXt blocks of the refinement network.
        refine_kernel: Taps of its depthwise convolutions, odd.
        level_per_quality: Step of the conditioning level for one unit of quality.
        level_ratio_above: Above quality 5 levels rise so many times as fast.
        neutral_quality: Quality of level 0, where the initial step size holds.
        step_per_level: log(step size) falls by this much for one unit of level.
        initial_step: Step size before training, in the networks' units.
    """

    num_weights: int = 960
    latent_channels: int = 16
    width: int = 192
    encoder_blocks: int = 2
    decoder_blocks: int = 2
    block_kernel: int = 5
    scale_width: int = 160
    refine_width: int = 320
    refine_blocks: int = 4
    refine_kernel: int = 7
    level_per_quality: float = 0.25
    level_ratio_above: float = 1.0
    neutral_quality: float = 7.2
    step_per_level: float = 1.5
    initial_step: float = 0.03

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise ConfigError(f"hypernetwork.{field.name} must be greater than 0, not {value}")
            # A model file is a stranger's: its network is not built before its sizes are known to be reasonable.
            limit = _MAX_BLOCKS if field.name.endswith("_blocks") else _MAX_SIZE
            if isinstance(value, int) and value > limit:
                raise ConfigError(f"hypernetwork.{field.name} must be at most {limit}, not {value}")
        for name in ("block_kernel", "refine_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"hypernetwork.{name} must be odd, not {getattr(self, name)}")

    @property
    def refine_context(self) -> int:
        """Segments on either side that refinement looks at."""
        return self.refine_blocks * (self.refine_kernel // 2)

    @property
    def precision_context(self) -> int:
        """Segments on either side whose latents have a say in a segment's step sizes, within its chunk."""
        return 3 * self.decoder_blocks * (self.block_kernel // 2)

    @property
    def hop_seconds(self) -> Fraction:
        """Distance between two segments (s)."""
        return Fraction(1, 50)

    def level(self, quality: QualityT) -> QualityT:
        """Return the conditioning level of a quality in [0, 10], or of a tensor of them."""
        above = (quality - PIVOT_QUALITY) * (quality > PIVOT_QUALITY)
        return (quality - self.neutral_quality + (self.level_ratio_above - 1) * above) * self.level_per_quality

    def quality(self, level: float) -> float:
        """Return the quality of a conditioning level: undo `level`."""
        above = level / self.level_per_quality + self.neutral_quality - PIVOT_QUALITY
        return PIVOT_QUALITY + (above / self.level_ratio_above if above > 0 else above)

    def to_mapping(self) -> dict[str, Any]:
        """Return the configuration as plain values."""
        return asdict(self)
