"""Pieces of a decoded sound that can be sampled at any time: refined weights of a few seconds, ready on the device."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch

from hscodec.errors import HscodecError
from hscodec.inr.envelope import lowered_at
from hscodec.inr.nonuniform import sample_nonuniform
from hscodec.inr.segments import SegmentedMlp
from hscodec.inr.slopes import Sampled

_BLOCK_TIMES = 1 << 12
"""Slopes of networks with hidden layers keep all layers of so many times in memory."""


class Piece(Protocol):
    """The networks of the hops `[first_hop, stop_hop)`.

    Attributes:
        first_hop: Hops of the sound before it.
        stop_hop: One past its last hop.
    """

    @property
    def first_hop(self) -> int: ...  # noqa: D102

    @property
    def stop_hop(self) -> int: ...  # noqa: D102

    def sample(self, hops: torch.Tensor, *, band_limit: Fraction | float | None, with_slopes: bool) -> Sampled:
        """Sample all channels, at the level at which the sound was analyzed; nothing is recorded for autograd.

        Args:
            hops: Times in hops from the start of the sound, ascending, all within the piece, in double precision.
            band_limit: Highest frequency to render, in cycles per hop; None renders all.
            with_slopes: Whether the derivative with respect to time (per hop) is wanted.

        Shape:
            hops: [T]
            returns: [C, T] float32

        Raises:
            HscodecError: The networks know no band limit, and there is one.
        """
        ...


@dataclass(frozen=True)
class LappedPiece:
    """Lapped SIRENs; a `Piece`.

    Attributes:
        first_hop: Hops of the sound before it.
        theta: Weights of the segments on either side of each hop.
        attacks: Attacks of the chunk, as `inr.envelope` has them.
        origin: Hop that begins at the centre of the chunk's first segment.

    Shape:
        theta: [C, S, K]
        attacks: [N, 3]
    """

    first_hop: int
    theta: torch.Tensor
    attacks: np.ndarray
    origin: int

    @property
    def stop_hop(self) -> int:
        """One past its last hop."""
        return self.first_hop + self.theta.shape[1] - 1

    def sample(self, hops: torch.Tensor, *, band_limit: Fraction | float | None, with_slopes: bool) -> Sampled:
        """Sample all channels; see `Piece`."""
        sampled = sample_nonuniform(self.theta, hops - self.first_hop, band_limit=band_limit, with_slopes=with_slopes)
        return lowered_at(sampled, self.attacks, hops, origin=self.origin)


@dataclass(frozen=True)
class SilentPiece:
    """Hops that are lost; a `Piece`.

    Attributes:
        first_hop: Hops of the sound before it.
        stop_hop: One past its last hop.
        silence: What it holds at any time, [C, 1].
    """

    first_hop: int
    stop_hop: int
    silence: torch.Tensor

    def sample(self, hops: torch.Tensor, *, band_limit: Fraction | float | None, with_slopes: bool) -> Sampled:
        """Return silence in all channels; see `Piece`."""
        values = self.silence.expand(-1, len(hops))
        return Sampled(values, values if with_slopes else None)


@dataclass(frozen=True)
class MlpPiece:
    """Networks with hidden layers, one for each hop; a `Piece`.

    Attributes:
        first_hop: Hops of the sound before it.
        theta: Weights of each channel's networks, [S, K] each.
        target: Evaluates them.
    """

    first_hop: int
    theta: tuple[torch.Tensor, ...]
    target: SegmentedMlp

    @property
    def stop_hop(self) -> int:
        """One past its last hop."""
        return self.first_hop + len(self.theta[0])

    def sample(self, hops: torch.Tensor, *, band_limit: Fraction | float | None, with_slopes: bool) -> Sampled:
        """Sample all channels; see `Piece`."""
        if band_limit is not None:
            raise HscodecError("networks with hidden layers are no sums of known frequencies: they know no band limit")
        channels = [self._channel(theta, hops - self.first_hop, with_slopes) for theta in self.theta]
        values, slopes = (torch.stack(parts) for parts in zip(*channels, strict=True))
        return Sampled(values, slopes if with_slopes else None)

    def _channel(
        self, theta: torch.Tensor, times: torch.Tensor, with_slopes: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values and slopes [T] of one channel; the values twice if slopes are not wanted."""
        pieces = []
        for block in times.split(_BLOCK_TIMES):
            with torch.set_grad_enabled(with_slopes):
                block = block.detach().requires_grad_(with_slopes)
                values = self.target.sample(theta, block)
                slopes = torch.autograd.grad(values.sum(), block)[0] if with_slopes else values
            pieces.append((values.detach().float(), slopes.to(values.device).float()))
        values, slopes = zip(*pieces, strict=True)
        return torch.cat(values), torch.cat(slopes)
