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
from hscodec.inr.mlp import LayerShape, MlpConfig, initial_std, initial_weights, layer_shapes, spread_over_weights

MULTIPLICATIVE_STD = 0.1
"""How far instance factors are spread around 1 at first: segments begin as variations of the shared network."""
ADDITIVE_SHARE = 0.5
"""Part of the initial variance that shared terms have; instance terms have the rest."""


class WeightMode(str, Enum):  # StrEnum needs Python 3.11
    """What the instance weights of a layer are to it."""

    STANDARD = "standard"
    SHARED = "shared"
    ADDITIVE = "additive"
    MULTIPLICATIVE = "multiplicative"


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

    Instance weights lie in the order of theta; shared layers have none.

    Args:
        shapes: Layers of the target network.
        modes: Mode of each layer.
        config: Target network whose initial weights the shared ones start as; its layers are `shapes`.

    Raises:
        ConfigError: There is not one known mode for each layer, or the shapes are not those of `config`.
    """

    def __init__(self, shapes: Sequence[LayerShape], modes: Sequence[str], *, config: MlpConfig) -> None:
        super().__init__()
        self.shapes, self.config = tuple(shapes), config
        self.modes = tuple(weight_mode(mode) for mode in modes)
        if self.shapes != layer_shapes(config):
            raise ConfigError(f"the layers of this target network are {layer_shapes(config)}, not {self.shapes}")
        if len(self.modes) != len(self.shapes):
            raise ConfigError(f"a target network of {len(self.shapes)} layers needs as many modes, not {len(modes)}")
        start = initial_weights(config, 1)[0].split([shape.num_weights for shape in self.shapes])
        # Named after the layer, since a standard layer has nothing here.
        self.shared = nn.ParameterDict()
        for index, (mode, weights) in enumerate(zip(self.modes, start, strict=True)):
            if mode != WeightMode.STANDARD:
                scale = math.sqrt(ADDITIVE_SHARE) if mode == WeightMode.ADDITIVE else 1
                self.shared[str(index)] = nn.Parameter(scale * weights)

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

    def initial_mean(self) -> torch.Tensor:
        """Return the means [K_i] around which instance weights should start: 1 for factors, otherwise 0."""
        means = [float(mode == WeightMode.MULTIPLICATIVE) for mode in self.modes]
        return self._spread([(mean, mean) for mean in means])

    def initial_std(self) -> torch.Tensor:
        """Return the standard deviations [K_i] with which theta varies as in networks trained directly."""
        values = []
        for mode, (weight_std, bias_std) in zip(self.modes, initial_std(self.config), strict=True):
            if mode == WeightMode.MULTIPLICATIVE:
                values.append((MULTIPLICATIVE_STD, MULTIPLICATIVE_STD))
            else:
                scale = math.sqrt(1 - ADDITIVE_SHARE) if mode == WeightMode.ADDITIVE else 1
                values.append((scale * weight_std, scale * bias_std))
        return self._spread(values)

    def _instance_sizes(self) -> list[int]:
        """Return the instance weights of each layer."""
        return [
            0 if mode == WeightMode.SHARED else shape.num_weights
            for mode, shape in zip(self.modes, self.shapes, strict=True)
        ]

    def _spread(self, values: list[tuple[float, float]]) -> torch.Tensor:
        """Lay out one value for matrix and one for bias of each layer as instance weights are."""
        kept = [index for index, mode in enumerate(self.modes) if mode != WeightMode.SHARED]
        return spread_over_weights(tuple(self.shapes[index] for index in kept), [values[index] for index in kept])
