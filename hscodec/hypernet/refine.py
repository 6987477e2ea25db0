"""Refinement G: shared weights that correct the stored instance weights.

HyperSound (Szatkowski et al. 2023, section 3) combines instance weights from the hypernetwork with shared weights of
the model, additively or multiplicatively. Here both corrections are predicted per weight, from what was stored around
it: they dequantise, fill in what was rounded to zero and restore the spectrum.
"""

import torch
from torch import nn
from torch.nn import functional

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
            symbols: [B, S, K], of the model's K or fewer: a narrower bandwidth
            step: [B, S, K]
            features: [B, S, W]
            level: [B, 1, 1] or [B, S, 1]
            returns: [B, S - sum(margins), K], in the networks' units
        """
        num_weights, used = symbols.shape[-1], _num_used(symbols)
        symbols = symbols[..., :used].to(step.dtype)
        stored = symbols * step[..., :used]
        hidden = self._entered(symbols, stored, features.to(stored.dtype)) + self.enter_level(level)
        blocks = [block for block in self.blocks if isinstance(block, ConvNextBlock)]
        needed = sum(block.reach for block in blocks)
        before, behind = margins
        for block in blocks:
            needed -= block.reach
            cut = max(before - needed, 0), max(behind - needed, 0)
            hidden = block(hidden, cut)
            before, behind = before - cut[0], behind - cut[1]
        hidden = hidden[:, before : hidden.shape[1] - behind]
        kept = slice(margins[0], margins[0] + hidden.shape[1])
        (gain_weight, offset_weight), (gain_bias, offset_bias) = self.leave.weight.chunk(2), self.leave.bias.chunk(2)
        gain = functional.linear(hidden, gain_weight[:used], gain_bias[:used]).float()
        offset = functional.linear(hidden, offset_weight[:num_weights], offset_bias[:num_weights]).float()
        refined = step[:, kept] * offset
        refined[..., :used] += stored[:, kept] * (1 + 0.5 * torch.tanh(gain))
        return refined

    def _entered(self, symbols: torch.Tensor, stored: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return what `enter` makes of symbols and stored weights [B, S, K'] and of features; beyond K' all are 0."""
        used, width = symbols.shape[-1], features.shape[-1]
        sizes = [(self.enter.in_features - width) // 2] * 2 + [width]
        of_symbols, of_stored, of_features = self.enter.weight.split(sizes, 1)
        hidden = functional.linear(features, of_features, self.enter.bias)
        hidden = hidden + functional.linear(torch.tanh(symbols), of_symbols[:, :used])
        return hidden + functional.linear(compress_amplitude(stored), of_stored[:, :used])


def _num_used(symbols: torch.Tensor) -> int:
    """Return how many of the weights [..., K] have to be looked at: behind them all symbols are 0, as is often so.

    On a GPU finding that out would cost more than it saves, and what is trained is not left out.
    """
    if symbols.device.type != "cpu" or torch.is_grad_enabled():
        return symbols.shape[-1]
    present = symbols.flatten(0, -2).abs().amax(0).nonzero()
    return int(present[-1]) + 1 if len(present) else 0
