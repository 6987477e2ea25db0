"""How instance weights and shared weights make a target network (HyperSound, Szatkowski et al. 2023, section 3).

Of each layer, the hypernetwork may give all (standard), nothing (shared), a term (additive) or a factor
(multiplicative):

    standard         W = W_x          b = b_x
    shared           W = W_s          b = b_s
    additive         W = W_s + W_x    b = b_s + b_x
    multiplicative   W = W_s * W_x    b = b_s * b_x    elementwise

W_x, b_x are instance weights, W_s, b_s belong to the model. The multiplicative bias is a factor on the shared bias,
not on the layer's output: a mode is then the same function of every single weight.
"""

import math
from collections.abc import Sequence
from enum import Enum

import torch
from torch import nn

from hscodec.errors import ConfigError
from hscodec.inr.mlp import (
    LayerShape,
    MlpConfig,
    MlpKind,
    initial_std,
    initial_weights,
    layer_shapes,
    spread_over_weights,
)

COMMON_DEVIATION = 0.1
"""How far networks that start in common deviate from one another, relative to how far random networks would."""
FACTOR_STD = 0.1
"""How far factors deviate from 1 at first: segments begin as variations of the shared network."""
HYPERFAN_SHARE = 0.5
"""Part of the variance that the shared terms of an additive layer have where segments start apart."""


class WeightMode(str, Enum):  # StrEnum needs Python 3.11
    """What the instance weights of a layer are to it."""

    STANDARD = "standard"
    SHARED = "shared"
    ADDITIVE = "additive"
    MULTIPLICATIVE = "multiplicative"


class WeightStart(str, Enum):
    """How the target networks of segments are spread before training; each by itself is random in all cases.

    Hyperfan: each segment is given another random network, so what a hidden layer computes differs from segment to
    segment, and cannot be read by a last layer that is still to be learned. In common: the hidden layers of all
    segments are variations of one random network, and the first thing to learn, the last layer, is a linear problem.

    Both give each weight the variance of direct initialisation, over many models. Plain does not: the last layer of the
    hypernetwork starts as any dense layer does.
    """

    COMMON = "common"
    HYPERFAN = "hyperfan"
    PLAIN = "plain"


def weight_mode(name: str) -> WeightMode:
    """Return the mode of that name.

    Raises:
        ConfigError: There is none.
    """
    try:
        return WeightMode(name)
    except ValueError as error:
        known = ", ".join(mode.value for mode in WeightMode)
        raise ConfigError(f"weight mode must be one of {known}, not {name!r}") from error


class InstanceWeights(nn.Module):
    """Joins instance weights and the shared weights that it holds into the weights of target networks.

    Instance weights lie in the order of theta; shared layers have none. A hypernetwork gives them in units: a step of
    an optimiser that moves each by as much then moves no layer much further than another.

    Args:
        shapes: Layers of the target network.
        modes: Mode of each layer.
        config: Target network whose initial weights the shared ones start as; its layers are `shapes`.
        start: How instance weights will start, on which depends what is left to shared terms.

    Raises:
        ConfigError: There is not one known mode for each layer, or the shapes are not those of `config`.
    """

    _units: torch.Tensor
    _origin: torch.Tensor

    def __init__(
        self,
        shapes: Sequence[LayerShape],
        modes: Sequence[str],
        *,
        config: MlpConfig,
        start: WeightStart = WeightStart.COMMON,
    ) -> None:
        super().__init__()
        self.shapes, self.config, self.start = tuple(shapes), config, start
        self.modes = tuple(weight_mode(mode) for mode in modes)
        if self.shapes != layer_shapes(config):
            raise ConfigError(f"the layers of this target network are {layer_shapes(config)}, not {self.shapes}")
        if len(self.modes) != len(self.shapes):
            raise ConfigError(f"a target network of {len(self.shapes)} layers needs as many modes, not {len(modes)}")
        # Named after the layer, since a standard layer has nothing here.
        self.shared = nn.ParameterDict()
        for index, (mode, weights) in enumerate(zip(self.modes, self._random_layers(), strict=True)):
            if mode != WeightMode.STANDARD:
                scale = self._common_scales(index) if mode == WeightMode.ADDITIVE else 1
                self.shared[str(index)] = nn.Parameter(scale * weights)
        # On a real device even where networks are built without memory, since no file brings what is not saved.
        with torch.device("cpu"):
            self.register_buffer("_units", self._spread([self._unit(index) for index in self._kept]), persistent=False)
            origin = [float(self.modes[index] == WeightMode.MULTIPLICATIVE) for index in self._kept]
            self.register_buffer("_origin", self._spread([(value, value) for value in origin]), persistent=False)

    @property
    def num_instance_weights(self) -> int:
        """K_i, the instance weights of one segment."""
        return sum(self._instance_sizes())

    def forward(self, instance: torch.Tensor) -> torch.Tensor:
        """Return the weights of the target networks.

        Shape:
            instance: [S, K_i]
            returns: [S, K]
        """
        layers = []
        for index, part in enumerate(instance.split(self._instance_sizes(), -1)):
            mode = self.modes[index]
            if mode == WeightMode.STANDARD:
                layers.append(part)
            elif mode == WeightMode.SHARED:
                layers.append(self.shared[str(index)].expand(len(instance), -1))
            elif mode == WeightMode.ADDITIVE:
                layers.append(self.shared[str(index)] + part)
            else:
                layers.append(self.shared[str(index)] * part)
        return torch.cat(layers, -1)

    def from_units(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return instance weights of numbers of order 1: [S, K_i] to [S, K_i]; zeros stand for no change.

        A unit is what random weights deviate by, of a factor the factor itself, and in the first layer of a SIREN one
        radian of phase.
        """
        return self._origin + self._units * numbers

    def initial_units(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how the numbers that `from_units` takes should start.

        Shape:
            returns: [K_i] each: what all segments have in common, drawn anew, and the standard deviation around it
        """
        common, deviations = [torch.empty(0)], [torch.empty(0)]
        for index, weights in enumerate(self._random_layers()):
            mode, shape = self.modes[index], self.shapes[index]
            if mode == WeightMode.SHARED:
                continue
            unit = spread_over_weights((shape,), [self._unit(index)])
            scale = self._common_scales(index) if mode == WeightMode.STANDARD else torch.zeros(())
            common.append(scale * weights / unit)
            deviations.append(spread_over_weights((shape,), [self._deviation(index)]) / unit)
        return torch.cat(common), torch.cat(deviations)

    @property
    def _kept(self) -> list[int]:
        """Layers that have instance weights."""
        return [index for index, mode in enumerate(self.modes) if mode != WeightMode.SHARED]

    def _random_layers(self) -> tuple[torch.Tensor, ...]:
        """Return the weights of each layer of a network that starts by itself."""
        return initial_weights(self.config, 1)[0].split([shape.num_weights for shape in self.shapes])

    def _unit(self, index: int) -> tuple[float, float]:
        """Return the units of matrix and bias of a layer."""
        stds = initial_std(self.config)[index]
        is_factor = self.modes[index] == WeightMode.MULTIPLICATIVE
        if index == 0 and self.config.kind == MlpKind.SIREN:
            # What omega_0 makes of an error is a phase, of hundreds of radians where it is a small part of the weight.
            omega_0 = self.config.omega_0
            return (1 / omega_0 / stds[0], 1 / omega_0 / stds[1]) if is_factor else (1 / omega_0, 1 / omega_0)
        return (1.0, 1.0) if is_factor else stds

    def _deviation(self, index: int) -> tuple[float, float]:
        """Return how far instance weights of a layer start from what they have in common: standard deviations."""
        units = self._unit(index)
        if self.modes[index] == WeightMode.MULTIPLICATIVE:
            return FACTOR_STD * min(1.0, units[0]), FACTOR_STD * min(1.0, units[1])
        stds = initial_std(self.config)[index]
        if self.start == WeightStart.COMMON and index < len(self.shapes) - 1:
            return COMMON_DEVIATION * min(stds[0], units[0]), COMMON_DEVIATION * min(stds[1], units[1])
        scale = math.sqrt(1 - HYPERFAN_SHARE) if self.modes[index] == WeightMode.ADDITIVE else 1.0
        return scale * stds[0], scale * stds[1]

    def _common_scales(self, index: int) -> torch.Tensor:
        """Return what random weights of a layer are multiplied by: [K of the layer].

        With the deviations they then have the variance of direct initialisation.
        """
        stds = initial_std(self.config)[index]
        pairs = zip(self._deviation(index), stds, strict=True)
        scales = [math.sqrt(max(1 - (deviation / std) ** 2, 0)) for deviation, std in pairs]
        return spread_over_weights((self.shapes[index],), [(scales[0], scales[1])])

    def _instance_sizes(self) -> list[int]:
        """Return the instance weights of each layer."""
        return [
            0 if mode == WeightMode.SHARED else shape.num_weights
            for mode, shape in zip(self.modes, self.shapes, strict=True)
        ]

    def _spread(self, values: list[tuple[float, float]]) -> torch.Tensor:
        """Lay out one value for matrix and one for bias of each layer as instance weights are."""
        return spread_over_weights(tuple(self.shapes[index] for index in self._kept), values)
