"""Exact integer arithmetic on sample rates, lengths and segment counts.

Floats never decide how many samples there are.
"""

from fractions import Fraction
from math import ceil

HOP_SECONDS = Fraction(1, 50)
"""Distance between two segments of the lapped SIREN family (20 ms)."""

SLOTS_PER_HOP = 16
"""Attacks are placed in slots of 1.25 ms."""
ATTACK_LEAD_SLOTS = 36
"""The gain is raised this long before an attack (45 ms): a segment's error reaches back two hops."""
MAX_ATTACK_GAIN = 15
LOG2_ATTACK_GAIN_STEP = 0.5
"""The greatest gain in front of an attack, and log2 of one unit of it: 3 dB."""

MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000
MAX_CHANNELS = 8


def scaled_length(num_samples: int, from_rate: Fraction | int, to_rate: Fraction | int) -> int:
    """Return `round(num_samples * to_rate / from_rate)`, halves rounded up, in exact arithmetic.

    Args:
        num_samples: Length at `from_rate`, at least 0.
        from_rate: Sample rate of the given length (Hz), greater than 0.
        to_rate: Sample rate of the wanted length (Hz), greater than 0.
    """
    return (2 * num_samples * to_rate + from_rate) // (2 * from_rate)


def first_sample(time: Fraction | int, rate: Fraction | int) -> int:
    """Return the first sample at that time or later: sample n sits at (n + 1/2) / rate.

    Args:
        time: In any unit, such as seconds or hops.
        rate: Samples in one such unit, greater than 0.
    """
    return ceil(time * rate - Fraction(1, 2))


def hop_of_sample(sample: int, samples_per_hop: Fraction) -> int:
    """Return the hop that a sample sits in: sample n sits at (n + 1/2) / samples_per_hop hops."""
    return int((sample + Fraction(1, 2)) / samples_per_hop)


def analysis_rate(sample_rate: int, hop_seconds: Fraction = HOP_SECONDS) -> int:
    """Return the lowest rate, not below `sample_rate`, whose hop is a whole number of samples.

    Signals at such rates (8, 16, 22.05, 24, 32, 44.1, 48, 88.2, 96 kHz, ...) are analyzed natively; others are
    resampled to it.
    """
    rate = sample_rate
    while (rate * hop_seconds).denominator != 1:
        rate += 1
    return rate


def num_weights(bandwidth_hz: Fraction | int, hop_seconds: Fraction = HOP_SECONDS) -> int:
    """Return K = 2 * hop * bandwidth (rounded down): how many features one segment needs to reach `bandwidth_hz`."""
    return int(2 * hop_seconds * bandwidth_hz)


def num_segments(num_samples: int, samples_per_hop: int) -> int:
    """Return how many segments cover `num_samples`: one more than the hops, made even; 0 for an empty signal.

    The precision latent has one vector for every two segments, hence the even count.
    """
    if num_samples == 0:
        return 0
    hops = -(-num_samples // samples_per_hop)
    return hops + 1 + (hops + 1) % 2
