"""Magnitudes as tokens, of which a table of frequencies knows each, and raw bits, which are as likely 0 as 1.

Magnitudes below 8 have a token each; above, each octave has four, told apart by the two bits behind the leading one,
and the bits behind those are raw. Magnitudes from 2^16 on share one token and are written out.
"""

import numpy as np

NUM_DIRECT = 8
"""Magnitudes below this are their own tokens, without raw bits."""
_DIRECT_BITS = 3
_ESCAPE_BITS = 16
ESCAPE_MAGNITUDE = 2**_ESCAPE_BITS
"""The least magnitude that is written out."""
ESCAPE_TOKEN = NUM_DIRECT + 4 * (_ESCAPE_BITS - _DIRECT_BITS)
NUM_TOKENS = ESCAPE_TOKEN + 1

_TOKENS = np.arange(NUM_TOKENS)
_BITS = np.where(_TOKENS < NUM_DIRECT, 0, (_TOKENS - NUM_DIRECT) // 4 + 1)
_BITS[ESCAPE_TOKEN] = 0
_LOWEST = np.where(_TOKENS < NUM_DIRECT, _TOKENS, (4 + (_TOKENS - NUM_DIRECT) % 4) << _BITS).astype(np.uint32)
_LOWEST[ESCAPE_TOKEN] = ESCAPE_MAGNITUDE


def tokens_of(magnitudes: np.ndarray) -> np.ndarray:
    """Return the token of each magnitude: [N] uint32 to [N] int32."""
    tokens = np.minimum(magnitudes, NUM_DIRECT).astype(np.int32)
    beyond = tokens == NUM_DIRECT  # few
    tokens[beyond] = np.searchsorted(_LOWEST, magnitudes[beyond], side="right") - 1
    return tokens


def raw_bits(tokens: np.ndarray) -> np.ndarray:
    """Return how many raw bits follow each token: [N] to [N]."""
    return _BITS[tokens]


def lowest_magnitudes(tokens: np.ndarray) -> np.ndarray:
    """Return the magnitude whose raw bits are all 0, for each token: [N] to [N] uint32."""
    return _LOWEST[tokens]
