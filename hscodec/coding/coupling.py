"""What the second channel of a pair is told by the first, which is decoded before it; nothing of the sound changes.

Channels that share some of their sound are loud at the same places, with signs that agree or differ more often than
not, and their latents move together. How far that goes differs from sound to sound, so it is stored in each chunk: a
`Coupling`. The layout is normative in `docs/format.md`; `coding.coupling_fit` chooses the numbers.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hscodec.coding.context import PASSES
from hscodec.errors import FormatError

NUM_BANDS = 8
_FIRST_EDGE_LOG2 = 3
_LAST_EDGE = 1 << _FIRST_EDGE_LOG2 + NUM_BANDS - 2
TOTAL_WEIGHT = 16
LATENT_UNIT_BITS = 8
EVEN = 128
"""The agreement of signs that have nothing to do with each other."""
AGREEMENT_BITS = 8
COUNT = struct.Struct("<B")
"""Number of couplings."""
COUPLING = struct.Struct(f"<BBB{len(PASSES)}s{NUM_BANDS}s")
"""First and second channel, share of the latent, loudness, agreement."""


@dataclass(frozen=True)
class Coupling:
    """How much the second channel of a pair is expected to be like the first, in one chunk.

    Attributes:
        first: Channel that is decoded before.
        second: Channel that is told of it.
        latent: How much of the first one's latent residuals is expected in the second's, 0 to 255 (of 256).
        loudness: How much the first one's loudness counts in each pass, the rest being the second's own neighbours, 0
            to 16 (of 16) each.
        agreement: How likely signs are the same, in each band, 1 to 255 (of 256) each.
    """

    first: int
    second: int
    latent: int
    loudness: tuple[int, ...]
    agreement: tuple[int, ...]


def pack_couplings(couplings: Sequence[Coupling]) -> bytes:
    """Return the bytes of couplings: their number, and each of them."""
    records = [
        COUPLING.pack(each.first, each.second, each.latent, bytes(each.loudness), bytes(each.agreement))
        for each in couplings
    ]
    return COUNT.pack(len(couplings)) + b"".join(records)


def unpack_couplings(payload: bytes, stored: Sequence[int]) -> tuple[list[Coupling], bytes]:
    """Return the couplings in front of a chunk's symbols, and the symbols.

    Args:
        payload: What stands behind attacks and rotations.
        stored: The channels of which something is stored.

    Raises:
        FormatError: They are cut off or none, or a number is out of its range.
    """
    stop = COUNT.size + COUPLING.size * payload[0] if payload else COUNT.size
    if len(payload) < stop:
        raise FormatError("payload ends within its couplings")
    couplings = [
        Coupling(first, second, latent, tuple(loudness), tuple(agreement))
        for first, second, latent, loudness, agreement in COUPLING.iter_unpack(payload[COUNT.size : stop])
    ]
    check_couplings(couplings, stored)
    return couplings, payload[stop:]


def check_couplings(couplings: Sequence[Coupling], stored: Sequence[int]) -> None:
    """Refuse couplings that are none, out of order or range, or not of channels that are stored.

    Raises:
        FormatError: The message says what is wrong.
    """
    if not couplings:
        raise FormatError("payload announces couplings and has none")
    coupled = [channel for coupling in couplings for channel in (coupling.first, coupling.second)]
    if missing := set(coupled) - set(stored):
        raise FormatError(f"channel {min(missing)} is coupled, and nothing is stored of it")
    if len(set(coupled)) < len(coupled):
        raise FormatError("a channel is coupled twice")
    firsts = coupled[::2]
    if firsts != sorted(firsts) or any(coupling.first > coupling.second for coupling in couplings):
        raise FormatError("couplings are not in ascending order")
    for coupling in couplings:
        if max(coupling.loudness) > TOTAL_WEIGHT:
            raise FormatError(f"a coupling has {max(coupling.loudness)} parts of loudness in {TOTAL_WEIGHT}")
        if min(coupling.agreement) < 1:
            raise FormatError("a coupling takes equal signs for impossible")


def expected_residuals(residuals: np.ndarray, latent: int | np.ndarray) -> np.ndarray:
    """Return what latent residuals of a first channel, int32 of any shape, let expect of a second's, int64."""
    return (latent * residuals.astype(np.int64) + (1 << LATENT_UNIT_BITS - 1)) >> LATENT_UNIT_BITS


def mixed_loudness(own: np.ndarray, first: np.ndarray, weight: int | np.ndarray) -> np.ndarray:
    """Return what neighbours make of a symbol's loudness, their sum `own`, and the first channel there; all int32."""
    return (TOTAL_WEIGHT - weight) * own // TOTAL_WEIGHT + weight * first


def band_slices(num_weights: int) -> list[slice]:
    """Return the weights of each band: below 8, below 16, ..., below 512, and the rest; the last may be empty."""
    edges = [0, *(1 << _FIRST_EDGE_LOG2 + band for band in range(NUM_BANDS - 1)), max(num_weights, _LAST_EDGE)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
