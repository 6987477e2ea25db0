"""Symbols in, samples out, for networks with hidden layers: each segment by itself, on any regular grid."""

from collections.abc import Iterator
from itertools import pairwise

import torch

from hscodec.codec.constants import MAX_CONCEALED_SECONDS
from hscodec.codec.pieces import MlpPiece, Piece, SilentPiece
from hscodec.codec.playback import Playback
from hscodec.codec.segment_weights import SegmentWeights
from hscodec.codec.stored_network import StoredNetwork
from hscodec.codec.symbols import Span, SymbolSource
from hscodec.coding.layered import LayeredSymbols
from hscodec.errors import FormatError
from hscodec.inr.coordinates import first_sample_of_hop, hop_of_sample
from hscodec.inr.segments import SegmentedMlp

_BLOCK_SECONDS = 4
"""Segments are rendered in blocks of about so much sound, at least one at a time."""


class MlpDecoder:
    """Renders a file or a stream of networks with hidden layers on one regular grid.

    It is to them what `codec.decoder.Decoder` is to lapped SIRENs. Segments do not overlap and know nothing of one
    another, so any range is exactly the slice of the whole.

    Args:
        source: Symbols of the file's chunks.
        network: What they stand for, on `device`.
        playback: At which times the samples of the output sit; None keeps the file's rate.
        device: Where the networks run.
        keep_going: Render what is lost, gaps and damaged chunks, as silence instead of raising.

    Attributes:
        playback: At which times the samples of the output sit.
        device: Where the networks run.
        lost: The segments `[start, stop)` that were met and could not be decoded, in order.

    Raises:
        FormatError: The file's segments do not have as many numbers as the network.
    """

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
        self.playback = playback or Playback.of(header.sample_rate)
        self.lost: list[tuple[int, int]] = []
        self._source = source
        self._network = network
        self._target = SegmentedMlp(network.mlp)
        self.device = device
        self._keep_going = keep_going
        self._grid = self.playback.samples_per_second * header.hop_seconds
        self._block_segments = max(int(_BLOCK_SECONDS / header.hop_seconds), 1)
        self._last_read: tuple[int, torch.Tensor | None] | None = None

    @property
    def num_samples(self) -> int | None:
        """Length of each channel of the output; None as long as a stream has not said it."""
        if self._source.num_samples is None:
            return None
        return self.playback.num_samples(self._source.num_samples, self._source.header.sample_rate)

    def blocks(self, start: int = 0, stop: int | None = None, *, reverse: bool = False) -> Iterator[torch.Tensor]:
        """Yield the samples `[start, stop)` as consecutive blocks, reading only the chunks that they need.

        Args:
            start: First sample of the output, at least 0.
            stop: One past the last sample; None is the end, and what is beyond the end is left out.
            reverse: Yield the same samples the last one first; not for a stream.

        Shape:
            yields: [C, T] float32, on the decoder's device, none empty

        Raises:
            FormatError: Something needed is lost and `keep_going` is not set, or more than `MAX_CONCEALED_SECONDS` are.
        """
        self._check_missing(start, stop)
        yield from self._backwards(start, stop) if reverse else self._forwards(start, stop)

    def read(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return the samples `[start, stop)`.

        Shape:
            returns: [C, T] float32, on the decoder's device

        Raises:
            FormatError: As `blocks`.
        """
        empty = torch.zeros(self._source.header.num_channels, 0, device=self.device)
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
        end = self._clip(stop) or 0
        first, last = self._hop_at(start), self._hop_at(end - 1) + 1 if end > start else self._hop_at(start)
        parts = [torch.zeros(header.num_channels, 0, header.num_weights, device=self.device)]
        index = self._source.find(first)
        while (span := self._source.span(index)) is not None and span.first_segment < last:
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
        """Return the networks of a hop and of some around it; not for a stream.

        Raises:
            FormatError: They are lost and `keep_going` is not set.
        """
        index = self._source.find(hop)
        span = self._source.span(index)
        if span is None:
            raise FormatError("there is nothing to decode")
        inside = min(max(hop - span.first_segment, 0), span.stop_segment - span.first_segment - 1)
        start = inside // self._block_segments * self._block_segments
        num_segments = min(self._block_segments, span.stop_segment - span.first_segment - start)
        stored = self._stored(index, span)
        if stored is None:
            silence = torch.zeros(self._source.header.num_channels, 1, device=self.device)
            return SilentPiece(span.first_segment, span.stop_segment, silence)
        theta = tuple(self._network.theta(channel) for channel in stored[:, start : start + num_segments])
        return MlpPiece(span.first_segment + start, theta, self._target)

    def _forwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        position = start
        index = self._source.find(self._hop_at(start))
        while (span := self._source.span(index)) is not None:
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
        end = self._clip(stop)
        if end is None or position > max(end, start):
            raise FormatError("the stream is longer than its trailer says; decode it from a file")
        if position < end:  # at the file's rate all samples are covered, at another the last one may round up
            yield torch.zeros(self._source.header.num_channels, end - position, device=self.device)

    def _backwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        for block_start, block_stop in reversed(list(pairwise(self._seams(start, stop)))):
            if block_start < block_stop:
                yield self.read(block_start, block_stop).flip(1)

    def _seams(self, start: int, stop: int | None) -> list[int]:
        """Return samples at which blocks of `[start, stop)` may meet, in order, its two ends included."""
        end, seams = self._clip(stop) or start, [start]
        index = self._source.find(self._hop_at(start))
        while (span := self._source.span(index)) is not None:
            for segment in range(span.first_segment, span.stop_segment, self._block_segments):
                first = first_sample_of_hop(segment, self._grid)
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
            block_start = first_sample_of_hop(segment, self._grid)
            block_stop = first_sample_of_hop(stop_segment, self._grid)
            if end is not None:
                block_stop = min(block_stop, end)
            if block_stop <= block_start:
                return
            part = slice(segment - span.first_segment, stop_segment - span.first_segment)
            samples = self._render(None if stored is None else stored[:, part], segment, block_stop - block_start)
            # Multiplied here, outside inference mode, so that what is handed out may take part in training.
            yield block_start, samples * self._source.header.gain

    @torch.inference_mode()
    def _render(self, stored: torch.Tensor | None, first_segment: int, num_samples: int) -> torch.Tensor:
        """Return the first samples [C, T] of consecutive segments; zeros where they are lost."""
        if stored is None:
            return torch.zeros(self._source.header.num_channels, num_samples, device=self.device)
        theta = [self._network.theta(channel) for channel in stored]
        channels = [self._target.synthesize(row, self._grid, first_segment=first_segment) for row in theta]
        return torch.stack(channels)[:, :num_samples].float()

    def _stored(self, index: int, span: Span) -> torch.Tensor | None:
        """Return the numbers [C, S, K] that span `index` stores; None if it is lost. Those read last are kept."""
        if self._last_read is None or self._last_read[0] != index:
            self._last_read = index, self._load(index, span)
        return self._last_read[1]

    def _load(self, index: int, span: Span) -> torch.Tensor | None:
        try:
            symbols = self._source.read(index)
            if symbols.group_lengths != self._network.group_lengths:
                raise FormatError(f"chunk at segment {span.first_segment}: its layers are not those of the network")
        except FormatError:
            if not self._keep_going:
                raise
            self.lost.append((span.first_segment, span.stop_segment))
            return None
        return torch.from_numpy(symbols.values()).to(self.device)

    def _clip(self, stop: int | None) -> int | None:
        return min((limit for limit in (stop, self.num_samples) if limit is not None), default=None)

    def _hop_at(self, sample: int) -> int:
        """Return the hop, and so the segment, that a sample of the output sits in."""
        return hop_of_sample(sample, self._grid)

    def _check_missing(self, start: int, stop: int | None) -> None:
        end = self._clip(stop)
        if end is None:
            return
        num_missing = self._source.num_missing(self._hop_at(start), self._hop_at(end) + 1)
        if num_missing * self._source.header.hop_seconds > MAX_CONCEALED_SECONDS:
            limit = f"more than {MAX_CONCEALED_SECONDS / 3600:g} h of sound is missing"
            raise FormatError(f"{limit}; choose a range to decode what is left around it")
