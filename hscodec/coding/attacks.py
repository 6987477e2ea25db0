"""Attacks of a chunk as bytes: where a sound sets in so suddenly that the gain in front of it is raised and stored.

The layout is normative in `docs/format.md`; `inr.envelope` says what an attack means for the sound.
"""

import struct

import numpy as np

from hscodec.errors import FormatError
from hscodec.rates import ATTACK_LEAD_SLOTS, MAX_ATTACK_GAIN, SLOTS_PER_HOP

COUNT = struct.Struct("<H")
ATTACK = struct.Struct("<HBB")
"""Slot, channel and gain."""


def no_attacks() -> np.ndarray:
    """Return the attacks of a chunk that has none: [0, 3]."""
    return np.zeros((0, 3), np.int32)


def pack_attacks(attacks: np.ndarray) -> bytes:
    """Return the bytes that stand in front of a payload's frame.

    Shape:
        attacks: [N, 3], rows of channel, slot and gain, sorted by channel and slot, as `check_attacks` wants them
    """
    records = [ATTACK.pack(slot, channel, gain) for channel, slot, gain in attacks.tolist()]
    return COUNT.pack(len(records)) + b"".join(records)


def unpack_attacks(payload: bytes, num_channels: int, num_segments: int) -> tuple[np.ndarray, bytes]:
    """Return the attacks [N, 3] in front of a frame, and the frame.

    Raises:
        FormatError: There are none, they are cut off, or not as `check_attacks` wants them.
    """
    count = COUNT.unpack_from(payload)[0] if len(payload) >= COUNT.size else 0
    stop = COUNT.size + count * ATTACK.size
    if len(payload) < stop:
        raise FormatError("payload ends within its attacks")
    if count == 0:
        raise FormatError("payload announces attacks and has none")
    records = ATTACK.iter_unpack(payload[COUNT.size : stop])
    attacks = np.array([(channel, slot, gain) for slot, channel, gain in records], np.int32)
    check_attacks(attacks, num_channels, num_segments)
    return attacks, payload[stop:]


def check_attacks(attacks: np.ndarray, num_channels: int, num_segments: int) -> None:
    """Refuse attacks [N, 3] that are not in order, less than a hop apart, or beyond the chunk.

    The gain is raised only between the centres of the chunk's first and last segment: what lies beyond is shared with
    its neighbours.

    Raises:
        FormatError: The message says what is wrong.
    """
    channels, slots, gains = attacks.T
    last_slot = (num_segments - 1) * SLOTS_PER_HOP
    if slots.min(initial=ATTACK_LEAD_SLOTS) < ATTACK_LEAD_SLOTS or slots.max(initial=0) > last_slot:
        raise FormatError(f"attack at a slot that is not in {ATTACK_LEAD_SLOTS} to {last_slot}")
    if channels.max(initial=0) >= num_channels:
        raise FormatError("attack in a channel that is not there")
    if gains.min(initial=1) < 1 or gains.max(initial=1) > MAX_ATTACK_GAIN:
        raise FormatError(f"gain in front of an attack is not in 1 to {MAX_ATTACK_GAIN}")
    steps, spacing = np.diff(channels), np.diff(slots)
    if np.any((steps < 0) | ((steps == 0) & (spacing < SLOTS_PER_HOP))):
        raise FormatError("attacks are not in order, or less than a hop apart")
