"""What decoders have in common, whatever the networks: ranges of samples on one regular grid, block by block."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import Generic, TypeVar

import torch

from hscodec.codec.constants import MAX_CONCEALED_SECONDS
from hscodec.codec.pieces import Piece
from hscodec.codec.playback import Playback
from hscodec.codec.segment_weights import SegmentWeights
from hscodec.codec.symbol_source import SymbolSource
from hscodec.coding.layered import LayeredSymbols
from hscodec.coding.payload import ChunkSymbols
from hscodec.errors import FormatError
from hscodec.inr.coordinates import hop_of_sample

SymbolsT = TypeVar("SymbolsT", bound=ChunkSymbols | LayeredSymbols)


class GridDecoder(ABC, Generic[SymbolsT]):
    """Renders a file or a stream on one regular grid.

    Args:
        source: Symbols of the file's chunks.
        playback: At which times the samples of the output sit; None keeps the file's rate.
        device: Where the networks run.

    Attributes:
        playback: At which times the samples of the output sit.
        device: Where the networks run.
        source: Symbols of the file's chunks.
        grid: Samples of the output per hop.
    """

    _segments_behind: int
    """How many segments behind the one of its own number a hop needs."""

    def __init__(
        self, source: SymbolSource[SymbolsT], *, playback: Playback | None = None, device: torch.device
    ) -> None:
        self.playback = playback or Playback.of(source.header.sample_rate)
        self.device = device
        self.source = source
        self.grid: Fraction = self.playback.samples_per_second * source.header.hop_seconds

    @property
    @abstractmethod
    def lost(self) -> list[tuple[int, int]]:
        """The segments `[start, stop)` that were met and could not be decoded, in order."""

    @property
    def num_samples(self) -> int | None:
        """Length of each channel of the output; None as long as a stream has not said it."""
        if self.source.num_samples is None:
            return None
        return self.playback.num_samples(self.source.num_samples, self.source.header.sample_rate)

    def blocks(self, start: int = 0, stop: int | None = None, *, reverse: bool = False) -> Iterator[torch.Tensor]:
        """Yield the samples `[start, stop)` as consecutive blocks, reading only the chunks that they need.

        Args:
            start: First sample of the output, at least 0.
            stop: One past the last sample; None is the end, and what is beyond the end is left out.
            reverse: Yield the same samples the last one first; not for a stream.

        Shape:
            yields: [C, T] float32, on the decoder's device, none empty

        Raises:
            FormatError: Something needed is lost and silence shall not stand for it, or more than
                `MAX_CONCEALED_SECONDS` are.
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
        return torch.cat([self._silence(0), *self.blocks(start, stop)], 1)

    @abstractmethod
    def weights(self, start: int = 0, stop: int | None = None) -> SegmentWeights:
        """Return the weights of all segments that the samples `[start, stop)` are made of.

        Args:
            start: First sample of the output, at least 0.
            stop: One past the last sample; None is the end, and what is beyond the end is left out.

        Raises:
            FormatError: As `blocks`.
        """

    @abstractmethod
    def piece(self, hop: int) -> Piece:
        """Return the networks of a hop and of those that are ready with it; not for a stream.

        Raises:
            FormatError: Something needed is lost and silence shall not stand for it.
        """

    @abstractmethod
    def _forwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        """Yield what `blocks` yields."""

    @abstractmethod
    def _backwards(self, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        """Yield what `blocks` yields in reverse."""

    def _clip(self, stop: int | None) -> int | None:
        return min((limit for limit in (stop, self.num_samples) if limit is not None), default=None)

    def _hop_at(self, sample: int) -> int:
        """Return the hop that a sample of the output sits in."""
        return hop_of_sample(sample, self.grid)

    def _silence(self, num_samples: int) -> torch.Tensor:
        return torch.zeros(self.source.header.num_channels, num_samples, device=self.device)

    def _last_samples(self, position: int, start: int, stop: int | None) -> Iterator[torch.Tensor]:
        """Yield what is wanted behind the last hop: at the file's rate nothing, at another a sample may be there.

        Raises:
            FormatError: More was rendered than there is.
        """
        end = self._clip(stop)
        if end is None or position > max(end, start):
            raise FormatError("the stream is longer than its trailer says; decode it from a file")
        if position < end:
            yield self._silence(end - position)

    def _check_missing(self, start: int, stop: int | None) -> None:
        end = self._clip(stop)
        if end is None:
            return
        first, last = self._hop_at(start), self._hop_at(end) + 1
        num_missing = self.source.num_missing(first + self._segments_behind, last + self._segments_behind)
        if num_missing * self.source.header.hop_seconds > MAX_CONCEALED_SECONDS:
            limit = f"more than {MAX_CONCEALED_SECONDS / 3600:g} h of sound is missing"
            raise FormatError(f"{limit}; choose a range to decode what is left around it")
