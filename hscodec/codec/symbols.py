"""From a container to the integers of its chunks, checked against their digests; torch is not needed."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hscodec.coding.order import Order
from hscodec.coding.payload import ChunkSymbols, unpack
from hscodec.container.format import FileHeader, TargetNetwork
from hscodec.container.reader import Chunk, ChunkEntry, ChunkStream, ContainerReader
from hscodec.errors import FormatError, ModelError
from hscodec.rates import HOP_SECONDS, MAX_CHANNELS
from hscodec.registry import Model


@dataclass(frozen=True, slots=True)
class Span:
    """The segments `[first_segment, stop_segment)`: those of one chunk, or of a gap where chunks are missing.

    Attributes:
        first_segment: Segments before it.
        stop_segment: One past its last segment.
        chunk: Index of the chunk in the container; None in a gap.
    """

    first_segment: int
    stop_segment: int
    chunk: int | None


class SymbolSource(Protocol):
    """What a decoder reads: spans that follow one another from segment 0 on without a hole, and their symbols."""

    @property
    def header(self) -> FileHeader:
        """The file's header."""
        ...

    @property
    def num_samples(self) -> int | None:
        """Length of each channel at the file's rate; None as long as a stream has not said it."""
        ...

    def span(self, index: int) -> Span | None:
        """Return span `index`, or None behind the last one."""
        ...

    def find(self, segment: int) -> int:
        """Return the index of the span that holds `segment`."""
        ...

    def num_missing(self, first: int, stop: int) -> int:
        """Return how many of the segments `[first, stop)` lie in gaps."""
        ...

    def read(self, index: int) -> ChunkSymbols:
        """Return the symbols of span `index`.

        Raises:
            FormatError: It is a gap, or its chunk is damaged: checksum, payload or symbol digest are wrong.
        """
        ...


class SymbolReader:
    """Random access to the symbols of a file.

    Args:
        container: The open container.
        model: The model that the file names.

    Raises:
        ModelError: The file was made with another model.
        FormatError: The file's target network is not one that this model renders, or it has too many channels.

    Attributes:
        spans: The chunks and the gaps between them, in order.
    """

    def __init__(self, container: ContainerReader, model: Model) -> None:
        check_fit(container.header, model)
        self._container = container
        self._model = model
        self.spans = _spans(container.chunks)
        self._gaps = [span for span in self.spans if span.chunk is None]

    @property
    def header(self) -> FileHeader:
        """The file's header."""
        return self._container.header

    @property
    def num_samples(self) -> int:
        """Length of each channel at the file's rate."""
        return self._container.num_samples

    def span(self, index: int) -> Span | None:
        """Return span `index`, or None behind the last one."""
        return self.spans[index] if index < len(self.spans) else None

    def find(self, segment: int) -> int:
        """Return the index of the span that holds `segment`."""
        return max(bisect_right(self.spans, segment, key=lambda span: span.first_segment) - 1, 0)

    def num_missing(self, first: int, stop: int) -> int:
        """Return how many of the segments `[first, stop)` lie in gaps."""
        gaps = (span for span in self._gaps if span.first_segment < stop and span.stop_segment > first)
        return sum(min(span.stop_segment, stop) - max(span.first_segment, first) for span in gaps)

    def read(self, index: int) -> ChunkSymbols:
        """Return the symbols of span `index`.

        Raises:
            FormatError: It is a gap, or its chunk is damaged: checksum, payload or symbol digest are wrong.
        """
        span = self.spans[index]
        if span.chunk is None:
            raise FormatError(f"segments {span.first_segment} to {span.stop_segment}: chunks are missing")
        return checked_symbols(self._container.read_chunk(span.chunk), self.header, self._model)


class SymbolStream:
    """The symbols of a stream that cannot seek. Spans are read in order; the last one and the one before it are kept.

    Args:
        stream: The chunks, none of them taken yet.
        model: The model that the stream names.

    Raises:
        ModelError: The stream was made with another model.
        FormatError: As `SymbolReader`; from `span` and `read`, if the stream is damaged or truncated.
    """

    def __init__(self, stream: ChunkStream, model: Model) -> None:
        check_fit(stream.header, model)
        self._stream = stream
        self._model = model
        self._chunks: dict[int, Chunk] = {}
        self._num_taken = 0
        self._is_at_end = False

    @property
    def header(self) -> FileHeader:
        """The stream's header."""
        return self._stream.header

    @property
    def num_samples(self) -> int | None:
        """Length of each channel at the file's rate; None until the end was read, if the header does not say it."""
        return self._stream.num_samples

    def span(self, index: int) -> Span | None:
        """Return span `index`, or None behind the last one; reads as far as necessary."""
        while index >= self._num_taken and not self._is_at_end:
            self._take()
        if index >= self._num_taken:
            return None
        header = self._chunks[index].header
        return Span(header.first_segment, header.stop_segment, index)

    def find(self, segment: int) -> int:
        """Return 0: a stream is decoded from its start."""
        if segment > 1:
            raise FormatError("a stream can only be decoded from its start")
        return 0

    def num_missing(self, first: int, stop: int) -> int:
        """Return 0: a stream in which a chunk is missing cannot be decoded."""
        return 0

    def read(self, index: int) -> ChunkSymbols:
        """Return the symbols of span `index`, one of the two that were asked for last.

        Raises:
            FormatError: Payload or symbol digest are wrong.
        """
        return checked_symbols(self._chunks[index], self.header, self._model)

    def _take(self) -> None:
        chunk = next(self._stream, None)
        if chunk is None:
            self._is_at_end = True
            return
        self._chunks[self._num_taken] = chunk
        self._num_taken += 1
        self._chunks.pop(self._num_taken - 3, None)


def check_fit(header: FileHeader, model: Model) -> None:
    """Refuse a file that this model cannot render.

    Raises:
        ModelError: The file was made with another model.
        FormatError: The file's target network is not the model's, or it has too many weights or channels.
    """
    if header.model_id != model.model_id:
        raise ModelError(f"the file was made with the model {header.model_id.hex()}, not {model.model_id.hex()}")
    if header.target_network is not TargetNetwork.LAPPED_SIREN or header.hop_seconds != HOP_SECONDS:
        raise FormatError("the file's target network is not the lapped SIREN that its model renders")
    if header.num_weights > model.config.num_weights:
        limit = model.config.num_weights
        raise FormatError(f"the file has {header.num_weights} weights per segment, its model at most {limit}")
    if header.num_channels > MAX_CHANNELS:
        raise FormatError(f"the file has {header.num_channels} channels, at most {MAX_CHANNELS} are supported")


def checked_symbols(chunk: Chunk, header: FileHeader, model: Model) -> ChunkSymbols:
    """Unpack a chunk and compare its symbols with their digest.

    Raises:
        FormatError: The payload is damaged, or its symbols are not those that were encoded.
    """
    name = f"chunk at segment {chunk.header.first_segment}"
    shape = (header.num_channels, chunk.header.num_segments, header.num_weights)
    try:
        symbols = unpack(
            chunk.payload,
            Order(int(chunk.header.order)),
            model.tables,
            header.quality,
            shape=shape,
            frequencies=model.frequencies,
            has_attacks=chunk.header.has_attacks,
            has_rotations=chunk.header.has_rotations,
        )
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    if symbols.digest() != chunk.header.symbol_digest:
        raise FormatError(f"{name}: its symbols are not those that were encoded (digest mismatch)")
    return symbols


def _spans(chunks: Sequence[ChunkEntry]) -> list[Span]:
    spans: list[Span] = []
    stop = 0
    for index, chunk in enumerate(chunks):
        if chunk.first_segment > stop:
            spans.append(Span(stop, chunk.first_segment, None))
        spans.append(Span(chunk.first_segment, chunk.stop_segment, index))
        stop = chunk.stop_segment
    return spans
