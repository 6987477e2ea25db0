"""What a decoder reads from: spans of segments, chunks and gaps, that follow one another; torch is not needed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from hscodec.coding.layered import LayeredSymbols
from hscodec.coding.payload import ChunkSymbols
from hscodec.container.format import FileHeader


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


ReadT = TypeVar("ReadT", bound=ChunkSymbols | LayeredSymbols, covariant=True)


class SymbolSource(Protocol[ReadT]):
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

    @property
    def is_live(self) -> bool:
        """Whether whoever asks for the next span may have to wait until it is there."""
        ...

    def fetch(self, index: int) -> Callable[[], ReadT]:
        """Read the chunk of span `index`, and return what unpacks it; any thread may then do that.

        Raises:
            FormatError: It is a gap, or its chunk is damaged: the checksum is wrong. From what is returned: payload or
                symbol digest are wrong.
        """
        ...

    def read(self, index: int) -> ReadT:
        """Return the symbols of span `index`: fetch and unpack it.

        Raises:
            FormatError: It is a gap, or its chunk is damaged.
        """
        ...
