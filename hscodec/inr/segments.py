"""Segments side by side: each target network renders one hop of sound, and hands over to the next without overlap.

This is how HyperSound cuts a recording (Szatkowski et al. 2023, section 4). Time is counted in hops: segment s covers
[s, s + 1), where its coordinate t = 2 (time - s) - 1 runs from -1 to 1. Sample n of a stream with M samples per hop
sits at time (n + 1/2) / M.

Unlike `lapped`, there is no `analyze`: the weights that render a sound best are not a linear function of it. Nor is
there a band limit, since such a network is no sum of known frequencies: a grid that is too coarse for it aliases.
"""

from fractions import Fraction

import torch

from hscodec.inr.coordinates import first_sample_of_hop
from hscodec.inr.mlp import Mlp

_BLOCK_VALUES = 2**22
"""Bounds what one hidden layer holds while rendering to some 16 MB."""


class SegmentedMlp:
    """Target network of the HyperSound family; it holds no state beyond the networks' evaluator.

    Segments are rendered one at a time, each in the same blocks: what a segment sounds like does not depend, to the
    last bit, on the others that are rendered, and memory stays bounded unless gradients are recorded. To train many
    short segments side by side, call the networks themselves.

    Args:
        mlp: Evaluates the networks.
    """

    def __init__(self, mlp: Mlp) -> None:
        self.mlp = mlp

    @property
    def num_weights(self) -> int:
        """K, the weights of one segment."""
        return self.mlp.num_weights

    def synthesize(
        self, theta: torch.Tensor, samples_per_hop: Fraction | int, *, first_segment: int = 0
    ) -> torch.Tensor:
        """Sample all segments given on a regular grid.

        Args:
            theta: Weights of consecutive segments.
            samples_per_hop: Output rate times hop; any positive fraction.
            first_segment: Index of theta's first segment in the stream: it fixes where the grid of a fractional rate
                falls.

        Shape:
            theta: [S, K]
            returns: [T], the samples that sit in hops [first_segment, first_segment + S)
        """
        grid = Fraction(samples_per_hop)
        pieces = [theta.new_zeros(0)]
        for index in range(len(theta)):
            segment = first_segment + index
            start, stop = first_sample_of_hop(segment, grid), first_sample_of_hop(segment + 1, grid)
            first = float((start + Fraction(1, 2)) / grid - segment)  # exact before it is rounded
            steps = torch.arange(stop - start, dtype=torch.float64)
            pieces.append(self._render(theta[index : index + 1], first + steps / float(grid)))
        return torch.cat(pieces)

    def sample(self, theta: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Sample at arbitrary times; the result is differentiable with respect to them.

        Args:
            theta: Weights of consecutive segments.
            times: Times in hops from the start of the first segment; outside [0, S) the result is 0. Double precision
                keeps their distances in long sounds.

        Shape:
            theta: [S, K]
            times: [T]
            returns: [T], of theta's type
        """
        hops = times.detach().floor()
        inside = (hops >= 0) & (hops < len(theta))
        order = torch.where(inside, hops, -1).argsort(stable=True)[int((~inside).sum()) :]
        present, counts = hops[order].long().unique_consecutive(return_counts=True)
        pieces = [theta.new_zeros(0)]
        for segment, places in zip(present.tolist(), order.split(counts.tolist()), strict=True):
            pieces.append(self._render(theta[segment : segment + 1], times[places] - segment))
        return theta.new_zeros(len(times)).index_put((order.to(theta.device),), torch.cat(pieces))

    def _render(self, theta: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Evaluate one network, block by block, at positions in [0, 1) of its segment: [1, K] and [T] to [T]."""
        coordinates = (2 * positions - 1).to(theta.device, theta.dtype)
        widest = max(max(shape.fan_in, shape.fan_out) for shape in self.mlp.shapes)
        blocks = coordinates.split(max(_BLOCK_VALUES // widest, 1))
        return torch.cat([self.mlp(theta, block)[0] for block in blocks])
