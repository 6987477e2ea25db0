"""Temporal gain: what is quiet in front of an attack is raised before analysis, and lowered again where it is sampled.

A segment spreads its quantisation error over two hops, so an attack is heard before it comes (pre-echo). Raising the
quiet part towards the level of the attack makes the error even, and lowering it afterwards takes the error in front of
the attack down with it: gain control as in ATRAC (Tsutsui et al., AES 93, 1992). Here the gain is a function of time
like the target networks themselves, so it is evaluated on any grid.
"""

from fractions import Fraction

import numpy as np
import torch

from hscodec.inr.slopes import Sampled
from hscodec.rates import ATTACK_LEAD_SLOTS, LOG2_ATTACK_GAIN_STEP, SLOTS_PER_HOP, first_sample

_KNOT_SLOTS = (-ATTACK_LEAD_SLOTS, 12 - ATTACK_LEAD_SLOTS, -1, 0)
"""Relative to the attack, the logarithm of the gain rises from the first to the second, and falls from the third on."""


def raised(samples: torch.Tensor, attacks: np.ndarray, grid: Fraction, *, origin: int, start: int) -> torch.Tensor:
    """Return samples [C, T] multiplied by the gain in front of attacks; arguments as those of `attack_gain`."""
    return samples * _gain_of(samples, attacks, grid, origin, start) if len(attacks) else samples


def lowered(samples: torch.Tensor, attacks: np.ndarray, grid: Fraction, *, origin: int, start: int) -> torch.Tensor:
    """Undo `raised`, on any grid."""
    return samples / _gain_of(samples, attacks, grid, origin, start) if len(attacks) else samples


def lowered_at(sampled: Sampled, attacks: np.ndarray, hops: torch.Tensor, *, origin: int) -> Sampled:
    """Undo `raised` where a sound was sampled at arbitrary times; the slopes become those of what is returned.

    Args:
        sampled: Values, and slopes per hop, of the raised sound.
        attacks: As `attack_gain` has them.
        hops: The times in hops from the start of the sound, in ascending order, in double precision.
        origin: Hop that begins at the centre of the chunk's first segment.

    Shape:
        sampled: [C, T]
        attacks: [N, 3]
        hops: [T]
        returns: [C, T]
    """
    if not len(attacks):
        return sampled
    values, slopes = sampled
    gain, log2_slopes = (
        torch.from_numpy(part).to(values.device)
        for part in _gain_and_slopes(attacks, hops.cpu().numpy(), origin=origin, num_channels=len(values))
    )
    values = values / gain
    return Sampled(values, None if slopes is None else slopes / gain - np.log(2) * log2_slopes * values)


def _gain_and_slopes(
    attacks: np.ndarray, hops: np.ndarray, *, origin: int, num_channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gain, and by how much its logarithm to base 2 rises in a hop, [C, T] float32 each."""
    log2_gain, log2_slopes = np.zeros((2, num_channels, len(hops)), np.float32)
    for channel, slot, units in attacks.tolist():
        here = slot / SLOTS_PER_HOP + origin
        first, stop = np.searchsorted(hops, (here - ATTACK_LEAD_SLOTS / SLOTS_PER_HOP, here))
        slots = (hops[first:stop] - here) * SLOTS_PER_HOP
        height = units * LOG2_ATTACK_GAIN_STEP
        part = height * np.interp(slots, _KNOT_SLOTS, (0, 1, 1, 0))
        rises = np.array([0, 1 / (_KNOT_SLOTS[1] - _KNOT_SLOTS[0]), 0, 1 / (_KNOT_SLOTS[2] - _KNOT_SLOTS[3]), 0])
        is_greater = part > log2_gain[channel, first:stop]
        log2_gain[channel, first:stop][is_greater] = part[is_greater]
        slope = height * SLOTS_PER_HOP * rises[np.searchsorted(_KNOT_SLOTS, slots, side="right")]
        log2_slopes[channel, first:stop][is_greater] = slope[is_greater]
    return np.exp2(log2_gain), log2_slopes


def _gain_of(samples: torch.Tensor, attacks: np.ndarray, grid: Fraction, origin: int, start: int) -> torch.Tensor:
    num_channels, num_samples = samples.shape
    gain = attack_gain(attacks, grid, origin=origin, start=start, num_samples=num_samples, num_channels=num_channels)
    return gain.to(samples.device)


def attack_gain(
    attacks: np.ndarray, grid: Fraction, *, origin: int, start: int, num_samples: int, num_channels: int
) -> torch.Tensor:
    """Return the gain at consecutive samples; where several attacks raise it, the greatest counts.

    Args:
        attacks: Rows of channel, slot and gain; slots count from the centre of the chunk's first segment.
        grid: Samples per hop, which may be a fraction.
        origin: Hop that begins at that centre.
        start: First sample; sample n sits at (n + 1/2) / grid hops.
        num_samples: T.
        num_channels: C.

    Shape:
        attacks: [N, 3]
        returns: [C, T] float32, at least 1
    """
    log2_gain = np.zeros((num_channels, num_samples), np.float32)
    for channel, slot, units in attacks.tolist():
        here = Fraction(slot, SLOTS_PER_HOP) + origin
        lead = Fraction(ATTACK_LEAD_SLOTS, SLOTS_PER_HOP)
        first, stop = (min(max(first_sample(time, grid) - start, 0), num_samples) for time in (here - lead, here))
        # Differences of places are exact before they are rounded: hours into a file a slot is still a slot.
        offset = float((start + first + Fraction(1, 2)) / grid - here)
        slots = (offset + np.arange(stop - first) / float(grid)) * SLOTS_PER_HOP
        part = log2_gain[channel, first:stop]
        np.maximum(part, units * LOG2_ATTACK_GAIN_STEP * np.interp(slots, _KNOT_SLOTS, (0, 1, 1, 0)), out=part)
    return torch.from_numpy(np.exp2(log2_gain))
