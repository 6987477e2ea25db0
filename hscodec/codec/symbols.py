"""From a container to the integers of its chunks, checked against their digests; torch is not needed."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from hscodec.codec.shared_models import shared_model_by_id
from hscodec.codec.symbol_source import Span as Span
from hscodec.codec.symbol_source import SymbolSource as SymbolSource
from hscodec.coding import layered
from hscodec.coding.layered import LayeredSymbols
from hscodec.coding.order import Order
from hscodec.coding.payload import ChunkSymbols, unpack
from hscodec.container.format import ChunkOrder, FileHeader, TargetNetwork
from hscodec.container.reader import Chunk, ChunkEntry, ChunkStream, ContainerReader
from hscodec.errors import FormatError, ModelError
from hscodec.rates import HOP_SECONDS, MAX_CHANNELS
from hscodec.registry import AnyModel, Model

SymbolsT = TypeVar("SymbolsT", ChunkSymbols, LayeredSymbols)


class _FileSymbols(ABC, Generic[SymbolsT]):
    """Random access to the symbols of a file, whatever they are.

    Args:
        container: The open container.

    Attributes:
        spans: The chunks and the gaps between them, in order.
    """

    def __init__(self, container: ContainerReader) -> None:
        self._container = container
        self.spans = _spans(container.chunks)
        self._gaps = [span for span in self.spans if span.chunk is None]

    @abstractmethod
    def unpack(self, chunk: Chunk) -> SymbolsT:
        """Unpack a chunk and compare its symbols with their digest."""

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

    @property
    def is_live(self) -> bool:
        """False: all of a file is there."""
        return False

    def fetch(self, index: int) -> Callable[[], SymbolsT]:
        """Read the chunk of span `index`, and return what unpacks it.

        Raises:
            FormatError: It is a gap, or its chunk is damaged: the checksum is wrong.
        """
        span = self.spans[index]
        if span.chunk is None:
            raise FormatError(f"segments {span.first_segment} to {span.stop_segment}: chunks are missing")
        return partial(self.unpack, self._container.read_chunk(span.chunk))

    def read(self, index: int) -> SymbolsT:
        """Return the symbols of span `index`.

        Raises:
            FormatError: It is a gap, or its chunk is damaged: checksum, payload or symbol digest are wrong.
        """
        return self.fetch(index)()


class SymbolReader(_FileSymbols[ChunkSymbols]):
    """Random access to the symbols of a file of the lapped SIREN family.

    Args:
        container: The open container.
        model: The model that the file names.

    Raises:
        ModelError: The file was made with another model.
        FormatError: The file's target network is not one that this model renders, or it has too many channels.
    """

    def __init__(self, container: ContainerReader, model: AnyModel) -> None:
        self.model = check_fit(container.header, model)
        super().__init__(container)

    def unpack(self, chunk: Chunk) -> ChunkSymbols:
        """Return the symbols of a chunk.

        Raises:
            FormatError: Its payload is damaged, or its symbols are not those that were encoded.
        """
        return checked_symbols(chunk, self.header, self.model)


class LayeredReader(_FileSymbols[LayeredSymbols]):
    """Random access to the symbols of a file of networks with hidden layers; they can be read without any model.

    Args:
        container: The open container.

    Raises:
        FormatError: The file's target network has no hidden layers, or it has too many channels.
    """

    def __init__(self, container: ContainerReader) -> None:
        check_layered(container.header)
        super().__init__(container)

    def unpack(self, chunk: Chunk) -> LayeredSymbols:
        """Return the symbols of a chunk.

        Raises:
            FormatError: Its payload is damaged, or its symbols are not those that were encoded.
        """
        return checked_layered_symbols(chunk, self.header)


class _StreamedSymbols(ABC, Generic[SymbolsT]):
    """The symbols of a stream that cannot seek. Spans are read in order; the last one and the one before it are kept.

    Args:
        stream: The chunks, none of them taken yet.
    """

    def __init__(self, stream: ChunkStream) -> None:
        self._stream = stream
        self._chunks: dict[int, Chunk] = {}
        self._num_taken = 0
        self._is_at_end = False

    @abstractmethod
    def unpack(self, chunk: Chunk) -> SymbolsT:
        """Unpack a chunk and compare its symbols with their digest."""

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

    @property
    def is_live(self) -> bool:
        """True: a stream may be written while it is read."""
        return True

    def fetch(self, index: int) -> Callable[[], SymbolsT]:
        """Return what unpacks the chunk of span `index`, one of the two that were asked for last."""
        return partial(self.unpack, self._chunks[index])

    def read(self, index: int) -> SymbolsT:
        """Return the symbols of span `index`, one of the two that were asked for last.

        Raises:
            FormatError: Payload or symbol digest are wrong.
        """
        return self.fetch(index)()

    def _take(self) -> None:
        chunk = next(self._stream, None)
        if chunk is None:
            self._is_at_end = True
            return
        self._chunks[self._num_taken] = chunk
        self._num_taken += 1
        self._chunks.pop(self._num_taken - 3, None)


class SymbolStream(_StreamedSymbols[ChunkSymbols]):
    """The symbols of a stream of the lapped SIREN family.

    Args:
        stream: The chunks, none of them taken yet.
        model: The model that the stream names.

    Raises:
        ModelError: The stream was made with another model.
        FormatError: As `SymbolReader`; from `span` and `read`, if the stream is damaged or truncated.
    """

    def __init__(self, stream: ChunkStream, model: AnyModel) -> None:
        self.model = check_fit(stream.header, model)
        super().__init__(stream)

    def unpack(self, chunk: Chunk) -> ChunkSymbols:
        """Return the symbols of a chunk.

        Raises:
            FormatError: Its payload is damaged, or its symbols are not those that were encoded.
        """
        return checked_symbols(chunk, self.header, self.model)


class LayeredStream(_StreamedSymbols[LayeredSymbols]):
    """The symbols of a stream of networks with hidden layers.

    Args:
        stream: The chunks, none of them taken yet.

    Raises:
        FormatError: As `LayeredReader`; from `span` and `read`, if the stream is damaged or truncated.
    """

    def __init__(self, stream: ChunkStream) -> None:
        check_layered(stream.header)
        super().__init__(stream)

    def unpack(self, chunk: Chunk) -> LayeredSymbols:
        """Return the symbols of a chunk.

        Raises:
            FormatError: Its payload is damaged, or its symbols are not those that were encoded.
        """
        return checked_layered_symbols(chunk, self.header)


def open_symbols(container: ContainerReader, model: AnyModel | None = None) -> SymbolReader | LayeredReader:
    """Return what reads the symbols of a file; the model that it names is looked for only where symbols need one.

    Raises:
        ModelError: The model is not installed, or not the one that the file names.
        FormatError: The file's target network is not the model's, or it has too many channels.
    """
    if container.header.network is not None:
        return LayeredReader(container)
    return SymbolReader(container, model or shared_model_by_id(container.header.model_id))


def check_layered(header: FileHeader) -> None:
    """Refuse a file whose networks have no hidden layers.

    Raises:
        FormatError: It is one, or has too many channels.
    """
    if header.network is None:
        raise FormatError("the file's target network has no hidden layers")
    _check_channels(header)


def check_fit(header: FileHeader, model: AnyModel) -> Model:
    """Refuse a file that this model cannot render; return the model of the flagship family that it is.

    Raises:
        ModelError: The file was made with another model.
        FormatError: The file's target network is not the model's, or it has too many weights or channels.
    """
    if header.model_id != model.model_id:
        raise ModelError(f"the file was made with the model {header.model_id.hex()}, not {model.model_id.hex()}")
    is_lapped = header.target_network is TargetNetwork.LAPPED_SIREN and header.hop_seconds == HOP_SECONDS
    if not isinstance(model, Model) or not is_lapped:
        raise FormatError("the file's target network is not the lapped SIREN that its model renders")
    if header.num_weights > model.config.num_weights:
        limit = model.config.num_weights
        raise FormatError(f"the file has {header.num_weights} weights per segment, its model at most {limit}")
    _check_channels(header)
    return model


def _check_channels(header: FileHeader) -> None:
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
            has_bandwidth=chunk.header.has_bandwidth,
        )
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    if symbols.digest() != chunk.header.symbol_digest:
        raise FormatError(f"{name}: its symbols are not those that were encoded (digest mismatch)")
    return symbols


def checked_layered_symbols(chunk: Chunk, header: FileHeader) -> LayeredSymbols:
    """Unpack a chunk of networks with hidden layers and compare its symbols with their digest.

    Raises:
        FormatError: The payload is damaged, or its symbols are not those that were encoded.
    """
    name = f"chunk at segment {chunk.header.first_segment}"
    about = chunk.header
    if about.order is not ChunkOrder.BY_LAYER or about.has_attacks or about.has_rotations or about.has_bandwidth:
        raise FormatError(f"{name}: networks with hidden layers are stored by layer, with nothing in front of them")
    try:
        symbols = layered.unpack(chunk.payload, shape=(header.num_channels, about.num_segments, header.num_weights))
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    if symbols.digest() != about.symbol_digest:
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
