"""The bandwidth of a chunk as a byte: weights that are 0 throughout and lie behind all others need not be coded.

The layout is normative in `docs/format.md`. What is left out costs little when it is coded, but its time.
"""

import struct

import numpy as np

from hscodec.errors import FormatError

BANDWIDTH = struct.Struct("<B")
"""How many times `STEP` weights are left out."""
STEP = 8
MAX_STEPS = 255
MIN_STEPS = 8
"""Fewer do not make up for the byte."""


def num_steps_left_out(weights: np.ndarray) -> int:
    """Return how many times `STEP` weights a writer leaves out of symbols [C, S, K]; 0 if that does not pay."""
    present = np.flatnonzero(weights.any((0, 1)))
    used = present[-1] + 1 if present.size else 1
    steps = min((weights.shape[-1] - int(used)) // STEP, MAX_STEPS)
    return steps if steps >= MIN_STEPS else 0


def pack_bandwidth(steps: int) -> bytes:
    """Return the byte that stands for so many steps."""
    return BANDWIDTH.pack(steps)


def unpack_bandwidth(payload: bytes, num_weights: int) -> tuple[int, bytes]:
    """Return how many of K weights are stored, and what stands behind the byte that says so.

    Raises:
        FormatError: The byte is missing, or it leaves out nothing, or everything.
    """
    if len(payload) < BANDWIDTH.size:
        raise FormatError("payload ends before its bandwidth")
    left_out = STEP * BANDWIDTH.unpack_from(payload)[0]
    if not 0 < left_out < num_weights:
        raise FormatError(f"bandwidth leaves out {left_out} of {num_weights} weights")
    return num_weights - left_out, payload[BANDWIDTH.size :]
