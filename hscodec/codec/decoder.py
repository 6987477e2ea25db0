"""Symbols in, samples out: refinement with the segments around as context, target networks on any regular grid."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from hscodec.codec.constants import MAX_CONCEALED_SECONDS, SLICE_SEGMENTS
from hscodec.codec.pairs import chunk_angles
from hscodec.codec.pieces import LappedPiece
from hscodec.codec.playback import Playback
from hscodec.codec.segment_weights import SegmentWeights, counted_from_start
from hscodec.codec.symbols import Span, SymbolSource
from hscodec.coding.attacks import no_attacks
from hscodec.coding.payload import ChunkSymbols
from hscodec.coding.rotations import channel_qualities, is_stored
from hscodec.errors import FormatError
from hscodec.inr.coordinates import first_sample_of_hop
from hscodec.inr.envelope import lowered
from hscodec.inr.lapped import LappedSiren
from hscodec.inr.rotation import rotated
from hscodec.model import Precision
from hscodec.registry import Model


@dataclass(frozen=True)
class _Prepared:
    """Symbols and precision of consecutive segments, on the device: what refinement of them and their context needs.

    The attacks are those of a whole chunk; a slice or a window of several chunks has none.

    Shape:
        quality: [C, S], of each channel in each segment
        angles: [C // 2, S], by which pairs of channels were rotated (radians)
        is_stored: [C, S], 0 where a channel's symbols are not stored, else 1
    """

    first_segment: int
    symbols: torch.Tensor
    precision: Precision
    quality: torch.Tensor
    angles: torch.Tensor
    is_stored: torch.Tensor
    attacks: np.ndarray = field(default_factory=no_attacks)

    @property
    def stop_segment(self) -> int:
        return self.first_segment + self.symbols.shape[1]

    def slice(self, start: int, stop: int) -> "_Prepared":
        """Return the segments [start, stop), counted in the stream, as far as they are here."""
        first = min(max(start, self.first_segment), self.stop_segment)
        cut = slice(first - self.first_segment, max(stop - self.first_segment, 0))
        precision = Precision(self.precision.step[:, cut], self.precision.features[:, cut])
        mixing = self.quality[:, cut], self.angles[:, cut], self.is_stored[:, cut]
        return _Prepared(first, self.symbols[:, cut], precision, *mixing)


class Decoder:
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

    Attributes:
        playback: At which times the samples of the output sit.
        lost: The segments `[start, stop)` that were met and could not be decoded, in order.
    """

    def __init__(
        self,
        source: SymbolSource[ChunkSymbols],
        model: Model,
        *,
        playback: Playback | None = None,
        device: torch.device,
        keep_going: bool = False,
    ) -> None:
        header = source.header
        self.playback = playback or Playback.of(header.sample_rate)
        self.lost: list[tuple[int, int]] = []
        self._source = source
        self._network = model.network(device)
        self._device = device
        self._keep_going = keep_going
        self._context = model.config.refine_context
        self._target = LappedSiren(header.num_weights)
        self._grid = self.playback.samples_per_second * header.hop_seconds
        self._prepared: dict[int, _Prepared | None] = {}

    @property
    def num_samples(self) -> int | None:
        """Length of each channel of the output; None as long as a stream has not said it."""
        if self._source.num_samples is None:
            return None
        return self.playback.num_samples(self._source.num_samples, self._source.header.sample_rate)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[torch.Tensor]:
        """Yield the samples `[start, stop)` as consecutive blocks, reading only the chunks that they need.

        Args:
            start: First sample of the output, at least 0.
            stop: One past the last sample; None is the end, and what is beyond the end is left out.

        Shape:
            yields: [C, T] float32, on the decoder's device, none empty

        Raises:
            FormatError: Something needed is lost and `keep_going` is not set, or more than `MAX_CONCEALED_SECONDS` are.
        """
        position = start
        self._check_missing(start, stop)
        for index, span, first, last, is_end in self._slices(start, stop):
            # Looking for the next span may have told how long a stream is, so the end is looked up each time.
            stop_here = self._clip(stop)
            block_start = first_sample_of_hop(max(first - 1, 0), self._grid)
            block_stop = first_sample_of_hop(last if is_end else last - 1, self._grid)
            if stop_here is not None:
                block_stop = min(block_stop, stop_here)
            if position < block_stop:
                block = self._render(index, span, first, last, is_end)
                # Multiplied here, outside inference mode, so that what is handed out may take part in training.
                yield block[:, position - block_start : block_stop - block_start] * self._source.header.gain
                position = block_stop
        end = self._clip(stop)
        if end is None or position > max(end, start):
            raise FormatError("the stream is longer than its trailer says; decode it from a file")
        if position < end:  # at the file's rate all samples are covered, at another the last one may round up
            yield torch.zeros(self._source.header.num_channels, end - position, device=self._device)

    def read(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return the samples `[start, stop)`.

        Shape:
            returns: [C, T] float32, on the decoder's device

        Raises:
            FormatError: As `blocks`.
        """
        empty = torch.zeros(self._source.header.num_channels, 0, device=self._device)
        return torch.cat([empty, *self.blocks(start, stop)], 1)

    def weights(self, start: int = 0, stop: int | None = None) -> SegmentWeights:
        """Return the weights of all segments that the samples `[start, stop)` are made of.

        Args:
            start: First sample of the output, at least 0.
            stop: One past the last sample; None is the end, and what is beyond the end is left out.

        Raises:
            FormatError: As `blocks`.
        """
        self._check_missing(start, stop)
        header = self._source.header
        none = torch.zeros(header.num_channels, 0, header.num_weights, device=self._device)
        stored, theta = [none], [none]
        attacks: dict[int, np.ndarray] = {}
        first, begin = self._hop_at(start), self._hop_at(start)
        for index, span, slice_start, slice_stop, _ in self._slices(start, stop):
            with torch.inference_mode():
                refined = self._refined(index, span, slice_start, slice_stop)
                # The first of these is the last of the slice before, where there was one.
                again = 0 if len(theta) == 1 else 1
                begin = begin if again else max(slice_start - 1, 0)
                theta.append(refined[:, again:])
                stored.append(self._dequantized(index, slice_stop - refined.shape[1], slice_stop)[:, again:])
            if (prepared := self._prepared[index]) is not None:
                attacks[index] = counted_from_start(prepared.attacks, span.first_segment)
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

    def seams(self, start: int = 0, stop: int | None = None) -> list[int]:
        """Return the samples at which the blocks of `[start, stop)` meet, in order, its two ends included.

        What lies between two of them is rendered at once. Not for a stream that has not said its length.

        Raises:
            FormatError: More than `MAX_CONCEALED_SECONDS` are missing.
        """
        self._check_missing(start, stop)
        firsts = [first_sample_of_hop(max(first - 1, 0), self._grid) for _, _, first, *_ in self._slices(start, stop)]
        return [start, *(first for first in firsts if first > start), self._clip(stop) or start]

    def piece(self, hop: int) -> LappedPiece:
        """Return the refined networks of a hop and of those that are rendered with it; not for a stream.

        Raises:
            FormatError: Something needed is lost and `keep_going` is not set.
        """
        index = self._source.find(hop + 1)
        span = self._source.span(index)
        if span is None:
            raise FormatError("there is nothing to decode")
        first = _slice_start(span, hop + 1)
        last = min(first + SLICE_SEGMENTS, span.stop_segment)
        is_end = last == span.stop_segment and self._source.span(index + 1) is None
        theta = self._refined(index, span, first, last, is_end)
        prepared = self._prepared[index]
        attacks = no_attacks() if prepared is None else prepared.attacks
        return LappedPiece(max(first - 1, 0), theta, attacks, span.first_segment)

    def _clip(self, stop: int | None) -> int | None:
        return min((limit for limit in (stop, self.num_samples) if limit is not None), default=None)

    def _slices(self, start: int, stop: int | None) -> Iterator[tuple[int, Span, int, int, bool]]:
        """Yield the slices that render `[start, stop)`: index and span, segments [first, last), whether it is the end.

        The slice [first, last) renders the hops [first - 1, last - 1), each with the segments on either side of it.
        """
        start_segment = self._hop_at(start) + 1
        index = self._source.find(start_segment)
        while (span := self._source.span(index)) is not None:
            is_last_span = self._source.span(index + 1) is None
            # Only in the first span there is something to skip. The last segment of all renders the hop behind it, too.
            for first in range(_slice_start(span, start_segment), span.stop_segment, SLICE_SEGMENTS):
                last = min(first + SLICE_SEGMENTS, span.stop_segment)
                end = self._clip(stop)
                if end is not None and end <= max(start, first_sample_of_hop(max(first - 1, 0), self._grid)):
                    return
                is_end = is_last_span and last == span.stop_segment
                yield index, span, first, last, is_end
            index += 1

    def _hop_at(self, sample: int) -> int:
        """Return the hop that a sample of the output sits in."""
        return int((sample + Fraction(1, 2)) / self._grid)

    def _check_missing(self, start: int, stop: int | None) -> None:
        end = self._clip(stop)
        if end is None:
            return
        num_missing = self._source.num_missing(self._hop_at(start) + 1, self._hop_at(end) + 2)
        if num_missing * self._source.header.hop_seconds > MAX_CONCEALED_SECONDS:
            limit = f"more than {MAX_CONCEALED_SECONDS / 3600:g} h of sound is missing"
            raise FormatError(f"{limit}; choose a range to decode what is left around it")

    @torch.inference_mode()
    def _render(self, index: int, span: Span, first: int, last: int, is_end: bool) -> torch.Tensor:
        """Return the samples [C, T] of the hops [first - 1, last - 1), and of the last hop of all if `is_end`."""
        theta = self._refined(index, span, first, last, is_end)
        # Channel by channel: at high rates the samples, not the weights, are what fills the memory.
        start = max(first - 1, 0)
        channels = [self._target.synthesize(row, self._grid, first_segment=start) for row in theta]
        samples = torch.stack(channels)
        prepared = self._prepared[index]
        if prepared is None:
            return samples
        first_sample = first_sample_of_hop(start, self._grid)
        return lowered(samples, prepared.attacks, self._grid, origin=span.first_segment, start=first_sample)

    @torch.inference_mode()
    def _refined(self, index: int, span: Span, first: int, last: int, is_end: bool = False) -> torch.Tensor:
        """Return the refined weights [C, S, K] on either side of the hops that a slice renders."""
        # Spans are met in order: those that are not beside this one are not needed any more.
        self._prepared = {i: p for i, p in self._prepared.items() if abs(i - index) <= 1}
        theta = self._theta(index, span, first, last)
        # The very last hop has no segment behind it.
        return torch.nn.functional.pad(theta, (0, 0, 0, 1)) if is_end else theta

    def _theta(self, index: int, span: Span, first: int, last: int) -> torch.Tensor:
        """Return the refined weights [C, S, K] of the segments [first - 1, last); zeros where they are lost."""
        start = max(first - 1, 0)
        header = self._source.header
        theta = torch.zeros(header.num_channels, last - start, header.num_weights, device=self._device)
        around = [self._prepare(i) for i in (index - 1, index, index + 1)]
        if around[1] is None:  # only the segment in front of what is lost may be there; the sound fades with it
            around = [around[0]] if first == span.first_segment else []
        window = _join([part.slice(start - self._context, last + self._context) for part in around if part])
        if window is None:
            return theta
        refined = self._network.refine(window.symbols, window.precision, window.quality)
        refined = rotated(refined * window.is_stored[..., None], -window.angles)
        here, stop = max(start, window.first_segment), min(last, window.stop_segment)
        theta[:, here - start : stop - start] = refined[:, here - window.first_segment : stop - window.first_segment]
        return theta

    def _dequantized(self, index: int, first: int, stop: int) -> torch.Tensor:
        """Return the stored weights [C, S, K] of segments of span `index` and the one in front of it, zeros if lost."""
        header = self._source.header
        weights = torch.zeros(header.num_channels, stop - first, header.num_weights, device=self._device)
        for prepared in (self._prepare(index - 1), self._prepare(index)):
            if prepared is not None:
                part = prepared.slice(first, stop)
                values = self._network.dequantize(part.symbols, part.precision)
                here = slice(part.first_segment - first, part.stop_segment - first)
                weights[:, here] = rotated(values, -part.angles)
        return weights

    def _prepare(self, index: int) -> _Prepared | None:
        """Return what span `index` holds; None if there is no such span, or if it is lost."""
        if index not in self._prepared:
            span = self._source.span(index) if index >= 0 else None
            self._prepared[index] = None if span is None else self._load(index, span)
        return self._prepared[index]

    def _load(self, index: int, span: Span) -> _Prepared | None:
        try:
            symbols = self._source.read(index)
        except FormatError:
            if not self._keep_going:
                raise
            self._note_lost(span)
            return None
        latent = torch.from_numpy(symbols.latent).to(self._device)
        weights = torch.from_numpy(symbols.weights).to(self._device)
        num_channels, num_segments = weights.shape[:2]
        qualities = channel_qualities(symbols.rotations, self._source.header.quality, num_channels) / 100
        quality = torch.from_numpy(qualities.astype(np.float32)).to(self._device)
        stored = torch.from_numpy(is_stored(symbols.rotations, num_channels)).to(self._device)
        return _Prepared(
            span.first_segment,
            weights,
            self._network.decode_precision(latent, quality),
            quality[:, None].expand(-1, num_segments),
            chunk_angles(symbols.rotations, num_channels, num_segments).to(self._device),
            stored[:, None].expand(-1, num_segments),
            symbols.attacks,
        )

    def _note_lost(self, span: Span) -> None:
        lost = (span.first_segment, span.stop_segment)
        if lost not in self.lost[-3:]:  # decoding goes in one direction, so spans are met again only soon
            self.lost.append(lost)


def _slice_start(span: Span, segment: int) -> int:
    """Return the first segment of the slice of a span that holds `segment`, or of the one nearest to it."""
    inside = min(max(segment, span.first_segment), span.stop_segment - 1) - span.first_segment
    return span.first_segment + inside // SLICE_SEGMENTS * SLICE_SEGMENTS


def _join(parts: list[_Prepared]) -> _Prepared | None:
    """Return consecutive parts as one; None if there are no segments in them."""
    parts = [part for part in parts if part.symbols.shape[1]]
    if not parts:
        return None
    return _Prepared(
        parts[0].first_segment,
        torch.cat([part.symbols for part in parts], 1),
        Precision(
            torch.cat([part.precision.step for part in parts], 1),
            torch.cat([part.precision.features for part in parts], 1),
        ),
        torch.cat([part.quality for part in parts], 1),
        torch.cat([part.angles for part in parts], 1),
        torch.cat([part.is_stored for part in parts], 1),
    )
