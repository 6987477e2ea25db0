"""Symbols in, samples out, for networks with hidden layers: each segment by itself, on any regular grid."""

from collections.abc import Iterator
from itertools import pairwise

import torch

from hscodec.codec.grid_decoder import GridDecoder
from hscodec.codec.pieces import MlpPiece, Piece, SilentPiece
from hscodec.codec.playback import Playback
from hscodec.codec.segment_weights import SegmentWeights
from hscodec.codec.stored_network import StoredNetwork
from hscodec.codec.symbols import Span, SymbolSource
from hscodec.coding.layered import LayeredSymbols
from hscodec.errors import FormatError
from hscodec.inr.coordinates import first_sample_of_hop
from hscodec.inr.segments import SegmentedMlp

_BLOCK_SECONDS = 4
"""Segments are rendered in blocks of about so much sound, at least one at a time."""


class MlpDecoder(GridDecoder[LayeredSymbols]):
    """Renders a file or a stream of networks with hidden layers on one regular grid.

    It is to them what `codec.decoder.Decoder` is to lapped SIRENs. Segments do not overlap and know nothing of one
    another, so any range is exactly the slice of the whole.

    Args:
        source: Symbols of the file's chunks.
        network: What they stand for, on `device`.
        playback: At which times the samples of the output sit; None keeps the file's rate.
        device: Where the networks run.
        keep_going: Render what is lost, gaps and damaged chunks, as silence instead of raising.

    Raises:
        FormatError: The file's segments do not have as many numbers as the network.
    """

    _segments_behind = 0

    def __init__(
        self,
        source: SymbolSource[LayeredSymbols],
        network: StoredNetwork,
        *,
        playback: Playback | None = None,
        device: torch.device,
        keep_going: bool = False,
    ) -> None:
        header = source.header
        if header.num_weights != network.num_stored:
            raise FormatError(
                f"the file has {header.num_weights} numbers per segment, its network has {network.num_stored}"
            )
        super().__init__(source, playback=playback, device=device)
        self._lost: list[tuple[int, int]] = []
        self._network = network
        self._target = SegmentedMlp(network.mlp)
        self._keep_going = keep_going
        self._block_segments = max(int(_BLOCK_SECONDS / header.hop_seconds), 1)
        self._last_read: tuple[int, torch.Tensor | None] | None = None

    @property
    def lost(self) -> list[tuple[int, int]]:
        """The segments `[start, stop)` that were met and could not be decoded, in order."""
        return self._lost

    def weights(self, start: int = 0, stop: int | None = None) -> SegmentWeights:
        """Return the weights of all segments that the samples `[start, stop)` are made of; see `GridDecoder`."""
        self._check_missing(start, stop)
        header = self.source.header
        end = self._clip(stop) or 0
        first, last = self._hop_at(start), self._hop_at(end - 1) + 1 if end > start else self._hop_at(start)
        parts = [torch.zeros(header.num_channels, 0, header.num_weights, device=self.device)]
        index = self.source.find(first)
        while (span := self.source.span(index)) is not None and span.first_segment < last:
            here, there = max(first, span.first_segment), min(last, span.stop_segment)
            numbers = self._stored(index, span)
            if numbers is None:
                numbers = parts[0].new_zeros(len(parts[0]), span.stop_segment - span.first_segment, header.num_weights)
            parts.append(numbers[:, here - span.first_segment : there - span.first_segment])
            index += 1
        stored = torch.cat(parts, 1)
        with torch.no_grad():
            theta = torch.stack([self._network.theta(channel) for channel in stored])
        return SegmentWeights(first, header.hop_seconds, stored, theta, self._target, header.gain)

    @torch.no_grad()
    def piece(self, hop: int) -> Piece:
        """Return the networks of a hop and of some around it; see `GridDecoder`."""
        index = self.source.find(hop)
        span = self.source.span(index)
        if span is None:
            raise FormatError("there is nothing to decode")
        inside = min(max(hop - span.first_segment, 0), span.stop_segment - span.first_segment - 1)
        start = inside // self._block_segments * self._block_segments
        num_segments = min(self._block_segments, span.stop_segment - span.first_segment - start)
        stored = self._stored(index, span)
        if stored is None:
            return SilentPiece(span.first_segment, span.stop_segment, self._silence(1))
        theta = tuple(self._network.theta(channel) for channel in stored[:, start : start + num_segments])
        return MlpPiece(span.first_segment + start, theta, self._target)

    def _forwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        position = start
        index = self.source.find(self._hop_at(start))
        while (span := self.source.span(index)) is not None:
            end = self._clip(stop)
            if end is not None and position >= end:
                return
            for block_start, block in self._span_blocks(index, span, position, end):
                # How long a stream is may have become known by looking for the span.
                wanted = block[:, max(position - block_start, 0) :]
                if wanted.shape[1]:
                    yield wanted
                    position = block_start + block.shape[1]
            index += 1
        yield from self._last_samples(position, start, stop)

    def _backwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        for block_start, block_stop in reversed(list(pairwise(self._seams(start, stop)))):
            if block_start < block_stop:
                yield self.read(block_start, block_stop).flip(1)

    def _seams(self, start: int, stop: int | None) -> list[int]:
        """Return samples at which blocks of `[start, stop)` may meet, in order, its two ends included."""
        end, seams = self._clip(stop) or start, [start]
        index = self.source.find(self._hop_at(start))
        while (span := self.source.span(index)) is not None:
            for segment in range(span.first_segment, span.stop_segment, self._block_segments):
                first = first_sample_of_hop(segment, self.grid)
                if first >= end:
                    return [*seams, end]
                if first > start:
                    seams.append(first)
            index += 1
        return [*seams, end]

    def _span_blocks(
        self, index: int, span: Span, position: int, end: int | None
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (first sample, samples) of consecutive segments of a span, those that reach into [position, end)."""
        first = max(span.first_segment, min(self._hop_at(position), span.stop_segment - 1))
        stored = self._stored(index, span)
        for segment in range(first, span.stop_segment, self._block_segments):
            stop_segment = min(segment + self._block_segments, span.stop_segment)
            block_start = first_sample_of_hop(segment, self.grid)
            block_stop = first_sample_of_hop(stop_segment, self.grid)
            if end is not None:
                block_stop = min(block_stop, end)
            if block_stop <= block_start:
                return
            part = slice(segment - span.first_segment, stop_segment - span.first_segment)
            samples = self._render(None if stored is None else stored[:, part], segment, block_stop - block_start)
            # Multiplied here, outside inference mode, so that what is handed out may take part in training.
            yield block_start, samples * self.source.header.gain

    @torch.inference_mode()
    def _render(self, stored: torch.Tensor | None, first_segment: int, num_samples: int) -> torch.Tensor:
        """Return the first samples [C, T] of consecutive segments; zeros where they are lost."""
        if stored is None:
            return self._silence(num_samples)
        theta = [self._network.theta(channel) for channel in stored]
        channels = [self._target.synthesize(row, self.grid, first_segment=first_segment) for row in theta]
        return torch.stack(channels)[:, :num_samples].float()

    def _stored(self, index: int, span: Span) -> torch.Tensor | None:
        """Return the numbers [C, S, K] that span `index` stores; None if it is lost. Those read last are kept."""
        if self._last_read is None or self._last_read[0] != index:
            self._last_read = index, self._load(index, span)
        return self._last_read[1]

    def _load(self, index: int, span: Span) -> torch.Tensor | None:
        try:
            symbols = self.source.read(index)
            if symbols.group_lengths != self._network.group_lengths:
                raise FormatError(f"chunk at segment {span.first_segment}: its layers are not those of the network")
        except FormatError:
            if not self._keep_going:
                raise
            self._lost.append((span.first_segment, span.stop_segment))
            return None
        return torch.from_numpy(symbols.values()).to(self.device)
