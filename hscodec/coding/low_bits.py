"""Bits of symbols that hold nothing but noise: packed as they are, since no entropy coder makes them shorter.

The lowest bits of a number that is spread over many values are as good as random. Where a byte holds them along with
others, zstd spends time and space on it in vain.
"""

import numpy as np

from hscodec.errors import FormatError


def packed_bytes(count: int, width: int) -> int:
    """Return the bytes that the lowest `width` bits of `count` numbers take."""
    return -(-count * width // 8)


def pack_low_bits(values: np.ndarray, width: int) -> bytes:
    """Return the lowest bits of numbers, one number after the other and of each the lowest bit first.

    They fill bytes from their lowest bits on; the last byte is filled up with zeros.

    Args:
        values: At least 0.
        width: 0 to 8.

    Shape:
        values: [N]
    """
    low = (values & 0xFF).astype(np.uint8)
    bits = np.unpackbits(low[:, None], axis=1, count=width, bitorder="little")
    return np.packbits(bits, bitorder="little").tobytes()


def unpack_low_bits(packed: np.ndarray, count: int, width: int) -> np.ndarray:
    """Return the numbers that `pack_low_bits` packed.

    Args:
        packed: `packed_bytes` bytes.
        count: N.
        width: 0 to 8.

    Shape:
        packed: [packed_bytes(N, width)] uint8
        returns: [N] uint8

    Raises:
        FormatError: The last byte is not filled up with zeros.
    """
    bits = np.unpackbits(packed, bitorder="little")
    if bits[count * width :].any():
        raise FormatError("payload: bits are set behind the last symbol of a group")
    if width == 0:
        return np.zeros(count, np.uint8)
    return np.packbits(bits[: count * width].reshape(count, width), axis=1, bitorder="little")[:, 0]
