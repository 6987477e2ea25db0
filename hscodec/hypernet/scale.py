"""The scale network: from the latent to the expected size of every weight symbol.

Encoder and decoder sort the symbols by this prediction, so it must be the same integers on every machine. The network
is therefore small and plain, convolutions and ReLU only; after training its parameters are rounded to integers and
`coding.fixedpoint` evaluates it exactly. This module is its float form, which training needs; `coding.fixedpoint`
describes the arithmetic.
"""

import torch
from torch import nn
from torch.nn import functional

from hscodec.hypernet.blocks import interpolate_knots, split_pairs
from hscodec.hypernet.config import QUALITY_KNOTS, HypernetworkConfig

MIN_LOG_SCALE = -6.0
MAX_LOG_SCALE = 6.0


class ScaleNetwork(nn.Module):
    """Predicts log(scale) of each symbol's logistic distribution."""

    def __init__(self, config: HypernetworkConfig) -> None:
        super().__init__()
        width = config.scale_width
        self.enter = nn.Conv1d(config.latent_channels, width, 5, padding=2, bias=False)
        self.enter_bias = nn.Parameter(torch.empty(QUALITY_KNOTS, width).uniform_(-0.1, 0.1))
        self.latent_mix = nn.Conv1d(width, width, 3, padding=1)
        self.unpair = nn.Linear(width, 2 * width)
        self.segment_mix = nn.Conv1d(width, width, 3, padding=1)
        self.leave = nn.Linear(width, config.num_weights, bias=False)
        self.leave_bias = nn.Parameter(torch.full((QUALITY_KNOTS, config.num_weights), -0.5))
        nn.init.zeros_(self.leave.weight)

    def forward(self, latent: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """Return log(scale) of the symbols.

        Shape:
            latent: [B, S/2, Z], symbols times latent step
            quality: [B]
            returns: [B, S, K], in [MIN_LOG_SCALE, MAX_LOG_SCALE]
        """
        hidden = self.enter(latent.transpose(1, 2)).transpose(1, 2)
        hidden = functional.relu(hidden + interpolate_knots(self.enter_bias, quality))
        hidden = hidden + functional.relu(self.latent_mix(hidden.transpose(1, 2)).transpose(1, 2))
        hidden = functional.relu(split_pairs(self.unpair(hidden)))
        hidden = hidden + functional.relu(self.segment_mix(hidden.transpose(1, 2)).transpose(1, 2))
        log_scale = self.leave(hidden).float() + interpolate_knots(self.leave_bias, quality)
        return log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)
