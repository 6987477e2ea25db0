"""Symbols in, samples out: refinement with the segments around as context, target networks on any regular grid."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from itertools import chain, islice
from typing import TypeAlias

import numpy as np
import torch

from hscodec.codec.constants import SLICE_SEGMENTS
from hscodec.codec.grid_decoder import GridDecoder
from hscodec.codec.loading import Around, Pending, SpanLoader
from hscodec.codec.pieces import LappedPiece
from hscodec.codec.playback import Playback
from hscodec.codec.prepared import Prepared, join, refined
from hscodec.codec.segment_weights import SegmentWeights, counted_from_start
from hscodec.codec.symbols import Span, SymbolSource
from hscodec.codec.workers import ahead, default_workers, one_torch_thread, worker_pool
from hscodec.coding.attacks import no_attacks
from hscodec.coding.payload import ChunkSymbols
from hscodec.errors import FormatError
from hscodec.inr.coordinates import first_sample_of_hop
from hscodec.inr.envelope import lowered
from hscodec.inr.lapped import LappedSiren
from hscodec.inr.rotation import rotated
from hscodec.model import Hypernetwork
from hscodec.registry import Model

_Slice: TypeAlias = tuple[int, Span, int, int, bool]
"""Index and span, segments [first, last), whether it is the end."""


class Decoder(GridDecoder[ChunkSymbols]):
    """Renders a file or a stream on one regular grid.

    Chunks are rendered in slices of at most `SLICE_SEGMENTS` segments. Each slice is refined in a window of its own,
    with the segments around it, in its own chunk and the two beside it, as context. What it decodes to therefore does
    not depend on where decoding started: a range is exactly the slice of the whole.

    Args:
        source: Symbols of the file's chunks.
        model: The model that the file names.
        playback: At which times the samples of the output sit; None keeps the file's rate.
        device: Where the networks run.
        keep_going: Render what is lost, gaps and damaged chunks, as silence into which the sound fades, instead of
            raising. Refinement of the segments around then does without that context.
        workers: Threads that decode slices of one range side by side, on the CPU; None is as many as torch would use.
            They do not change what comes out. A stream is decoded by one, so that nothing of it is waited for.
    """

    _segments_behind = 1

    def __init__(
        self,
        source: SymbolSource[ChunkSymbols],
        model: Model,
        *,
        playback: Playback | None = None,
        device: torch.device,
        keep_going: bool = False,
        workers: int | None = None,
    ) -> None:
        super().__init__(source, playback=playback, device=device)
        self._network = model.network(device)
        self._loader = SpanLoader(source, self._network, device=device, keep_going=keep_going)
        self._context = model.config.refine_context
        self._target = LappedSiren(source.header.num_weights)
        self._workers = workers or default_workers()
        if device.type != "cpu" or source.is_live:
            self._workers = 1

    @property
    def lost(self) -> list[tuple[int, int]]:
        """The segments `[start, stop)` that were met and could not be decoded, in order."""
        return self._loader.lost

    @property
    def network(self) -> Hypernetwork:
        """The model's networks, on the decoder's device."""
        return self._network

    @property
    def context(self) -> int:
        """Segments on either side that refinement looks at."""
        return self._context

    def weights(self, start: int = 0, stop: int | None = None) -> SegmentWeights:
        """Return the weights of all segments that the samples `[start, stop)` are made of; see `GridDecoder`."""
        self._check_missing(start, stop)
        header = self.source.header
        none = torch.zeros(header.num_channels, 0, header.num_weights, device=self.device)
        stored, theta = [none], [none]
        attacks: dict[int, np.ndarray] = {}
        first, begin = self._hop_at(start), self._hop_at(start)
        for index, span, slice_start, slice_stop, _ in self._slices(start, stop):
            with one_torch_thread(), torch.inference_mode():
                around = self._loader.around(index)
                theta_here = self._theta(around, span, slice_start, slice_stop)
                # The first of these is the last of the slice before, where there was one.
                again = 0 if len(theta) == 1 else 1
                begin = begin if again else max(slice_start - 1, 0)
                theta.append(theta_here[:, again:])
                stored.append(self._dequantized(around, slice_stop - theta_here.shape[1], slice_stop)[:, again:])
            if around[1] is not None:
                attacks[index] = counted_from_start(around[1].attacks, span.first_segment)
        end = self._clip(stop) or 0
        cut = slice(first - begin, self._hop_at(end - 1) + 2 - begin if end > start else first - begin)
        return SegmentWeights(
            first,
            header.hop_seconds,
            # Copied outside inference mode, so that what is handed out may take part in training.
            stored=torch.cat(stored, 1)[:, cut].clone(),
            theta=torch.cat(theta, 1)[:, cut].clone(),
            target=self._target,
            gain=header.gain,
            attacks=np.concatenate([no_attacks(), *attacks.values()]),
        )

    def piece(self, hop: int) -> LappedPiece:
        """Return the refined networks of a hop and of those that are rendered with it; see `GridDecoder`."""
        index = self.source.find(hop + 1)
        span = self.source.span(index)
        if span is None:
            raise FormatError("there is nothing to decode")
        first = _slice_start(span, hop + 1)
        last = min(first + SLICE_SEGMENTS, span.stop_segment)
        is_end = last == span.stop_segment and self.source.span(index + 1) is None
        with one_torch_thread(), torch.inference_mode():
            around = self._loader.around(index)
            theta = self._refined(around, span, first, last, is_end)
        attacks = no_attacks() if around[1] is None else around[1].attacks
        return LappedPiece(max(first - 1, 0), theta, attacks, span.first_segment)

    def _forwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        position = start
        with contextlib.closing(self._rendered(self._slices(start, stop))) as slices:
            for place, render in slices:
                # Looking for the next span may have told how long a stream is, so the end is looked up each time.
                stop_here = self._clip(stop)
                block_start, block_stop = self._samples_of(place)
                if stop_here is not None:
                    block_stop = min(block_stop, stop_here)
                if position < block_stop:
                    block = render()
                    # Multiplied here, outside inference mode, so that what is handed out may take part in training.
                    yield block[:, position - block_start : block_stop - block_start] * self.source.header.gain
                    position = block_stop
        yield from self._last_samples(position, start, stop)

    def _backwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        position = self._clip(stop) or start
        with contextlib.closing(self._rendered(reversed(list(self._slices(start, stop))))) as slices:
            for place, render in slices:
                block_start, block_stop = self._samples_of(place)
                covered = max(block_stop, start)
                if covered < position:
                    yield self._silence(position - covered)
                    position = covered
                first = max(block_start, start)
                if first < position:
                    block = render()[:, first - block_start : position - block_start]
                    yield block.flip(1) * self.source.header.gain
                    position = first
        if start < position:
            yield self._silence(position - start)

    def _samples_of(self, place: _Slice) -> tuple[int, int]:
        """Return the samples `[start, stop)` of the hops that a slice renders."""
        _, _, first, last, is_end = place
        return first_sample_of_hop(max(first - 1, 0), self.grid), first_sample_of_hop(
            last if is_end else last - 1, self.grid
        )

    def _rendered(self, slices: Iterator[_Slice]) -> Generator[tuple[_Slice, Callable[[], torch.Tensor]], None, None]:
        """Yield slices, each with a function that returns its samples."""
        first_two = list(islice(slices, 2)) if self._workers > 1 else []
        if len(first_two) < 2:  # there is nothing that could be done side by side
            for place in chain(first_two, slices):
                yield place, partial(self._render, *place)
            return
        with worker_pool(self._workers) as pool:
            for place, around, samples in ahead(self._begun(pool, chain(first_two, slices)), self._workers + 1):
                yield place, partial(self._finished, place, around, samples)

    def _begun(
        self, pool: Executor, slices: Iterable[_Slice]
    ) -> Iterator[tuple[_Slice, Pending, Future[torch.Tensor]]]:
        """Yield slices of which a pool has begun to render the samples; only this thread reads the file."""
        begun: dict[int, Future[Prepared | None]] = {}
        for place in slices:
            # The pool begins what a slice waits for before the slice itself, so there is always one that need not wait.
            around = self._loader.begin(pool, place[0], begun)
            yield place, around, pool.submit(self._render_pending, around, *place[1:])

    def _finished(self, place: _Slice, around: Pending, samples: Future[torch.Tensor]) -> torch.Tensor:
        """Wait for the samples of a slice, and note what was lost around it."""
        result = samples.result()
        self._loader.note_lost(place[0], around)
        return result

    def _slices(self, start: int, stop: int | None) -> Iterator[_Slice]:
        """Yield the slices that render `[start, stop)`: index and span, segments [first, last), whether it is the end.

        The slice [first, last) renders the hops [first - 1, last - 1), each with the segments on either side of it.
        """
        start_segment = self._hop_at(start) + 1
        index = self.source.find(start_segment)
        while (span := self.source.span(index)) is not None:
            is_last_span = self.source.span(index + 1) is None
            # Only in the first span there is something to skip. The last segment of all renders the hop behind it, too.
            for first in range(_slice_start(span, start_segment), span.stop_segment, SLICE_SEGMENTS):
                last = min(first + SLICE_SEGMENTS, span.stop_segment)
                end = self._clip(stop)
                if end is not None and end <= max(start, first_sample_of_hop(max(first - 1, 0), self.grid)):
                    return
                is_end = is_last_span and last == span.stop_segment
                yield index, span, first, last, is_end
            index += 1

    def _render(self, index: int, span: Span, first: int, last: int, is_end: bool) -> torch.Tensor:
        """Return the samples [C, T] of the hops [first - 1, last - 1), and of the last hop of all if `is_end`."""
        with one_torch_thread():  # as the threads of a pool do
            return self._render_prepared(self._loader.around(index), span, first, last, is_end)

    def _render_pending(self, around: Pending, span: Span, first: int, last: int, is_end: bool) -> torch.Tensor:
        """Return what `_render` returns, once all that it needs is there."""
        present = [None if part is None else part.result() for part in around]
        return self._render_prepared(present, span, first, last, is_end)

    @torch.inference_mode()
    def _render_prepared(self, around: Around, span: Span, first: int, last: int, is_end: bool) -> torch.Tensor:
        """Return what `_render` returns, from what the span and the two beside it hold."""
        theta = self._refined(around, span, first, last, is_end)
        # Channel by channel: at high rates the samples, not the weights, are what fills the memory.
        start = max(first - 1, 0)
        channels = [self._target.synthesize(row, self.grid, first_segment=start) for row in theta]
        samples = torch.stack(channels)
        if around[1] is None:
            return samples
        first_sample = first_sample_of_hop(start, self.grid)
        return lowered(samples, around[1].attacks, self.grid, origin=span.first_segment, start=first_sample)

    def _refined(self, around: Around, span: Span, first: int, last: int, is_end: bool) -> torch.Tensor:
        """Return the refined weights [C, S, K] on either side of the hops that a slice renders."""
        theta = self._theta(around, span, first, last)
        # The very last hop has no segment behind it.
        return torch.nn.functional.pad(theta, (0, 0, 0, 1)) if is_end else theta

    def _theta(self, around: Around, span: Span, first: int, last: int) -> torch.Tensor:
        """Return the refined weights [C, S, K] of the segments [first - 1, last) of a span; zeros where they are lost.

        Args:
            around: What the span and the two beside it hold.
            span: The span.
            first: First segment of the slice.
            last: One past its last segment.
        """
        start = max(first - 1, 0)
        header = self.source.header
        theta = torch.zeros(header.num_channels, last - start, header.num_weights, device=self.device)
        if around[1] is None:  # only the segment in front of what is lost may be there; the sound fades with it
            around = [around[0]] if first == span.first_segment else []
        window = join([part.slice(start - self._context, last + self._context) for part in around if part])
        if window is None:
            return theta
        here, stop = max(start, window.first_segment), min(last, window.stop_segment)
        margins = here - window.first_segment, window.stop_segment - stop
        (theta[:, here - start : stop - start],) = refined(self._network, [window], margins)
        return theta

    def _dequantized(self, around: Around, first: int, stop: int) -> torch.Tensor:
        """Return the stored weights [C, S, K] of segments of a span and of the one in front of it, zeros if lost."""
        header = self.source.header
        weights = torch.zeros(header.num_channels, stop - first, header.num_weights, device=self.device)
        for prepared in around[:2]:
            if prepared is not None:
                part = prepared.slice(first, stop)
                values = self._network.dequantize(part.symbols, part.precision)
                here = slice(part.first_segment - first, part.stop_segment - first)
                weights[:, here] = rotated(values, -part.angles)
        return weights


def _slice_start(span: Span, segment: int) -> int:
    """Return the first segment of the slice of a span that holds `segment`, or of the one nearest to it."""
    inside = min(max(segment, span.first_segment), span.stop_segment - 1) - span.first_segment
    return span.first_segment + inside // SLICE_SEGMENTS * SLICE_SEGMENTS
