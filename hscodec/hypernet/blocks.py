"""Building blocks that run over segments: tensors are [B, S, W], batch, segments, width."""

import torch
from torch import nn
from torch.nn import functional


class ConvNextBlock(nn.Module):
    """Depthwise convolution over segments, LayerNorm and a gated-free MLP, added to the input.

    After Liu et al., "A ConvNet for the 2020s" (2022), in one dimension with a 2x MLP. The last layer starts at zero,
    so a new block is the identity.

    Args:
        width: W, channels in and out.
        kernel: Taps over segments, odd; the block sees `kernel // 2` segments on either side.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, groups=width, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.project = nn.Linear(2 * width, width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    @property
    def reach(self) -> int:
        """Segments on either side that the block sees."""
        return self.mix.kernel_size[0] // 2

    def forward(self, inputs: torch.Tensor, cut: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """Map [B, S, W] to [B, S - sum(cut), W], without the first and last segments, as many as `cut` says."""
        kept = slice(cut[0], inputs.shape[1] - cut[1])
        mixed = self._mixed(inputs)[:, kept]
        return inputs[:, kept] + self.project(functional.gelu(self.expand(self.norm(mixed))))

    def _mixed(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.device.type != "cpu" or torch.is_grad_enabled():
            return self.mix(inputs.transpose(1, 2)).transpose(1, 2)
        # As an image of one row it keeps its layout, channels last, for which the CPU has kernels: three times as fast.
        batch, segments, width = inputs.shape
        image = inputs.contiguous().as_strided(
            (batch, width, 1, segments), (segments * width, 1, segments * width, width)
        )
        weight, padding = self.mix.weight.unsqueeze(2), (0, self.reach)
        return functional.conv2d(image, weight, self.mix.bias, padding=padding, groups=width).squeeze(2).transpose(1, 2)


def conv_next_stack(width: int, kernel: int, depth: int) -> nn.Sequential:
    """Return `depth` ConvNeXt blocks in a row."""
    return nn.Sequential(*[ConvNextBlock(width, kernel) for _ in range(depth)])


def compress_amplitude(weights: torch.Tensor) -> torch.Tensor:
    """Return sign(c) |c|^0.4, which brings weights of all levels into the range where networks train well."""
    return torch.sign(weights) * torch.exp(0.4 * torch.log(weights.abs() + 1e-6))  # twice as fast as a power


def pair_segments(features: torch.Tensor) -> torch.Tensor:
    """Join each two consecutive segments: [B, S, W] to [B, S/2, 2W]."""
    batch, segments, width = features.shape
    return features.reshape(batch, segments // 2, 2 * width)


def split_pairs(features: torch.Tensor) -> torch.Tensor:
    """Undo `pair_segments`: [B, S/2, 2W] to [B, S, W]."""
    batch, pairs, width = features.shape
    return features.reshape(batch, 2 * pairs, width // 2)


def interpolate_knots(knots: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Interpolate a table of values at whole qualities linearly.

    Args:
        knots: Values at quality 0, 1, ..., 10.
        quality: Quality in [0, 10] of each batch item.

    Shape:
        knots: [11, W]
        quality: [B]
        returns: [B, 1, W]
    """
    lower = quality.floor().clamp(0, knots.shape[0] - 2).long()
    fraction = (quality - lower)[:, None]
    return torch.lerp(knots[lower], knots[lower + 1], fraction)[:, None, :]
