"""Symbols as bytes: small numbers first, whatever their sign, and an escape for the rare large value.

A symbol v becomes 2 v - 1 if it is positive and -2 v if not (the zigzag code), so that a few small bytes carry nearly
everything and zstd's tables stay short.
"""

import numpy as np

from hscodec.errors import FormatError

ESCAPE = 255
MAX_BYTE_SYMBOL = 127
ESCAPED_BYTES = 4


def to_bytes(symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (one byte per symbol, the values that did not fit, in order).

    Shape:
        symbols: [N] int32
        returns: [N] uint8, [E] int32
    """
    wide = symbols.astype(np.int64)
    folded = np.where(wide > 0, 2 * wide - 1, -2 * wide)
    large = folded >= ESCAPE
    return np.where(large, ESCAPE, folded).astype(np.uint8), symbols[large].astype(np.int32)


def from_bytes(small: np.ndarray, escaped: np.ndarray) -> np.ndarray:
    """Undo `to_bytes`.

    Raises:
        FormatError: The number of escaped values is not the number of escapes, or a value needs no escape.
    """
    folded = small.astype(np.int32)
    symbols = np.where(folded % 2 == 1, (folded + 1) // 2, -(folded // 2)).astype(np.int32)
    places = np.flatnonzero(small == ESCAPE)
    if len(places) != len(escaped):
        raise FormatError(f"payload announces {len(places)} escaped values and holds {len(escaped)}")
    if ((escaped >= -MAX_BYTE_SYMBOL) & (escaped <= MAX_BYTE_SYMBOL)).any():
        raise FormatError("payload escapes a value that fits into a byte")
    symbols[places] = escaped
    return symbols
