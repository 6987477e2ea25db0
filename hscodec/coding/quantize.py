"""Symbols as bytes: one signed byte each, with an escape for the rare large value."""

import numpy as np

from hscodec.errors import FormatError

ESCAPE = -128
MAX_BYTE_SYMBOL = 127
ESCAPED_BYTES = 4


def to_bytes(symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (one int8 per symbol, the values that did not fit, in order).

    Shape:
        symbols: [N] int32
        returns: [N] int8, [E] int32
    """
    large = (symbols > MAX_BYTE_SYMBOL) | (symbols < -MAX_BYTE_SYMBOL)  # abs() of the lowest int32 is negative
    small = np.where(large, ESCAPE, symbols).astype(np.int8)
    return small, symbols[large].astype(np.int32)


def from_bytes(small: np.ndarray, escaped: np.ndarray) -> np.ndarray:
    """Undo `to_bytes`.

    Raises:
        FormatError: The number of escaped values is not the number of escapes, or a value needs no escape.
    """
    symbols = small.astype(np.int32)
    places = np.flatnonzero(small == ESCAPE)
    if len(places) != len(escaped):
        raise FormatError(f"payload announces {len(places)} escaped values and holds {len(escaped)}")
    if ((escaped >= -MAX_BYTE_SYMBOL) & (escaped <= MAX_BYTE_SYMBOL)).any():
        raise FormatError("payload escapes a value that fits into a byte")
    symbols[places] = escaped
    return symbols
