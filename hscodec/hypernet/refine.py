"""Refinement G: shared weights that correct the stored instance weights.

HyperSound (Szatkowski et al. 2023, section 3) combines instance weights from the hypernetwork with shared weights of
the model, additively or multiplicatively. Here both corrections are predicted per weight, from what was stored around
it: they dequantise, fill in what was rounded to zero and restore the spectrum.
"""

import torch
from torch import nn

from hscodec.hypernet.blocks import ConvNextBlock, compress_amplitude, conv_next_stack
from hscodec.hypernet.config import HypernetworkConfig


class RefinementNetwork(nn.Module):
    """Predicts theta* = theta_hat (1 + a) + step b from symbols, dequantised weights and the decoder's features."""

    def __init__(self, config: HypernetworkConfig) -> None:
        super().__init__()
        num_weights, width = config.num_weights, config.refine_width
        self.enter = nn.Linear(2 * num_weights + config.width, width)
        self.enter_level = nn.Linear(1, width)
        self.blocks = conv_next_stack(width, config.refine_kernel, config.refine_blocks)
        self.leave = nn.Linear(width, 2 * num_weights)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        symbols: torch.Tensor,
        step: torch.Tensor,
        features: torch.Tensor,
        level: torch.Tensor,
        margins: tuple[int, int] = (0, 0),
    ) -> torch.Tensor:
        """Return the refined weights.

        Args:
            symbols: Weight symbols.
            step: Step sizes, in the networks' units.
            features: The decoder's features.
            level: Conditioning level.
            margins: How many of the first and the last segments are only context of the others, and not refined. What
                no other segment sees any more is left out from block to block.

        Shape:
            symbols: [B, S, K]
            step: [B, S, K]
            features: [B, S, W]
            level: [B, 1, 1] or [B, S, 1]
            returns: [B, S - sum(margins), K], in the networks' units
        """
        stored = symbols * step
        inputs = torch.cat([torch.tanh(symbols), compress_amplitude(stored), features.to(stored.dtype)], -1)
        hidden = self.enter(inputs) + self.enter_level(level)
        blocks = [block for block in self.blocks if isinstance(block, ConvNextBlock)]
        needed = sum(block.reach for block in blocks)
        before, behind = margins
        for block in blocks:
            needed -= block.reach
            cut = max(before - needed, 0), max(behind - needed, 0)
            hidden = block(hidden, cut)
            before, behind = before - cut[0], behind - cut[1]
        kept = slice(margins[0], symbols.shape[1] - margins[1])
        gain, offset = self.leave(hidden[:, before : hidden.shape[1] - behind]).float().chunk(2, -1)
        return stored[:, kept] * (1 + 0.5 * torch.tanh(gain)) + step[:, kept] * offset
