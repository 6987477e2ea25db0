"""What the spans of a source hold, ready to be refined: loaded by the calling thread, or by a pool of threads."""

from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import TypeAlias

import torch

from hscodec.codec.prepared import Prepared, prepare
from hscodec.codec.symbol_source import Span, SymbolSource
from hscodec.coding.payload import ChunkSymbols
from hscodec.errors import FormatError
from hscodec.model import Hypernetwork

_Unpack: TypeAlias = Callable[[], ChunkSymbols]
Around: TypeAlias = Sequence[Prepared | None]
"""What a span and the two beside it hold; None where there is no span, or one that is lost."""
Pending: TypeAlias = "Sequence[Future[Prepared | None] | None]"
"""The same while a pool loads it; None where there is no span."""


class SpanLoader:
    """Loads spans, and keeps those beside the one that was asked for last. Only the calling thread reads the source.

    Args:
        source: Symbols of the file's chunks.
        network: The model, on `device`.
        device: Where the networks run.
        keep_going: Note what is lost instead of raising.

    Attributes:
        lost: The segments `[start, stop)` that were met and could not be decoded, in order.
    """

    def __init__(
        self, source: SymbolSource[ChunkSymbols], network: Hypernetwork, *, device: torch.device, keep_going: bool
    ) -> None:
        self.lost: list[tuple[int, int]] = []
        self._source = source
        self._network = network
        self._device = device
        self._keep_going = keep_going
        self._prepared: dict[int, Prepared | None] = {}

    def around(self, index: int) -> Around:
        """Return what span `index` and the two beside it hold.

        Raises:
            FormatError: One of them is lost and `keep_going` is not set.
        """
        self._prepared = {i: part for i, part in self._prepared.items() if abs(i - index) <= 1}
        for i, span in self._beside(index, self._prepared):
            self._prepared[i] = self._load(span, self._fetch(i))
            if self._prepared[i] is None:
                self._note_lost(span)
        return [self._prepared.get(i) for i in range(index - 1, index + 2)]

    def begin(self, pool: Executor, index: int, begun: "dict[int, Future[Prepared | None]]") -> Pending:
        """Let a pool load what `around` returns, and return at once.

        Args:
            pool: The threads.
            index: Index of the span.
            begun: What was begun before by its index, and is from now on.
        """
        for i in [i for i in begun if abs(i - index) > 1]:
            del begun[i]
        for i, span in self._beside(index, begun):
            begun[i] = pool.submit(self._load, span, self._fetch(i))
        return [begun.get(i) for i in range(index - 1, index + 2)]

    def note_lost(self, index: int, pending: Pending) -> None:
        """Note what is lost of what was begun around span `index`, all of which is finished by now."""
        around = dict(enumerate(pending, index - 1))
        there = [i for i, part in around.items() if part is None or part.result() is not None]
        for _, span in self._beside(index, there):
            self._note_lost(span)

    def _beside(self, index: int, without: Container[int]) -> Iterator[tuple[int, Span]]:
        """Yield span `index` and those beside it, each with its index.

        Args:
            index: Index of the span.
            without: Those not to look for: a stream knows no more of a span that is two behind the last one.
        """
        for i in range(max(index - 1, 0), index + 2):
            span = None if i in without else self._source.span(i)
            if span is not None:
                yield i, span

    def _fetch(self, index: int) -> _Unpack | FormatError:
        """Return what unpacks a chunk, or why there is none."""
        try:
            return self._source.fetch(index)
        except FormatError as error:
            return error

    @torch.inference_mode()
    def _load(self, span: Span, fetched: _Unpack | FormatError) -> Prepared | None:
        """Return what a span holds; None if it is lost."""
        try:
            if isinstance(fetched, FormatError):
                raise fetched
            symbols = fetched()
        except FormatError:
            if not self._keep_going:
                raise
            return None
        (prepared,) = prepare(
            [symbols],
            [span.first_segment],
            quality_hundredths=[self._source.header.quality],
            network=self._network,
            device=self._device,
        )
        return prepared

    def _note_lost(self, span: Span) -> None:
        lost = (span.first_segment, span.stop_segment)
        if lost not in self.lost[-3:]:  # decoding goes in one direction, so spans are met again only soon
            self.lost.append(lost)
