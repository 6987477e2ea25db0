"""The precision latent: a few numbers every 40 ms that say how finely each weight is stored.

One latent carries what other codecs split into side information for bit allocation, noise shaping and the entropy
model: the decoder turns it into step sizes and into features for refinement, the scale network into the expected size
of each symbol.
"""

import math

import torch
from torch import nn

from hscodec.hypernet.blocks import compress_amplitude, conv_next_stack, interpolate_knots, pair_segments, split_pairs
from hscodec.hypernet.config import QUALITY_KNOTS, HypernetworkConfig
from hscodec.hypernet.likelihood import logistic_bits

KNOT_GAIN = 4.0
"""Factor on the prior's logarithms: a table entry sees a tenth of the items, and has far to go."""


class PrecisionEncoder(nn.Module):
    """Maps the instance weights to the precision latent, in units of its own quantiser (round it to get symbols)."""

    def __init__(self, config: HypernetworkConfig) -> None:
        super().__init__()
        width, kernel, depth = config.width, config.block_kernel, config.encoder_blocks
        self.enter = nn.Linear(2 * config.num_weights, width)
        self.enter_level = nn.Linear(1, width)
        self.segment_blocks = conv_next_stack(width, kernel, depth)
        self.pair = nn.Linear(2 * width, width)
        self.latent_blocks = conv_next_stack(width, kernel, depth)
        self.leave = nn.Linear(width, config.latent_channels)

    def forward(self, weights: torch.Tensor, level: torch.Tensor, latent_step: torch.Tensor) -> torch.Tensor:
        """Return the latent before rounding.

        Shape:
            weights: [B, S, K] in the networks' units, S even
            level: [B, 1, 1]
            latent_step: [B, 1, Z]
            returns: [B, S/2, Z]
        """
        inputs = torch.cat([compress_amplitude(weights), torch.log(weights.abs() + 1e-4)], -1)
        hidden = self.segment_blocks(self.enter(inputs) + self.enter_level(level))
        hidden = self.latent_blocks(self.pair(pair_segments(hidden)))
        return self.leave(hidden).float() / latent_step


class LatentPrior(nn.Module):
    """Quantiser step and entropy model of the latent: what the coder can realise with static tables, and nothing more.

    Symbols are predicted from their predecessor, a_z * latent[t - 1] with one coefficient per channel, and the residual
    costs the bits of a discretised logistic whose scale depends on channel and quality alone. Trained under this prior,
    the encoder learns a latent that static tables code cheaply, without any network between bytes and latent.
    """

    def __init__(self, config: HypernetworkConfig) -> None:
        super().__init__()
        channels = config.latent_channels
        self.log_step = nn.Parameter(torch.zeros(QUALITY_KNOTS, channels))
        self.log_scale = nn.Parameter(torch.zeros(QUALITY_KNOTS, channels))
        self.prediction_logit = nn.Parameter(torch.full((channels,), 1.0))

    def step(self, quality: torch.Tensor) -> torch.Tensor:
        """Return the quantiser step of each channel at `quality` [B]: [B, 1, Z]."""
        return interpolate_knots(self.step_knots(), quality)

    def step_knots(self) -> torch.Tensor:
        """Return the quantiser steps at whole qualities: [11, Z]."""
        return torch.exp(KNOT_GAIN * self.log_step)

    def prediction(self) -> torch.Tensor:
        """Return the prediction coefficients a_z in (0, 1): [Z]."""
        return torch.sigmoid(self.prediction_logit)

    def bits(self, latent: torch.Tensor, previous: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """Return the ideal code length of each latent symbol, given the symbol before it.

        Shape:
            latent: [B, S/2, Z]
            previous: [B, S/2, Z], the symbols one step earlier, zero at the start
            quality: [B]
            returns: [B, S/2, Z]
        """
        residual = latent - self.prediction() * previous
        return logistic_bits(residual, interpolate_knots(KNOT_GAIN * self.log_scale, quality).clamp(-4, 6))


class PrecisionDecoder(nn.Module):
    """Maps the quantised latent to step sizes and to features for refinement."""

    def __init__(self, config: HypernetworkConfig) -> None:
        super().__init__()
        width, kernel, depth = config.width, config.block_kernel, config.decoder_blocks
        self.step_per_level = config.step_per_level
        self.enter = nn.Linear(config.latent_channels, width)
        self.enter_level = nn.Linear(1, width)
        self.latent_blocks = conv_next_stack(width, kernel, depth)
        self.unpair = nn.Linear(width, 2 * width)
        self.segment_blocks = conv_next_stack(width, kernel, depth)
        self.leave = nn.Linear(width, config.num_weights)
        nn.init.zeros_(self.leave.weight)
        nn.init.constant_(self.leave.bias, math.log(config.initial_step))

    def forward(self, latent: torch.Tensor, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (log step size, features).

        Shape:
            latent: [B, S/2, Z], symbols times latent step
            level: [B, 1, 1]
            returns: [B, S, K] and [B, S, W]
        """
        hidden = self.latent_blocks(self.enter(latent) + self.enter_level(level))
        hidden = self.segment_blocks(split_pairs(self.unpair(hidden)))
        log_step = self.leave(hidden).float() - self.step_per_level * level
        return log_step.clamp(-10, 0), hidden
