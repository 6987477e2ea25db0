"""From a container to the integers of its chunks, checked against their digests; torch is not needed."""

from hscodec.coding.order import Order
from hscodec.coding.payload import ChunkSymbols, unpack
from hscodec.container.format import FileHeader, TargetNetwork
from hscodec.container.reader import ContainerReader
from hscodec.errors import FormatError, ModelError
from hscodec.rates import HOP_SECONDS, MAX_CHANNELS
from hscodec.registry import Model


class SymbolReader:
    """Random access to the symbols of a file.

    Args:
        container: The open container.
        model: The model that the file names.

    Raises:
        ModelError: The file was made with another model.
        FormatError: The file's target network is not one that this model renders, or it has too many channels.
    """

    def __init__(self, container: ContainerReader, model: Model) -> None:
        header = container.header
        if header.model_id != model.model_id:
            raise ModelError(f"the file was made with the model {header.model_id.hex()}, not {model.model_id.hex()}")
        if header.target_network is not TargetNetwork.LAPPED_SIREN or header.hop_seconds != HOP_SECONDS:
            raise FormatError("the file's target network is not the lapped SIREN that its model renders")
        if header.num_weights > model.config.num_weights:
            limit = model.config.num_weights
            raise FormatError(f"the file has {header.num_weights} weights per segment, its model at most {limit}")
        if header.num_channels > MAX_CHANNELS:
            raise FormatError(f"the file has {header.num_channels} channels, at most {MAX_CHANNELS} are supported")
        self._container = container
        self._model = model

    def __len__(self) -> int:
        return len(self._container.chunks)

    @property
    def header(self) -> FileHeader:
        """The file's header."""
        return self._container.header

    @property
    def num_samples(self) -> int:
        """Length of each channel at the file's rate."""
        return self._container.num_samples

    @property
    def is_contiguous(self) -> bool:
        """Whether the chunks follow one another from segment 0 on, none missing between them."""
        stops = [0, *(chunk.stop_segment for chunk in self._container.chunks)]
        return all(chunk.first_segment == stop for chunk, stop in zip(self._container.chunks, stops, strict=False))

    def first_segment(self, index: int) -> int:
        """Return how many segments stand before chunk `index`."""
        return self._container.chunks[index].first_segment

    def read(self, index: int) -> ChunkSymbols:
        """Return the symbols of chunk `index`.

        Raises:
            FormatError: The chunk is damaged: its checksum, payload or symbol digest is wrong.
        """
        chunk = self._container.read_chunk(index)
        symbols = unpack(
            chunk.payload,
            Order(int(chunk.header.order)),
            self._model.tables,
            self.header.quality,
            shape=(self.header.num_channels, chunk.header.num_segments, self.header.num_weights),
        )
        if symbols.digest() != chunk.header.symbol_digest:
            raise FormatError(f"chunk {index}: its symbols are not the ones that were encoded (wrong digest)")
        return symbols
