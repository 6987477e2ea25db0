"""The weights of target networks, as a file stores them and as they are rendered: what research on them starts from."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from hscodec.codec.constants import MIN_OUTPUT_RATE_HZ
from hscodec.codec.playback import Number, Playback
from hscodec.coding.attacks import no_attacks
from hscodec.inr.coordinates import first_sample_of_hop
from hscodec.inr.envelope import lowered
from hscodec.inr.lapped import LappedSiren
from hscodec.inr.segments import SegmentedMlp
from hscodec.rates import SLOTS_PER_HOP


@dataclass(frozen=True, eq=False)
class SegmentWeights:
    """Weights of consecutive segments of every channel, in the networks' own level.

    Where a file rotates pairs of channels, both `stored` and `theta` are turned back: they belong to the channels.

    Attributes:
        first_segment: Segments before these in the file.
        hop_seconds: Distance between two segments (s). A lapped SIREN is centred at a multiple of it and reaches one
            hop to either side; a network with hidden layers starts there and fills one hop.
        stored: What the file holds of each segment, dequantised. Zeros where it is lost.
        theta: Weights of the target networks: refined by the model, or joined with its shared weights. Zeros where
            they are lost.
        target: Evaluates target networks.
        gain: Factor on what they render.
        attacks: Where what they render is raised in front of a sudden onset: rows of channel, slot and gain as
            `coding.attacks` has them, with slots that count from segment 0 of the file.

    Shape:
        stored: [C, S, K of the file]
        theta: [C, S, K of the network]
        attacks: [N, 3]
    """

    first_segment: int
    hop_seconds: Fraction
    stored: torch.Tensor
    theta: torch.Tensor
    target: LappedSiren | SegmentedMlp
    gain: float
    attacks: np.ndarray = field(default_factory=no_attacks)

    @property
    def num_segments(self) -> int:
        """S."""
        return self.theta.shape[1]

    @property
    def stop_segment(self) -> int:
        """One past the last segment."""
        return self.first_segment + self.num_segments

    @property
    def times_s(self) -> torch.Tensor:
        """Where the segments are centred, or start if they have hidden layers: float64 [S] (s of the encoded sound)."""
        segments = torch.arange(self.first_segment, self.stop_segment, dtype=torch.float64)
        return segments * float(self.hop_seconds)

    def render(self, rate: Number, theta: torch.Tensor | None = None, *, speed: Number = 1) -> torch.Tensor:
        """Return the sound of weights, as `Reader.read` returns it; gradients flow through.

        Args:
            rate: Output rate (Hz), as a `Reader` takes it.
            theta: Weights to render in place of those of the file, such as `stored` or changed ones.
            speed: How fast the sound is played, as a `Reader` takes it.

        Shape:
            theta: [C, S, K of the network]
            returns: [C, T], the samples from `first_sample` on: S - 1 hops of lapped SIRENs, S of others

        Raises:
            HscodecError: The rate or the speed is out of range.
        """
        grid = self._grid(rate, speed)
        rows = self.theta if theta is None else theta
        channels = [self.target.synthesize(row, grid, first_segment=self.first_segment) for row in rows]
        start = first_sample_of_hop(self.first_segment, grid)
        return lowered(torch.stack(channels) * self.gain, self.attacks, grid, origin=0, start=start)

    def first_sample(self, rate: Number, *, speed: Number = 1) -> int:
        """Return where in the file's sound, played at that rate and speed, what `render` returns begins.

        Raises:
            HscodecError: The rate or the speed is out of range.
        """
        return first_sample_of_hop(self.first_segment, self._grid(rate, speed))

    def _grid(self, rate: Number, speed: Number) -> Fraction:
        """Return samples of the output per hop."""
        return Playback.of(MIN_OUTPUT_RATE_HZ, rate=rate, speed=speed).samples_per_second * self.hop_seconds


def counted_from_start(attacks: np.ndarray, first_segment: int) -> np.ndarray:
    """Return the attacks [N, 3] of a chunk, which begins with that segment, with slots that count from segment 0."""
    return attacks + np.array([0, first_segment * SLOTS_PER_HOP, 0], attacks.dtype)
