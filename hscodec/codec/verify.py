"""Checking a file without decoding its sound: checksums, payloads and symbol digests. torch is not needed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hscodec.codec.lost import heard_in, missing_end
from hscodec.codec.symbols import SymbolReader
from hscodec.container.reader import open_container
from hscodec.errors import FormatError
from hscodec.registry import load_model_by_id


@dataclass(frozen=True)
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
        problems: What is wrong, in file order.
    """

    num_chunks: int
    problems: tuple[Problem, ...]

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
        problems = []
        if container.index_was_rebuilt:
            problems.append(Problem(None, 0.0, 0.0, "the seek index is missing or wrong: cut short or damaged"))
        symbols = SymbolReader(container, load_model_by_id(container.header.model_id))
        for index, span in enumerate(symbols.spans):
            seconds = heard_in(container, span.first_segment, span.stop_segment)
            if span.chunk is None:
                problems.append(Problem(None, *seconds, "chunks are missing"))
                continue
            try:
                symbols.read(index)
            except FormatError as error:
                problems.append(Problem(span.chunk, *seconds, str(error)))
            if progress:
                progress(span.chunk + 1, len(container.chunks))
        if end := missing_end(container):
            problems.append(Problem(None, *end, "the end is missing"))
        return VerifyResult(len(container.chunks), tuple(problems))
