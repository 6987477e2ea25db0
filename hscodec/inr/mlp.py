r"""Target networks with hidden layers, FMLP and SIREN: dense networks that map time to amplitude.

The two of HyperSound (Szatkowski et al. 2023, arXiv 2302.04959). With coordinate t in [-1, 1] over the segment

    FMLP    h_0 = [sin(2^k pi t), cos(2^k pi t)] for k = 0 .. L - 1,  h_i = relu(W_i h_{i-1} + b_i)
    SIREN   h_0 = t,  h_1 = sin(omega_0 (W_1 h_0 + b_1)),  h_i = sin(omega (W_i h_{i-1} + b_i))

and in both x(t) = W h + b at the end. The FMLP's encoding is that of NeRF (Mildenhall et al. 2020, section 5.1), the
SIREN is that of Sitzmann et al. 2020. All weights of one network lie in one vector, so many networks are one matrix.
"""

import math
from dataclasses import dataclass, fields
from enum import Enum

import torch
from torch import nn

from hscodec.errors import ConfigError

_MAX_HIDDEN_LAYERS = 32
_MAX_WIDTH = 2**10
_MAX_FREQUENCIES = 24
_MAX_OMEGA = 1e6
_MAX_WEIGHTS = 2**20


class MlpKind(str, Enum):  # StrEnum needs Python 3.11
    """What the hidden layers are made of: ReLU behind an encoding of time, or sines."""

    FMLP = "fmlp"
    SIREN = "siren"


@dataclass(frozen=True)
class MlpConfig:
    """Shape and frequencies of a target network; the defaults are HyperSound's.

    Attributes:
        kind: `fmlp` or `siren`.
        hidden_layers: Dense layers with a nonlinearity; one without follows.
        width: Neurons of a hidden layer.
        num_frequencies: L of the FMLP's encoding; the SIREN has none.
        omega_0: Factor in the first sine of a SIREN (radians).
        omega: Factor in its other sines (radians).
        learn_frequencies: Whether training moves the encoding's frequencies (FMLP), or omega_0 and omega (SIREN).
    """

    kind: str = "fmlp"
    hidden_layers: int = 5
    width: int = 90
    num_frequencies: int = 10
    omega_0: float = 2000.0
    omega: float = 30.0
    learn_frequencies: bool = False

    def __post_init__(self) -> None:
        kinds = [kind.value for kind in MlpKind]
        if self.kind not in kinds:
            raise ConfigError(f"target.kind must be one of {', '.join(kinds)}, not {self.kind!r}")
        object.__setattr__(self, "kind", MlpKind(self.kind).value)  # a plain string travels through JSON
        # A model file is a stranger's: its network is not built before its sizes are known to be reasonable.
        limits = {
            "hidden_layers": _MAX_HIDDEN_LAYERS,
            "width": _MAX_WIDTH,
            "num_frequencies": _MAX_FREQUENCIES,
            "omega_0": _MAX_OMEGA,
            "omega": _MAX_OMEGA,
        }
        for field in fields(self):
            value, limit = getattr(self, field.name), limits.get(field.name)
            if limit is not None and not 0 < value <= limit:
                raise ConfigError(f"target.{field.name} must be greater than 0 and at most {limit:g}, not {value}")
        if num_mlp_weights(self) > _MAX_WEIGHTS:
            raise ConfigError(
                f"a target network of {num_mlp_weights(self)} weights is too large: {_MAX_WEIGHTS} may be"
            )


@dataclass(frozen=True)
class LayerShape:
    """A dense layer with bias.

    Attributes:
        fan_in: Neurons that it reads.
        fan_out: Neurons that it feeds.
    """

    fan_in: int
    fan_out: int

    @property
    def num_weights(self) -> int:
        """Numbers in matrix and bias."""
        return (self.fan_in + 1) * self.fan_out


def layer_shapes(config: MlpConfig) -> tuple[LayerShape, ...]:
    """Return the shapes of all layers, in the order in which theta holds them."""
    num_inputs = 2 * config.num_frequencies if config.kind == MlpKind.FMLP else 1
    sizes = [num_inputs, *[config.width] * config.hidden_layers, 1]
    return tuple(LayerShape(fan_in, fan_out) for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True))


def num_mlp_weights(config: MlpConfig) -> int:
    """Return K, the weights of one target network."""
    return sum(shape.num_weights for shape in layer_shapes(config))


def initial_std(config: MlpConfig) -> list[tuple[float, float]]:
    """Return the standard deviations (of the matrix, of the bias) of each layer that training would start from.

    SIREN: Sitzmann et al. 2020, section 3.2, W_1 ~ U(-1/fan_in, 1/fan_in) and the others
    ~ U(-sqrt(6/fan_in)/omega, sqrt(6/fan_in)/omega); omega_0 stands outside of W_1, which is not divided by it.
    FMLP: He et al. 2015 for layers before a ReLU, variance 2/fan_in, and 1/fan_in for the last, which has none.
    Biases of both: U(-1/sqrt(fan_in), 1/sqrt(fan_in)). The standard deviation of U(-a, a) is a / sqrt(3).
    """
    shapes = layer_shapes(config)
    found = []
    for index, shape in enumerate(shapes):
        if config.kind == MlpKind.SIREN:
            bound = math.sqrt(6 / shape.fan_in) / config.omega if index else 1 / shape.fan_in
            weight_std = bound / math.sqrt(3)
        else:
            weight_std = math.sqrt((1 if index == len(shapes) - 1 else 2) / shape.fan_in)
        found.append((weight_std, 1 / math.sqrt(3 * shape.fan_in)))
    return found


def spread_over_weights(shapes: tuple[LayerShape, ...], values: list[tuple[float, float]]) -> torch.Tensor:
    """Lay out one value for the matrix and one for the bias of each layer as theta does: [K]."""
    parts = [torch.empty(0)]
    for shape, (of_matrix, of_bias) in zip(shapes, values, strict=True):
        parts.append(torch.full((shape.fan_in * shape.fan_out,), of_matrix))
        parts.append(torch.full((shape.fan_out,), of_bias))
    return torch.cat(parts)


def initial_weights(config: MlpConfig, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Return the weights of `count` random networks as training them directly would start from: theta [count, K]."""
    device = generator.device if generator is not None else None
    bounds = math.sqrt(3) * spread_over_weights(layer_shapes(config), initial_std(config)).to(device)
    return (2 * torch.rand(count, len(bounds), generator=generator, device=device) - 1) * bounds


class Mlp(nn.Module):
    """Evaluates many target networks at once; their weights come from outside.

    Its only state are the frequencies, which all networks share: logarithms to the base 2, if they are learned.

    Args:
        config: Shape and frequencies.
    """

    _fixed_frequencies: torch.Tensor

    def __init__(self, config: MlpConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = layer_shapes(config)
        if config.kind == MlpKind.FMLP:
            values = [2.0**k for k in range(config.num_frequencies)]
        else:
            values = [config.omega_0, config.omega]
        if config.learn_frequencies:
            self.log2_frequencies = nn.Parameter(torch.tensor(values).log2())
        else:
            # Not from logarithms, so that 2000 is 2000. On a real device even where networks are built without
            # memory, since no file brings what is not saved.
            self.register_buffer("_fixed_frequencies", torch.tensor(values, device="cpu"), persistent=False)

    @property
    def num_weights(self) -> int:
        """K, the weights of one network."""
        return sum(shape.num_weights for shape in self.shapes)

    @property
    def frequencies(self) -> torch.Tensor:
        """What time is multiplied by: [L] in units of pi (FMLP), or omega_0 and omega in radians (SIREN)."""
        return self.log2_frequencies.exp2() if self.config.learn_frequencies else self._fixed_frequencies

    def forward(self, theta: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
        """Return the amplitudes; there is one code path for one network and for a thousand.

        Memory grows with S * T * width: callers who want many amplitudes cut them into blocks.

        Args:
            theta: Weights: layer by layer the matrix [fan_out, fan_in], row by row, then the bias [fan_out].
            coordinates: Times in [-1, 1], the same for all networks or of each network.

        Shape:
            theta: [S, K]
            coordinates: [T] or [S, T]
            returns: [S, T], of theta's type
        """
        # Half precision would put its error into the sound itself.
        with torch.autocast(theta.device.type, enabled=False):
            frequencies = self.frequencies
            hidden = self._inputs(coordinates, frequencies).to(theta.dtype).expand(len(theta), -1, -1)
            weights = theta.split([shape.num_weights for shape in self.shapes], -1)
            for index, (shape, layer) in enumerate(zip(self.shapes, weights, strict=True)):
                if index < len(self.shapes) - 1 and self.config.kind == MlpKind.SIREN:
                    layer = layer * frequencies[min(index, 1)]  # weights are fewer than what they are applied to
                hidden = _dense(layer, shape, hidden)
                if index < len(self.shapes) - 1:
                    # In place: `baddbmm` does not need its result to go back, and with many times memory is dear.
                    hidden = hidden.relu_() if self.config.kind == MlpKind.FMLP else hidden.sin()
            return hidden.squeeze(1)

    def _inputs(self, coordinates: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
        """Return what the first layer reads: [T] or [S, T] to [F, T] or [S, F, T]."""
        times = coordinates.unsqueeze(-2)
        if self.config.kind == MlpKind.SIREN:
            return times
        # Powers of two are exact; pi comes last, so that a high frequency costs no more precision than a low one.
        phases = torch.pi * (frequencies[:, None] * times)
        return torch.stack([phases.sin(), phases.cos()], -2).flatten(-3, -2)


def _dense(layer: torch.Tensor, shape: LayerShape, hidden: torch.Tensor) -> torch.Tensor:
    """Return W h + b of every network: [S, fan_in, T] to [S, fan_out, T]."""
    matrix, bias = layer.split([shape.fan_in * shape.fan_out, shape.fan_out], -1)
    return torch.baddbmm(bias.unsqueeze(-1), matrix.unflatten(-1, (shape.fan_out, shape.fan_in)), hidden)
