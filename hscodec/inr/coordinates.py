"""Where samples sit in time, and in the local coordinates of the segments that render them.

Time is counted in hops from the centre of segment 0. Hop j is the interval [j, j + 1); it is rendered by segment j,
whose local coordinate there runs from 0 to 1, and by segment j + 1, whose local coordinate runs from -1 to 0. Sample n
of a signal with M samples per hop sits at time (n + 1/2) / M.
"""

from fractions import Fraction

from hscodec.rates import first_sample
from hscodec.rates import hop_of_sample as hop_of_sample


def first_sample_of_hop(hop: int, samples_per_hop: Fraction) -> int:
    """Return the index of the first sample that sits inside `hop` or later."""
    return first_sample(hop, samples_per_hop)
