"""Finding attacks: sudden onsets in front of which a lapped codec would be heard too early."""

import numpy as np

from hscodec.rates import ATTACK_LEAD_SLOTS, LOG2_ATTACK_GAIN_STEP, MAX_ATTACK_GAIN, SLOTS_PER_HOP

_SILENCE = 1e-10
_QUIETEST_ATTACK = 1e-4
"""Mean square of a slot, full scale 1: -100 and -40 dB."""
_QUIET_SLOTS = 16
"""It must have been quiet for 20 ms, longer than a period of the lowest voice: glottal pulses are no attacks."""
_JUMP, _ONSET = 4.0, 10.0
"""So many times louder, in power, than all slots before it must the first slot of an attack be, and one of its first
three."""
_BEFORE_SLOTS = 24
_MIN_RATIO = 4.0
"""In amplitude, over 20 ms behind the attack and 30 ms in front of it."""
_MARGIN, _MAX_RATIO = 2.0, 8.0
"""Of that ratio this much stays, and at most so much is evened out: more did nothing for ViSQOL."""


def find_attacks(samples: np.ndarray, samples_per_hop: int) -> np.ndarray:
    """Return the attacks within a chunk.

    Args:
        samples: The window of a chunk: from one hop before the centre of its first segment to one hop behind the
            centre of its last.
        samples_per_hop: M.

    Shape:
        samples: [C, (S + 1) M]
        returns: [N, 3] int32, rows of channel, slot and gain as `coding.attacks` stores them
    """
    found = []
    num_hops = samples.shape[1] // samples_per_hop
    # A slot is no whole number of samples at most rates; each sample counts for the slot that it begins in.
    edges = np.arange(num_hops * SLOTS_PER_HOP) * samples_per_hop // SLOTS_PER_HOP
    for channel, row in enumerate(samples[:, : num_hops * samples_per_hop].astype(np.float64)):
        power = np.add.reduceat(row**2, edges) / np.diff(edges, append=row.size) + _SILENCE
        found += [(channel, slot, gain) for slot, gain in _channel_attacks(power)]
    return np.array(found, np.int32).reshape(-1, 3)


def _channel_attacks(power: np.ndarray) -> list[tuple[int, int]]:
    """Return slot and gain of the attacks of one channel from the power of the slots of its window."""
    windows = np.lib.stride_tricks.sliding_window_view
    last_slot = power.size - 2 * SLOTS_PER_HOP  # the centre of the last segment, counted from that of the first
    if last_slot < ATTACK_LEAD_SLOTS:
        return []
    slots = np.arange(ATTACK_LEAD_SLOTS, last_slot + 1)
    places = slots + SLOTS_PER_HOP
    loudest_before = windows(power, _QUIET_SLOTS).max(1)[places - _QUIET_SLOTS]
    before = windows(power, _BEFORE_SLOTS).mean(1)[places - _BEFORE_SLOTS]
    after = windows(power, _QUIET_SLOTS).mean(1)[np.minimum(places, power.size - _QUIET_SLOTS)]
    ratio = np.sqrt(after / before)
    is_attack = (
        (power[places] > _JUMP * loudest_before)
        & (windows(power, 3).max(1)[np.minimum(places, power.size - 3)] > _ONSET * loudest_before)
        & (windows(power, 8).max(1)[np.minimum(places, power.size - 8)] > _QUIETEST_ATTACK)
        & (ratio >= _MIN_RATIO)
    )
    attacks: list[tuple[int, int]] = []
    for index in np.flatnonzero(is_attack):
        slot = int(slots[index])
        if attacks and slot - attacks[-1][0] < SLOTS_PER_HOP:
            continue
        units = round(np.log2(min(ratio[index] / _MARGIN, _MAX_RATIO)) / LOG2_ATTACK_GAIN_STEP)
        attacks.append((slot, min(max(units, 1), MAX_ATTACK_GAIN)))
    return attacks
