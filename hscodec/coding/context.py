"""What is known about a symbol from its neighbours: the sounds of neighbouring segments and frequencies are alike.

The symbols of a chunk are coded in passes, from a coarse grid to all: in each, every symbol has neighbours around it,
at one distance, that earlier passes have coded. How loud these came out, compared with what was expected of them, says
which table of frequencies fits. All symbols of a pass are independent of each other, so that a pass is a few operations
on whole arrays.
"""

from dataclasses import dataclass

import numpy as np

MAX_MAGNITUDE = 40
"""Magnitudes beyond this count as this: it keeps one stray symbol from ruling its neighbours' context."""


@dataclass(frozen=True)
class Pass:
    """One of the grids of symbols, and how much its neighbours count.

    Attributes:
        segment: Its first segment.
        weight: Its first weight.
        stride: From one segment, or weight, to the next.
        distance: From a symbol to the neighbours that count, in segments and in weights.
        time: How much the two neighbours in time count, each.
        frequency: How much the two neighbours in frequency count, each.
        corner: How much the four neighbours across the corners count, each.
    """

    segment: int
    weight: int
    stride: int
    distance: int
    time: int
    frequency: int
    corner: int


PASSES = (
    Pass(0, 0, stride=4, distance=0, time=0, frequency=0, corner=0),
    Pass(2, 2, stride=4, distance=2, time=0, frequency=0, corner=4),
    Pass(0, 2, stride=4, distance=2, time=4, frequency=4, corner=0),
    Pass(2, 0, stride=4, distance=2, time=3, frequency=3, corner=1),
    Pass(1, 1, stride=2, distance=1, time=0, frequency=0, corner=4),
    Pass(0, 1, stride=2, distance=1, time=4, frequency=4, corner=0),
    Pass(1, 0, stride=2, distance=1, time=3, frequency=3, corner=1),
)
"""Each symbol is in one of them. The neighbours of a pass are in earlier ones, and count 16 together."""

_MARGIN = 1
_MAX_TABLE = 2**16


class Neighbourhood:
    """The symbols of a chunk as their neighbours see them.

    Loudness is kept apart by whether segment and weight are even or odd: what most passes need then lies side by side.

    Args:
        fine_classes: Fine scale class of each symbol, [C, S, K].
        unit: What a magnitude of 1 counts, by fine scale class, [64].
    """

    def __init__(self, fine_classes: np.ndarray, unit: np.ndarray) -> None:
        self._fine_classes = fine_classes
        self._unit = unit
        channels, segments, weights = fine_classes.shape
        # Zeros around: what lies beyond the chunk is not there.
        size = channels, (segments + 1) // 2 + 2 * _MARGIN, (weights + 1) // 2 + 2 * _MARGIN
        self._loudness = np.zeros((2, 2, *size), np.int32)

    def contexts(self, grid: Pass, edges: np.ndarray) -> np.ndarray:
        """Return the context of each symbol of a pass, [C, S', K'], from what earlier passes have shown."""
        return contexts(self.around(grid), edges)

    def around(self, grid: Pass) -> np.ndarray:
        """Return how loud it is around each symbol of a pass, [C, S', K'], from what earlier passes have shown."""
        near = grid.distance
        total = np.zeros_like(self._shifted(grid, 0, 0))
        for weight, places in (
            (grid.time, ((near, 0), (-near, 0))),
            (grid.frequency, ((0, near), (0, -near))),
            (grid.corner, ((near, near), (-near, -near), (near, -near), (-near, near))),
        ):
            if weight:
                total += weight * sum(self._shifted(grid, *place) for place in places)
        return total

    def show(self, grid: Pass, magnitudes: np.ndarray) -> None:
        """Let the following passes see the magnitudes [C, S', K'] of a pass."""
        units = self._unit.take(self._fine_classes[on_grid(grid)])
        self._shifted(grid, 0, 0)[:] = loudness(magnitudes, units)

    def _shifted(self, grid: Pass, segments: int, weights: int) -> np.ndarray:
        """Return a view of the loudness so far from each symbol of a pass."""
        _, num_segments, num_weights = self._fine_classes.shape
        segment, rows = _half(grid.segment, grid.stride, num_segments, segments)
        weight, columns = _half(grid.weight, grid.stride, num_weights, weights)
        return self._loudness[segment, weight, :, rows, columns]


def _half(first: int, stride: int, stop: int, shift: int) -> tuple[int, slice]:
    """Return whether places `first`, `first + stride`, ... below `stop` are odd once shifted, and where they lie then.

    Args:
        first: First place.
        stride: From one to the next, even.
        stop: Places there are.
        shift: By how much they are shifted.
    """
    begin = _MARGIN + (first + shift) // 2
    return (first + shift) % 2, slice(begin, begin + len(range(first, stop, stride)) * (stride // 2), stride // 2)


def loudness(magnitudes: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return what magnitudes count whose scale classes have these units, int32."""
    return np.minimum(magnitudes, MAX_MAGNITUDE).astype(np.int32) * units


def contexts(around: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the context of each symbol from how loud it is around it: how many of the ascending edges are not above.

    Loudness is at least 0.
    """
    if not edges.size or edges[-1] > _MAX_TABLE:
        return np.searchsorted(edges, around, side="right")
    ends = np.maximum(edges, 0)
    table = np.repeat(np.arange(len(edges) + 1, dtype=np.uint16), np.diff(ends, prepend=0, append=ends[-1] + 1))
    return table.take(around, mode="clip")  # looking up is five times as fast as searching


def on_grid(grid: Pass) -> tuple[slice, slice, slice]:
    """Return what picks the symbols of a pass out of [C, S, K]."""
    return slice(None), slice(grid.segment, None, grid.stride), slice(grid.weight, None, grid.stride)
