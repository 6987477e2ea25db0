"""Symbols that are nearly all zero, as runs of zeros and the values between them.

zstd spends at least a bit on each literal byte and matches no run shorter than three, which is dear where nine symbols
of ten are zero. The lengths of runs have no such floor.

A run is a number of bytes: each 255 stands for 255 zeros and goes on, any other byte ends the run. There is one run
before each value and one after the last, which may be empty.
"""

import numpy as np

from hscodec.errors import FormatError

RUN_GOES_ON = 255


def to_runs(symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (the bytes of the runs, the values that are not zero).

    Shape:
        symbols: [N] int32
        returns: [R] uint8, [V] int32
    """
    places = np.flatnonzero(symbols)
    lengths = np.diff(places, prepend=-1, append=len(symbols)) - 1
    ends = np.cumsum(lengths // RUN_GOES_ON + 1) - 1
    runs = np.full(ends[-1] + 1, RUN_GOES_ON, np.uint8)
    runs[ends] = lengths % RUN_GOES_ON
    return runs, symbols[places]


def runs_byte_length(content: np.ndarray, num_symbols: int) -> tuple[int, int]:
    """Return how many bytes at the start of `content` are runs, and how many values they part.

    Args:
        content: Bytes that begin with runs, uint8.
        num_symbols: Symbols that runs and values stand for together.

    Raises:
        FormatError: The runs do not end where the symbols do.
    """
    content = content[: num_symbols + 1]  # no run takes more bytes than the symbols that it and its value stand for
    is_end = content < RUN_GOES_ON
    # An end stands for its value too. The last has none, as if one more symbol followed.
    covered = np.cumsum(content.astype(np.int64) + is_end)
    length = int(np.searchsorted(covered, num_symbols + 1)) + 1
    if length > len(content) or covered[length - 1] != num_symbols + 1 or not is_end[length - 1]:
        raise FormatError("payload: runs of zeros do not fit the number of symbols")
    return length, int(np.count_nonzero(is_end[:length])) - 1


def from_runs(runs: np.ndarray, values: np.ndarray, num_symbols: int) -> np.ndarray:
    """Undo `to_runs`; `runs_byte_length` has checked that the lengths fit.

    Raises:
        FormatError: A value between two runs is zero.
    """
    if not values.all():
        raise FormatError("payload: a value between runs of zeros is zero")
    covered = np.cumsum(runs.astype(np.int64) + (runs < RUN_GOES_ON))
    places = covered[runs < RUN_GOES_ON][:-1] - 1
    symbols = np.zeros(num_symbols, np.int32)
    symbols[places] = values
    return symbols
