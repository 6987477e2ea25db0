"""Rotations of channel pairs as bytes: two channels that are nearly alike become one that holds both, and a rest.

The layout is normative in `docs/format.md`; `inr.rotation` says what a rotation means for the weights.
"""

import struct
from math import pi

import numpy as np

from hscodec.errors import FormatError

ROTATION = struct.Struct("<BB")
"""Angle and reduction."""
ANGLE_STEP = pi / 256
"""One unit of an angle; angles go once through half a turn."""
REDUCTION_HUNDREDTHS = 10
"""One unit of a reduction: the second channel's quality is so much lower."""
SILENT = 255
"""The reduction that stands for a second channel of which nothing is stored."""


def no_rotations() -> np.ndarray:
    """Return the rotations of a chunk that has none: [0, 2]."""
    return np.zeros((0, 2), np.int32)


def pack_rotations(rotations: np.ndarray) -> bytes:
    """Return the bytes of rotations [P, 2], rows of angle and reduction: one for each two channels that follow."""
    return b"".join(ROTATION.pack(angle, reduction) for angle, reduction in rotations.tolist())


def unpack_rotations(payload: bytes, num_channels: int) -> tuple[np.ndarray, bytes]:
    """Return the rotations [P, 2] in front of a chunk's symbols, P = C // 2, and the symbols.

    Raises:
        FormatError: They are cut off, there is no pair of channels, or nothing is rotated.
    """
    stop = num_channels // 2 * ROTATION.size
    if len(payload) < stop:
        raise FormatError("payload ends within its rotations")
    rotations = np.array(list(ROTATION.iter_unpack(payload[:stop])), np.int32).reshape(-1, 2)
    check_rotations(rotations, num_channels)
    return rotations, payload[stop:]


def check_rotations(rotations: np.ndarray, num_channels: int) -> None:
    """Refuse rotations [P, 2] that do not fit the channels, are out of range, or change nothing.

    Raises:
        FormatError: The message says what is wrong.
    """
    if len(rotations) != num_channels // 2:
        raise FormatError(f"{len(rotations)} rotations for {num_channels} channels")
    if not rotations.any():
        raise FormatError("payload announces rotations and has none")
    if rotations.min() < 0 or rotations.max() > SILENT:
        raise FormatError(f"angle or reduction of a rotation is not in 0 to {SILENT}")


def is_stored(rotations: np.ndarray, num_channels: int) -> np.ndarray:
    """Return whether the symbols of each channel are stored, bool [C]."""
    stored = np.ones(num_channels, bool)
    stored[1 : 2 * len(rotations) : 2] = rotations[:, 1] != SILENT
    return stored


def channel_qualities(rotations: np.ndarray, quality_hundredths: int, num_channels: int) -> np.ndarray:
    """Return the quality of each channel times 100, int64 [C]."""
    qualities = np.full(num_channels, quality_hundredths, np.int64)
    lowered = quality_hundredths - REDUCTION_HUNDREDTHS * rotations[:, 1]
    qualities[1 : 2 * len(rotations) : 2] = np.maximum(lowered, 0)
    return qualities
