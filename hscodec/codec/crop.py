"""What a short range of a sound needs to be decoded, taken out of its file: integers, small and picklable; no torch.

Reading a range has two halves. Bytes and entropy coding are here, work for the CPU and for processes of their own.
Networks are in `codec.crop_batch`, which renders crops of many files side by side.

What a segment decodes to depends on no more than the segments around it: `refine_context` of them for refinement, and
`precision_context` of the same chunk for step sizes. A crop holds those and no others. So that crops of one length have
one shape, a window that meets the end of the file or of a chunk is moved rather than cut, where there is room: what is
too much does no harm.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np

from hscodec.codec.symbols import LayeredReader, Span, SymbolReader
from hscodec.coding.layered import LayeredSymbols
from hscodec.coding.payload import ChunkSymbols
from hscodec.coding.rotations import ANGLE_STEP, channel_qualities, is_stored
from hscodec.container.format import FileHeader
from hscodec.rates import ATTACK_LEAD_SLOTS, SLOTS_PER_HOP, first_sample, hop_of_sample

MAX_HOPS = 1500
"""Ranges longer than 30 s are decoded block by block: their crops would be no smaller than their chunks."""
_TYPES = (np.int8, np.int16, np.int32)


ReadSpan: TypeAlias = Callable[[int], Any]
"""Returns the symbols of a span: `ChunkSymbols` or `LayeredSymbols`, as the file has them."""


@dataclass(frozen=True, eq=False)
class ChunkPart:
    """What one chunk contributes.

    Attributes:
        first_segment: First segment of its latent, counted in the file.
        start_segment: First segment of the window for which it stands.
        stop_segment: One past the last.
        latent: Precision latent, as long as it matters; half as many rows as segments.
        quality: Quality of each channel.
        is_stored: Whether symbols of each channel are stored.
        angles: By which pairs of channels were rotated (radians), zeros if they were not.

    Shape:
        latent: [C, L, Z]
        quality: [C]
        is_stored: [C]
        angles: [C // 2]
    """

    first_segment: int
    start_segment: int
    stop_segment: int
    latent: np.ndarray
    quality: np.ndarray
    is_stored: np.ndarray
    angles: np.ndarray


@dataclass(frozen=True, eq=False)
class LappedCrop:
    """A range of a sound of lapped SIRENs.

    Attributes:
        model_id: The model that renders it.
        grid: Samples per hop of the output.
        start: First sample, counted in the file's output.
        num_samples: How many, at least 1.
        num_hops: Hops to render so that they hold the range wherever it begins: the same for ranges of one length.
        gain: Factor on what is rendered.
        window_start: First segment of `weights`, counted in the file.
        weights: Weight symbols.
        parts: The chunks that they are from, in order.
        attacks: Those that concern the range, with slots that count from segment 0 of the file.

    Shape:
        weights: [C, S, K]
        attacks: [N, 3]
    """

    model_id: bytes
    grid: Fraction
    start: int
    num_samples: int
    num_hops: int
    gain: float
    window_start: int
    weights: np.ndarray
    parts: tuple[ChunkPart, ...]
    attacks: np.ndarray

    @property
    def first_hop(self) -> int:
        """The hop that the first sample sits in."""
        return hop_of_sample(self.start, self.grid)

    @property
    def offset(self) -> int:
        """Samples of the first hop in front of the first sample."""
        return self.start - first_sample(self.first_hop, self.grid)


class WholeChunksCrop:
    """A range of any other sound: a source of symbols that holds all chunks around the range, and a decoder's input.

    Attributes:
        header: The file's header.
        num_samples: Length of each channel at the file's rate.
        start: First sample of the range, counted in the output.
        stop: One past the last.
        rate: Output rate (Hz).
    """

    def __init__(
        self, source: SymbolReader | LayeredReader, rate: Fraction | int, start: int, stop: int, *, read: ReadSpan
    ) -> None:
        self.header: FileHeader = source.header
        self.num_samples: int = source.num_samples
        self.rate, self.start, self.stop = rate, start, stop
        self._spans: list[Span] = source.spans
        grid = rate * source.header.hop_seconds
        first = max(self.find(hop_of_sample(start, grid)) - 1, 0)
        last = min(self.find(hop_of_sample(stop - 1, grid) + 1) + 1, len(self._spans) - 1)
        self._symbols = {index: read(index) for index in range(first, last + 1)}

    def span(self, index: int) -> Span | None:
        """Return span `index`, or None behind the last one."""
        return self._spans[index] if index < len(self._spans) else None

    def find(self, segment: int) -> int:
        """Return the index of the span that holds `segment`."""
        return max(bisect_right(self._spans, segment, key=lambda span: span.first_segment) - 1, 0)

    def num_missing(self, first: int, stop: int) -> int:
        """Return 0: a crop with gaps is not made."""
        return 0

    @property
    def is_live(self) -> bool:
        """False: all is there."""
        return False

    def fetch(self, index: int) -> "Callable[[], ChunkSymbols | LayeredSymbols]":
        """Return what returns the symbols of span `index`, which are unpacked already."""
        return partial(self.read, index)

    def read(self, index: int) -> "ChunkSymbols | LayeredSymbols":
        """Return the symbols of span `index`."""
        return self._symbols[index]


CropSymbols = LappedCrop | WholeChunksCrop


def take_crop(
    source: SymbolReader | LayeredReader, rate: Fraction | int, start: int, stop: int, *, read: ReadSpan | None = None
) -> CropSymbols:
    """Read what the samples `[start, stop)` need.

    Args:
        source: Symbols of an open file.
        rate: Output rate (Hz); more exactly the number of samples in a second of the encoded sound, whatever the speed.
        start: First sample at that rate.
        stop: One past the last, greater than `start` and at most the length of the sound.
        read: Reads a span in place of the source's own method: from a cache.

    Raises:
        FormatError: A chunk that is needed is missing or damaged.
    """
    reading = cast(ReadSpan, read or source.read)
    grid = rate * source.header.hop_seconds
    if isinstance(source, LayeredReader) or (spans := spans_around(source, grid, start, stop)) is None:
        return WholeChunksCrop(source, rate, start, stop, read=reading)
    config = source.model.config
    num_hops, window_start, window_stop = _window(source, grid, start, stop)
    num_segments = num_hops + 1 + 2 * config.refine_context
    weights, parts, attacks = [], [], []
    for index in spans:
        span = source.spans[index]
        symbols: ChunkSymbols = reading(index)
        here, there = max(window_start, span.first_segment), min(window_stop, span.stop_segment)
        weights.append(symbols.weights[:, here - span.first_segment : there - span.first_segment])
        parts.append(_part(symbols, source.header, span, here, there, num_segments, config.precision_context))
        attacks.append(symbols.attacks + np.array([0, span.first_segment * SLOTS_PER_HOP, 0], np.int32))
    return LappedCrop(
        model_id=source.header.model_id,
        grid=grid,
        start=start,
        num_samples=stop - start,
        num_hops=num_hops,
        gain=source.header.gain,
        window_start=window_start,
        weights=_narrowed(np.concatenate(weights, 1)),
        parts=tuple(parts),
        attacks=_attacks_within(np.concatenate(attacks), hop_of_sample(start, grid), num_hops),
    )


def spans_around(source: SymbolReader, grid: Fraction, start: int, stop: int) -> range | None:
    """Return the indices of the spans that a crop is taken out of; None if there can be none but of whole chunks.

    Args:
        source: Symbols of an open file.
        grid: Samples per hop of the output.
        start: First sample.
        stop: One past the last, greater than `start` and at most the length of the sound.
    """
    num_hops, window_start, window_stop = _window(source, grid, start, stop)
    spans = range(source.find(window_start), source.find(window_stop - 1) + 1)
    inner = (source.spans[index] for index in spans if 0 < index < len(source.spans) - 1)
    # Refinement looks no further than to the next chunk.
    context = source.model.config.refine_context
    is_too_short = any(span.stop_segment - span.first_segment <= context for span in inner)
    return None if num_hops > MAX_HOPS or is_too_short else spans


def _window(source: SymbolReader, grid: Fraction, start: int, stop: int) -> tuple[int, int, int]:
    """Return how many hops hold a range wherever it begins, and the segments `[start, stop)` of its window."""
    context = source.model.config.refine_context
    num_hops = int(-(-(stop - start) // grid)) + 1
    num_segments = num_hops + 1 + 2 * context
    total = source.spans[-1].stop_segment if source.spans else 0
    window_start = min(max(hop_of_sample(start, grid) - context, 0), max(total - num_segments, 0))
    return num_hops, window_start, min(window_start + num_segments, total)


def _part(
    symbols: ChunkSymbols, header: FileHeader, span: Span, here: int, there: int, num_segments: int, context: int
) -> ChunkPart:
    num_channels, num_rows = symbols.latent.shape[:2]
    around = -(-context // 2)
    wanted = (num_segments + 2) // 2 + 2 * around
    first = min(max((here - span.first_segment) // 2 - around, 0), max(num_rows - wanted, 0))
    angles = np.zeros(num_channels // 2, np.float32)
    angles[: len(symbols.rotations)] = symbols.rotations[:, 0] * ANGLE_STEP
    return ChunkPart(
        first_segment=span.first_segment + 2 * first,
        start_segment=here,
        stop_segment=there,
        latent=_narrowed(symbols.latent[:, first : first + wanted]),
        quality=(channel_qualities(symbols.rotations, header.quality, num_channels) / 100).astype(np.float32),
        is_stored=is_stored(symbols.rotations, num_channels),
        angles=angles,
    )


def _attacks_within(attacks: np.ndarray, first_hop: int, num_hops: int) -> np.ndarray:
    """Return the attacks [N, 3] in front of which the gain is raised within these hops."""
    first_slot, stop_slot = first_hop * SLOTS_PER_HOP, (first_hop + num_hops) * SLOTS_PER_HOP
    slots = attacks[:, 1]
    return attacks[(slots > first_slot) & (slots - ATTACK_LEAD_SLOTS < stop_slot)]


def _narrowed(symbols: np.ndarray) -> np.ndarray:
    """Return integers as a contiguous copy of the narrowest type that holds them."""
    lowest, highest = symbols.min(initial=0), symbols.max(initial=0)
    kind = next(kind for kind in _TYPES if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max)
    return np.array(symbols, kind, order="C")
