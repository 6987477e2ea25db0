"""What every target network offers, whatever its shape."""

from fractions import Fraction
from typing import Protocol

import torch


class TargetNetwork(Protocol):
    """An implicit neural representation that renders audio from the weights of many segments.

    Shape letters: S segments, K weights of one segment, T samples.
    """

    num_weights: int

    def analyze(self, samples: torch.Tensor, samples_per_hop: int) -> torch.Tensor:
        """Return the weights [..., S, K] that render `samples` [..., (S + 1) * samples_per_hop] best."""
        ...

    def synthesize(self, theta: torch.Tensor, samples_per_hop: Fraction, *, first_segment: int = 0) -> torch.Tensor:
        """Sample the networks on the regular grid of `samples_per_hop`."""
        ...

    def sample(self, theta: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Sample the networks at arbitrary `times` [T], counted in hops from the centre of the first segment given."""
        ...
