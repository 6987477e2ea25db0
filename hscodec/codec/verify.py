"""Checking a file without decoding its sound: checksums, payloads and symbol digests. torch is not needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hscodec.codec.lost import heard_in, missing_end
from hscodec.codec.symbols import LayeredReader, SymbolReader, open_symbols
from hscodec.container.reader import ContainerReader, open_container
from hscodec.errors import FormatError

MAX_PROBLEMS = 1000
"""So many problems are kept; a hostile file could have a million."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file.

    Attributes:
        chunk: Index of the damaged chunk, or None if it is not a chunk.
        start_s: Where the damaged sound starts (s).
        stop_s: Where it stops (s).
        message: What is wrong.
    """

    chunk: int | None
    start_s: float
    stop_s: float
    message: str


@dataclass(frozen=True)
class VerifyResult:
    """The outcome of `verify_file`.

    Attributes:
        num_chunks: Chunks that were found.
        problems: What is wrong, in file order, the first `MAX_PROBLEMS` of it.
        num_problems: How many problems there are in all.
    """

    num_chunks: int
    problems: tuple[Problem, ...]
    num_problems: int

    @property
    def ok(self) -> bool:
        """Whether the file is whole."""
        return not self.problems


def verify_file(path: str | Path, *, progress: Callable[[float, float | None], None] | None = None) -> VerifyResult:
    """Check every chunk of a `.hsnd` file.

    Args:
        path: The file.
        progress: Called after each chunk with (chunks done, chunks in all).

    Raises:
        FormatError: The file is not `.hsnd`, or its header is damaged.
        ModelError: The model that it needs is not installed.
    """
    with open_container(path) as container:
        symbols = open_symbols(container)
        problems: list[Problem] = []
        num_problems = 0
        for problem in _problems(container, symbols, progress):
            num_problems += 1
            if len(problems) < MAX_PROBLEMS:
                problems.append(problem)
        return VerifyResult(len(container.chunks), tuple(problems), num_problems)


def _problems(
    container: ContainerReader,
    symbols: SymbolReader | LayeredReader,
    progress: Callable[[float, float | None], None] | None,
) -> Iterator[Problem]:
    if container.index_was_rebuilt:
        yield Problem(None, 0.0, 0.0, "the seek index is missing or wrong: cut short or damaged")
    for index, span in enumerate(symbols.spans):
        seconds = heard_in(container, span.first_segment, span.stop_segment)
        if span.chunk is None:
            yield Problem(None, *seconds, "chunks are missing")
            continue
        try:
            symbols.read(index)
        except FormatError as error:
            yield Problem(span.chunk, *seconds, str(error))
        if progress:
            progress(span.chunk + 1, len(container.chunks))
    if end := missing_end(container):
        yield Problem(None, *end, "the end is missing")
