"""The order in which a chunk's weight symbols are stored, as far as zstd stores them; `by_context` has its own.

zstd adapts its tables to what it has just seen. Sorted by predicted scale, symbols of one distribution stand together,
which makes up for the coder's lack of a model: long runs of zeros become matches, the rest gets Huffman tables that
fit.
"""

from enum import IntEnum

import numpy as np

NUM_CLASSES = 16
"""Finer classes know more, but each then holds too few symbols for zstd to adapt to: 64 cost 1 to 2 % more."""

NUM_FINE_CLASSES = 64
"""Four to each class: statistics that were learnt beforehand need not adapt, and may be this fine."""

RUN_CLASSES = 7
"""Symbols of the classes below this are stored as runs of zeros and values; their scale is below exp(-0.75)."""


class Order(IntEnum):
    """Order codes of a chunk, as stored."""

    PLAIN = 0
    BY_CLASS = 1
    BY_CONTEXT = 2
    BY_LAYER = 3
    """Of networks with hidden layers, see `coding.layered`."""
    BY_PAIR = 4
    """By context, of which the first channel of a pair is part for the second."""


def class_order(classes: np.ndarray) -> np.ndarray:
    """Return the positions [N] of the symbols in stored order: by class, ties in place.

    Args:
        classes: Scale class of each symbol, uint8, any shape; flattened row by row.
    """
    return np.argsort(classes.reshape(-1), kind="stable")


def sort_symbols(symbols: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the symbols, flattened, in class order."""
    return symbols.reshape(-1)[class_order(classes)]


def unsort_symbols(ordered: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Undo `sort_symbols`; the result has the shape of `classes`."""
    symbols = np.empty_like(ordered)
    symbols[class_order(classes)] = ordered
    return symbols.reshape(classes.shape)
