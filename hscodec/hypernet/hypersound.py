"""The hypernetwork of HyperSound (Szatkowski et al. 2023, arXiv 2302.04959): a segment of sound in, target network out.

    samples [B, T] --causal convolutions--> latent [B, D, T / 320] --dense layers--> bottleneck [B, N]
        --affine--> instance weights [B, K_i] --weight modes--> theta [B, K] --target network--> estimate [B, T]

The affine map is a dense layer and a fixed unit for each weight.

The convolutions are those of SoundStream's encoder (Zeghidour et al. 2021, section III-A) and run over any length; the
dense layers are for segments of one length.
"""

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from hscodec.errors import ConfigError
from hscodec.inr.mlp import Mlp, MlpConfig, layer_shapes
from hscodec.inr.weight_modes import InstanceWeights, WeightMode, WeightStart, weight_mode
from hscodec.rates import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ

_DILATIONS = (1, 3, 9)
_MAX_STAGES = 8
_MAX_STRIDE = 32
_MAX_DENSE = 16
_MAX_SIZE = 2**12
_MAX_SEGMENT_SAMPLES = 2**20
_MAX_MATRIX = 2**28
_SPEECH_RMS = 0.1
"""The level for which the first convolution starts; of peaks at full scale, speech has about this."""
_NOISE_ITEMS = 2


@dataclass(frozen=True)
class HyperSoundConfig:
    """Sizes of HyperSound; the defaults are the paper's.

    Attributes:
        target: The target network.
        modes: Where the weights of its layers come from: one word for all layers, or one for each.
        sample_rate: Rate of the sounds that the encoder hears (Hz).
        segment_samples: Samples of a segment at that rate.
        channels: Channels of the first convolution; each stage doubles them.
        strides: Samples that each stage makes one of.
        latent_channels: D, channels of the last convolution.
        dense: Widths of the dense layers.
    """

    target: MlpConfig
    modes: tuple[str, ...]
    sample_rate: int = 22_050
    segment_samples: int = 32_768
    channels: int = 16
    strides: tuple[int, ...] = (2, 4, 5, 8)
    latent_channels: int = 32
    dense: tuple[int, ...] = (400, 768, 768, 768, 768, 400)

    def __post_init__(self) -> None:
        # A model file is a stranger's: its network is not built before its sizes are known to be reasonable.
        _check_range("sample_rate", self.sample_rate, MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ)
        _check_range("segment_samples", self.segment_samples, 1, _MAX_SEGMENT_SAMPLES)
        _check_range("number of strides", len(self.strides), 1, _MAX_STAGES)
        _check_range("number of dense layers", len(self.dense), 1, _MAX_DENSE)
        for name, sizes, lowest, highest in (
            ("strides", self.strides, 1, _MAX_STRIDE),
            ("dense", self.dense, 2, _MAX_SIZE),  # they are normalised, and one number alone would become 0
            ("channels", (self.channels, self.channels << len(self.strides)), 1, _MAX_SIZE),
            ("latent_channels", (self.latent_channels,), 1, _MAX_SIZE),
        ):
            for size in sizes:
                _check_range(name, size, lowest, highest)
        shapes = layer_shapes(self.target)
        if len(self.modes) not in (1, len(shapes)):
            raise ConfigError(f"hypersound.modes must be one for all or one for each of {len(shapes)} layers")
        modes = [weight_mode(mode) for mode in self.layer_modes]
        instance = sum(s.num_weights for s, mode in zip(shapes, modes, strict=True) if mode != WeightMode.SHARED)
        if not instance:
            raise ConfigError("hypersound.modes must leave a layer that is not shared: nothing would be stored")
        for rows, columns in ((self.dense[-1], instance), (self.latent_channels * self.latent_frames, self.dense[0])):
            if rows * columns > _MAX_MATRIX:
                raise ConfigError(f"hypersound: a dense layer of {rows} times {columns} weights is too large")

    @property
    def layer_modes(self) -> tuple[str, ...]:
        """The mode of each layer of the target network."""
        return self.modes * len(layer_shapes(self.target)) if len(self.modes) == 1 else self.modes

    @property
    def latent_frames(self) -> int:
        """Frames that the convolutions make of a segment."""
        return -(-self.segment_samples // math.prod(self.strides))

    @property
    def hop_seconds(self) -> Fraction:
        """Distance between two segments, which is their length (s)."""
        return Fraction(self.segment_samples, self.sample_rate)

    def to_mapping(self) -> dict[str, Any]:
        """Return the configuration as plain values."""
        return asdict(self)


def _check_range(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ConfigError(f"hypersound.{name} must be from {lowest} to {highest}, not {value}")


class CausalConv(nn.Module):
    """Convolution that sees no later sample than its own; with a stride, no later than the block that it sums up.

    Output j reads inputs up to the end of block [j * stride, (j + 1) * stride). Zeros complete the last block, so
    blocks that are complete do not depend on where the sound ends.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Taps, at least `stride`.
        stride: Samples of a block.
        dilation: Distance between taps.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, dilation=dilation)
        self.past = (kernel - 1) * dilation + 1 - stride
        _keep_variance(self.conv)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map [B, C, T] to [B, C', T / stride rounded up]."""
        return self.conv(functional.pad(inputs, (self.past, -inputs.shape[-1] % self.conv.stride[0])))


class ResidualUnit(nn.Module):
    """A dilated convolution over 7 taps and one over channels, added to the input."""

    def __init__(self, channels: int, dilation: int, *, share: float) -> None:
        super().__init__()
        self.mix = CausalConv(channels, channels, kernel=7, dilation=dilation)
        self.project = CausalConv(channels, channels, kernel=1)
        with torch.no_grad():
            # So that all units of the encoder together add as much variance as there was.
            self.project.conv.weight.mul_(math.sqrt(share))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map [B, C, T] to [B, C, T]."""
        return inputs + self.project(functional.elu(self.mix(functional.elu(inputs))))


class HyperSound(nn.Module):
    """Maps segments of sound to the weights of their target networks, and holds what all target networks share.

    Args:
        config: Sizes.
        start: How the weights that it generates start.
    """

    def __init__(self, config: HyperSoundConfig, *, start: WeightStart = WeightStart.COMMON) -> None:
        super().__init__()
        self.config = config
        self.encoder = conv_encoder(config)
        self.dense = dense_layers((config.latent_channels * config.latent_frames, *config.dense))
        shapes = layer_shapes(config.target)
        self.weights = InstanceWeights(shapes, config.layer_modes, config=config.target, start=start)
        self.last = nn.Linear(config.dense[-1], self.weights.num_instance_weights)
        self.mlp = Mlp(config.target)
        self._initialize_last()

    def bottleneck(self, samples: torch.Tensor) -> torch.Tensor:
        """Return what the instance weights are a linear function of.

        Its length is about 1. An optimiser that moves every weight of the last layer by its learning rate would move
        what that layer generates hundreds of times as far, if each of N inputs were of order 1.

        Args:
            samples: Segments of the length that the configuration says.

        Raises:
            ValueError: They are of another length.

        Shape:
            samples: [B, T]
            returns: [B, N]
        """
        if samples.shape[-1] != self.config.segment_samples:
            raise ValueError(f"a segment has {self.config.segment_samples} samples, not {samples.shape[-1]}")
        hidden = self.dense(self.encoder(samples.unsqueeze(1)).flatten(1))
        return hidden / math.sqrt(self.config.dense[-1])

    def instance_weights(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the weights that are stored: [B, T] to [B, K_i]."""
        return self.generate(self.bottleneck(samples))

    def generate(self, bottleneck: torch.Tensor) -> torch.Tensor:
        """Return the instance weights that a bottleneck stands for: [B, N] to [B, K_i]."""
        # What comes out are weights themselves: half precision would be a quantiser of its own.
        with torch.autocast(bottleneck.device.type, enabled=False):
            return self.weights.from_units(self.last(bottleneck.to(self.last.weight.dtype)))

    def theta(self, instance: torch.Tensor) -> torch.Tensor:
        """Join stored and shared weights to those of target networks: [B, K_i] to [B, K]."""
        return self.weights(instance)

    def forward(self, samples: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
        """Return what the target networks of segments render.

        Args:
            samples: Segments.
            coordinates: Times in [-1, 1] over the segment.

        Shape:
            samples: [B, T]
            coordinates: [T'] or [B, T']
            returns: [B, T']
        """
        return self.mlp(self.theta(self.instance_weights(samples)), coordinates)

    @torch.no_grad()
    def _initialize_last(self) -> None:
        """Let what the last layer generates start as directly initialised weights do.

        Hyperfan initialisation (Chang et al. 2020, "Principled weight initialization for hypernetworks"): a weight that
        is to have variance v, as a sum of N inputs h, needs rows of variance v / sum E[h^2]. The second moment is
        measured, on white noise. What all segments have in common is the bias.
        """
        if self.last.weight.is_meta or self.weights.start == WeightStart.PLAIN:  # or: weights come from a file
            return
        common, deviation = self.weights.initial_units()
        noise = torch.randn(_NOISE_ITEMS, self.config.segment_samples, generator=torch.Generator().manual_seed(0))
        power = self.bottleneck(_SPEECH_RMS * noise).square().sum(-1).mean()
        self.last.weight.normal_().mul_(deviation[:, None] / power.sqrt())
        self.last.bias.copy_(common)


def conv_encoder(config: HyperSoundConfig) -> nn.Sequential:
    """Return the convolutions: [B, 1, T] of any length to [B, D, T / product of strides, rounded up]."""
    share = 1 / (len(_DILATIONS) * len(config.strides))
    enter = CausalConv(1, config.channels, kernel=7)
    with torch.no_grad():
        enter.conv.weight.div_(_SPEECH_RMS)  # what follows is made for numbers of order 1, its biases too
    layers: list[nn.Module] = [enter]
    for stage, stride in enumerate(config.strides):
        channels = config.channels << stage
        layers += [ResidualUnit(channels, dilation, share=share) for dilation in _DILATIONS]
        layers += [nn.ELU(), CausalConv(channels, 2 * channels, kernel=2 * stride, stride=stride)]
    layers += [nn.ELU(), CausalConv(config.channels << len(config.strides), config.latent_channels, kernel=3)]
    return nn.Sequential(*layers)


def dense_layers(widths: tuple[int, ...]) -> nn.Sequential:
    """Return dense layers from each width to the next, each normalised over its neurons and bent by an ELU.

    An instance weight is a sum over the last of them, and a sound is like a product of as many weights as the target
    network has layers. If the sums followed the level of a segment, one at a quarter of it would start at a thousandth
    of the amplitude, and a loud one far above full scale. Behind the norm, level is a direction: it shows in how much
    the biases in front of it count.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        dense = nn.Linear(inputs, outputs)
        _keep_variance(dense)
        layers += [dense, nn.LayerNorm(outputs), nn.ELU()]
    return nn.Sequential(*layers)


def _keep_variance(layer: nn.Conv1d | nn.Linear) -> None:
    """Let weights neither raise nor lower the variance; biases stay as they are, uniform and small."""
    if not layer.weight.is_meta:  # there it would import torch's compiler, and weights come from a file
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
