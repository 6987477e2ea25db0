"""Chunks in, samples out: symbols, refinement with neighbouring chunks as context, target networks on any grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from hscodec.codec.symbols import SymbolReader
from hscodec.coding.payload import ChunkSymbols
from hscodec.errors import FormatError
from hscodec.inr.coordinates import first_sample_of_hop
from hscodec.inr.lapped import LappedSiren
from hscodec.model import Precision
from hscodec.rates import scaled_length
from hscodec.registry import Model


@dataclass(frozen=True)
class _Prepared:
    """A chunk's symbols and precision on the device; what refinement of the chunk and its neighbours needs."""

    first_segment: int
    symbols: torch.Tensor
    precision: Precision

    @property
    def stop_segment(self) -> int:
        return self.first_segment + self.symbols.shape[1]

    def slice(self, start: int, stop: int) -> "_Prepared":
        """Return the segments [start, stop), counted in the stream, as far as this chunk has them."""
        first = max(start, self.first_segment)
        cut = slice(first - self.first_segment, max(stop - self.first_segment, 0))
        precision = Precision(self.precision.step[:, cut], self.precision.features[:, cut])
        return _Prepared(first, self.symbols[:, cut], precision)


class Decoder:
    """Renders a file at one output rate.

    Every chunk is refined and rendered in a window of its own, with the segments around it as context. What a chunk
    decodes to therefore depends on that chunk and its two neighbours only, not on where decoding started.

    Args:
        source: Symbols of the file's chunks.
        model: The model that the file names.
        rate: Output rate (Hz); None keeps the file's.
        device: Where the networks run.

    Raises:
        FormatError: Chunks are missing: what follows would be rendered in the wrong place.

    Attributes:
        rate: Output rate (Hz).
        num_samples: Length of each channel at that rate.
    """

    def __init__(self, source: SymbolReader, model: Model, *, rate: int | None = None, device: torch.device) -> None:
        if not source.is_contiguous:
            raise FormatError("chunks are missing; `hscodec verify` says which seconds")
        header = source.header
        self.rate = rate or header.sample_rate
        self.num_samples = scaled_length(source.num_samples, header.sample_rate, self.rate)
        self._source = source
        self._network = model.network(device)
        self._device = device
        self._context = model.config.refine_context
        self._target = LappedSiren(header.num_weights)
        self._grid = Fraction(self.rate) * header.hop_seconds
        self._prepared: dict[int, _Prepared] = {}

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the whole file as consecutive blocks [C, T] of float32, one per chunk."""
        written = 0
        for index in range(len(self._source)):
            block = self.block(index)[:, : self.num_samples - written]
            written += block.shape[1]
            yield block
        if written < self.num_samples:
            yield np.zeros((self._source.header.num_channels, self.num_samples - written), np.float32)

    @torch.inference_mode()
    def block(self, index: int) -> np.ndarray:
        """Return the samples that chunk `index` completes: its hops and the one that joins it to the chunk before.

        Shape:
            returns: [C, T]
        """
        self._prepared = {i: p for i, p in self._prepared.items() if abs(i - index) <= 1}
        chunk = self._prepare(index)
        start = max(chunk.first_segment - 1, 0)
        window = self._window(index, start - self._context, chunk.stop_segment + self._context)
        quality = self._source.header.quality / 100
        theta = self._network.refine(window.symbols, window.precision, quality)
        theta = theta[:, start - window.first_segment : chunk.stop_segment - window.first_segment]
        if index == len(self._source) - 1:
            theta = torch.nn.functional.pad(theta, (0, 0, 0, 1))  # the very last hop has no segment behind it
        samples = self._target.synthesize(theta, self._grid, first_segment=start) * self._source.header.gain
        return samples.cpu().numpy()

    def first_sample(self, index: int) -> int:
        """Return where in the output `block(index)` starts."""
        first_segment = self._source.first_segment(index)
        return first_sample_of_hop(max(first_segment - 1, 0), self._grid)

    def _window(self, index: int, start: int, stop: int) -> _Prepared:
        """Return segments [start, stop) as far as the chunk and its neighbours have them."""
        neighbours = [i for i in (index - 1, index, index + 1) if 0 <= i < len(self._source)]
        parts = [self._prepare(i).slice(start, stop) for i in neighbours]
        return _Prepared(
            parts[0].first_segment,
            torch.cat([part.symbols for part in parts], 1),
            Precision(
                torch.cat([part.precision.step for part in parts], 1),
                torch.cat([part.precision.features for part in parts], 1),
            ),
        )

    def _prepare(self, index: int) -> _Prepared:
        if index not in self._prepared:
            symbols: ChunkSymbols = self._source.read(index)
            latent = torch.from_numpy(symbols.latent).to(self._device)
            precision = self._network.decode_precision(latent, self._source.header.quality / 100)
            weights = torch.from_numpy(symbols.weights).to(self._device)
            self._prepared[index] = _Prepared(self._source.first_segment(index), weights, precision)
        return self._prepared[index]
