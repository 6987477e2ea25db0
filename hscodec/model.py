"""The flagship model: a hypernetwork turns audio weights into a latent and symbols, shared weights refine them.

`forward` is for training (noise and straight-through rounding, ideal code lengths); the other methods are the exact
steps of coding. The model never sees samples: `inr.lapped` turns audio into theta and back.

Weights are amplitudes, of order 1; inside the networks they are multiplied by WEIGHT_UNIT, which makes them the
coefficients of an orthonormal transform at 48 kHz.
"""

from dataclasses import dataclass

import torch
from torch import nn

from hscodec.hypernet.config import HypernetworkConfig
from hscodec.hypernet.likelihood import symbol_bits
from hscodec.hypernet.precision import LatentPrior, PrecisionDecoder, PrecisionEncoder
from hscodec.hypernet.refine import RefinementNetwork
from hscodec.hypernet.scale import ScaleNetwork

WEIGHT_UNIT = 480**0.5
# Symbols are sign(u) floor(|u| + this): less than 1/2, since zeros are cheap and refinement fills them.
TRAINING_DEAD_ZONE = 0.45
CODING_DEAD_ZONE = 0.42
MAX_SYMBOL = 2**20


@dataclass(frozen=True)
class Precision:
    """What the latent of a chunk says.

    Attributes:
        step: Step size of each weight in the networks' units, [B, S, K].
        features: Features for refinement, [B, S, W].
    """

    step: torch.Tensor
    features: torch.Tensor


@dataclass(frozen=True)
class TrainingOutput:
    """What a training step needs.

    Attributes:
        theta: Refined weights, [B, S, K].
        stored: Weights as stored, before refinement, [B, S, K].
        latent_bits: Ideal code length of the latent of each item, [B].
        weight_bits: Ideal code length of the weight symbols of each item, [B].
    """

    theta: torch.Tensor
    stored: torch.Tensor
    latent_bits: torch.Tensor
    weight_bits: torch.Tensor


class Hypernetwork(nn.Module):
    """Flagship family `hsc`.

    Args:
        config: Sizes; the default is the shape of the shipped model.
    """

    def __init__(self, config: HypernetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or HypernetworkConfig()
        self.encoder = PrecisionEncoder(self.config)
        self.prior = LatentPrior(self.config)
        self.decoder = PrecisionDecoder(self.config)
        self.scale = ScaleNetwork(self.config)
        self.refinement = RefinementNetwork(self.config)

    def _level(self, quality: torch.Tensor) -> torch.Tensor:
        """Return levels [B, 1, 1] of qualities [B], or [B, S, 1] of [B, S]."""
        return self.config.level(quality).view(len(quality), -1, 1)

    @staticmethod
    def _each(quality: float | torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return the quality of each item as a tensor [B], from one for all or one for each; [B, S] stays as it is."""
        each = torch.as_tensor(quality, dtype=torch.float32, device=items.device)
        return each if each.dim() == 2 else each.expand(items.shape[0])

    def forward(self, theta: torch.Tensor, quality: torch.Tensor, mask: torch.Tensor) -> TrainingOutput:
        """Run the differentiable stand-in for encoding and decoding.

        The decoder sees rounded values, with the gradient passed straight through. The latent's rate is measured with
        uniform noise in place of rounding (Balle et al. 2017). The weights' rate is measured on the rounded symbols
        themselves: most of them are zeros of a wide dead zone, for which noise would announce twice the bytes that they
        cost.

        Args:
            theta: Instance weights.
            quality: Quality in [0, 10] of each item.
            mask: 1 for features within the item's bandwidth, 0 above.

        Shape:
            theta: [B, S, K]
            quality: [B]
            mask: [B, 1, K]
        """
        level = self._level(quality)
        weights = theta * WEIGHT_UNIT
        latent_step = self.prior.step(quality)
        latent = self.encoder(weights, level, latent_step)
        rounded = straight_through(latent, torch.round(latent))
        noisy = latent + torch.rand_like(latent) - 0.5
        previous = torch.cat([torch.zeros_like(rounded[:, :1]), rounded[:, :-1]], 1)
        latent_bits = self.prior.bits(noisy, previous, quality)

        dequantized = rounded * latent_step
        log_step, features = self.decoder(dequantized, level)
        step = torch.exp(log_step)
        scaled = weights / step * mask
        symbols = straight_through(scaled, round_with_dead_zone(scaled, TRAINING_DEAD_ZONE))
        weight_bits = symbol_bits(symbols, self.scale(dequantized, quality), TRAINING_DEAD_ZONE) * mask
        refined = self.refinement(symbols, step, features, level) * mask
        return TrainingOutput(
            theta=refined / WEIGHT_UNIT,
            stored=symbols * step / WEIGHT_UNIT,
            latent_bits=latent_bits.sum((1, 2)),
            weight_bits=weight_bits.sum((1, 2)),
        )

    def encode_latent(self, theta: torch.Tensor, quality: float | torch.Tensor) -> torch.Tensor:
        """Return the precision latent's symbols, int32.

        Args:
            theta: Instance weights.
            quality: Quality in [0, 10], one for all or one for each channel.

        Shape:
            theta: [C, S, K], S even
            returns: [C, S/2, Z]
        """
        each = self._each(quality, theta)
        latent = self.encoder(theta * WEIGHT_UNIT, self._level(each), self.prior.step(each))
        return torch.round(latent).clamp(-MAX_SYMBOL, MAX_SYMBOL).to(torch.int32)

    def decode_precision(self, latent: torch.Tensor, quality: float | torch.Tensor) -> Precision:
        """Return step sizes and features of a chunk from its latent [C, S/2, Z]; quality as in `encode_latent`."""
        each = self._each(quality, latent)
        log_step, features = self.decoder(latent * self.prior.step(each), self._level(each))
        return Precision(torch.exp(log_step), features)

    def quantize(self, theta: torch.Tensor, precision: Precision) -> torch.Tensor:
        """Return the weight symbols, int32.

        Args:
            theta: Instance weights; fewer than the model's K means a narrower bandwidth.
            precision: Step sizes of the same segments, for the model's K.

        Shape:
            theta: [C, S, K]
            returns: [C, S, K]
        """
        scaled = theta * WEIGHT_UNIT / precision.step[..., : theta.shape[-1]]
        return round_with_dead_zone(scaled, CODING_DEAD_ZONE).clamp(-MAX_SYMBOL, MAX_SYMBOL).to(torch.int32)

    def dequantize(self, symbols: torch.Tensor, precision: Precision) -> torch.Tensor:
        """Return weights as they are stored, before refinement, in amplitudes: [C, S, K] to [C, S, K]."""
        return symbols * precision.step[..., : symbols.shape[-1]] / WEIGHT_UNIT

    def refine(
        self,
        symbols: torch.Tensor,
        precision: Precision,
        quality: float | torch.Tensor,
        *,
        margins: tuple[int, int] = (0, 0),
    ) -> torch.Tensor:
        """Dequantise symbols and apply the shared corrections.

        Args:
            symbols: Weight symbols; fewer than the model's K means a narrower bandwidth, and stays so.
            precision: Step sizes and features of the same segments.
            quality: Quality in [0, 10], one for all, for each channel [C], or for each segment of each channel [C, S].
            margins: How many of the first and the last segments are only context of the others.

        Shape:
            symbols: [C, S, K]
            returns: [C, S - sum(margins), K], amplitudes
        """
        step, each = precision.step[..., : symbols.shape[-1]], self._each(quality, symbols)
        return self.refinement(symbols, step, precision.features, self._level(each), margins) / WEIGHT_UNIT

    def ideal_bits(self, latent: torch.Tensor, symbols: torch.Tensor, quality: float) -> tuple[float, float]:
        """Return the ideal code lengths (latent, weights) in bits of what `encode_latent` and `quantize` returned.

        It predicts what the payload of a chunk will cost, and is measured against it in the tests.
        """
        each = self._each(quality, latent)
        values = latent.to(torch.float32)
        previous = torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], 1)
        latent_bits = self.prior.bits(values, previous, each).sum().item()
        log_scale = self.scale(values * self.prior.step(each), each)[..., : symbols.shape[-1]]
        return latent_bits, symbol_bits(symbols.to(torch.float32), log_scale, CODING_DEAD_ZONE).sum().item()


def straight_through(value: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Return `rounded`, with the gradient of `value`."""
    return value + (rounded - value).detach()


def round_with_dead_zone(values: torch.Tensor, offset: float) -> torch.Tensor:
    """Return sign(v) floor(|v| + offset); offset 1/2 is ordinary rounding, less widens the zero bin."""
    return torch.sign(values) * torch.floor(values.abs() + offset)
