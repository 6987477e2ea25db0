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
OUTPUT_GAIN = 4.0
"""Log scales span a range of 12: with this factor behind the last layer, steps of ordinary size cross it in time."""


class ScaleNetwork(nn.Module):
    """Predicts log(scale) of each symbol's logistic distribution."""

    def __init__(self, config: HypernetworkConfig) -> None:
        super().__init__()
        # Files are loaded into networks on the meta device. Drawing normal numbers there, and products, would import
        # sympy or torch's compiler, which take up to as long as torch itself: what follows does without.
        width = config.scale_width
        self.enter = nn.Conv1d(config.latent_channels, width, 5, padding=2, bias=False)
        levels = torch.tensor([[config.level(knot)] for knot in range(QUALITY_KNOTS)], device="cpu")
        slopes = torch.empty(1, width).uniform_(-0.5, 0.5)
        rising = slopes.expand(QUALITY_KNOTS, -1) if slopes.is_meta else levels.to(slopes.device) @ slopes
        self.enter_bias = nn.Parameter(rising)
        self.latent_mix = nn.Conv1d(width, width, 3, padding=1)
        self.unpair = nn.Linear(width, 2 * width)
        self.segment_mix = nn.Conv1d(width, width, 3, padding=1)
        self.leave = nn.Linear(width, config.num_weights, bias=False)
        # Symbols are weights over step size, and steps shrink with quality: that much of the scale is known beforehand.
        expected = (config.step_per_level * levels - 1) / OUTPUT_GAIN
        self.leave_bias = nn.Parameter(torch.empty(QUALITY_KNOTS, config.num_weights).copy_(expected))
        for layer in (self.enter, self.latent_mix, self.unpair, self.segment_mix):
            if not layer.weight.is_meta:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
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
        return (OUTPUT_GAIN * log_scale).clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)
