"""Where samples sit in the local coordinates of the segments that render them.

Time is counted in hops from the centre of segment 0. Hop j is the interval [j, j + 1); it is rendered by segment j,
whose local coordinate there runs from 0 to 1, and by segment j + 1, whose local coordinate runs from -1 to 0. Sample n
of a signal with M samples per hop sits at time (n + 1/2) / M.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil


@dataclass(frozen=True)
class HopPhase:
    """The hops j = phase + i * period, i = 0, 1, ..., which all see the same sample positions.

    Attributes:
        phase: First hop of the family, in [0, period).
        first_sample: Index of the first sample inside hop `phase`.
        positions: Positions of that hop's samples, in [0, 1) from the start of the hop.
        samples_per_period: How many samples later the same pattern repeats.
    """

    phase: int
    first_sample: int
    positions: tuple[float, ...]
    samples_per_period: int


@lru_cache(maxsize=8)
def hop_phases(samples_per_hop: Fraction) -> tuple[HopPhase, ...]:
    """Return the families of hops that share one pattern of sample positions.

    A whole number of samples per hop has one family; p / q samples per hop have q.

    Args:
        samples_per_hop: Sample rate times hop, greater than 0.
    """
    samples, period = samples_per_hop.numerator, samples_per_hop.denominator
    phases = []
    for phase in range(period):
        first = first_sample_of_hop(phase, samples_per_hop)
        stop = first_sample_of_hop(phase + 1, samples_per_hop)
        # (n + 1/2) / samples_per_hop - phase, over one common denominator.
        numerators = ((2 * n + 1) * period - 2 * phase * samples for n in range(first, stop))
        positions = tuple(numerator / (2 * samples) for numerator in numerators)
        phases.append(HopPhase(phase, first, positions, samples))
    return tuple(phases)


def first_sample_of_hop(hop: int, samples_per_hop: Fraction) -> int:
    """Return the index of the first sample that sits inside `hop` or later."""
    return ceil(hop * samples_per_hop - Fraction(1, 2))
