"""Checking a file without decoding its sound: checksums, payloads and symbol digests. torch is not needed."""

from dataclasses import dataclass
from pathlib import Path

from hscodec.codec.symbols import SymbolReader
from hscodec.container.reader import ContainerReader, open_container
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


def verify_file(path: str | Path) -> VerifyResult:
    """Check every chunk of a `.hsnd` file.

    Raises:
        FormatError: The file is not `.hsnd`, or its header is damaged.
        ModelError: The model that it needs is not installed.
    """
    with open_container(path) as container:
        problems = []
        if container.index_was_rebuilt:
            problems.append(Problem(None, 0.0, 0.0, "the seek index is missing or wrong: cut short or damaged"))
        symbols = SymbolReader(container, load_model_by_id(container.header.model_id))
        expected = 0
        for index, entry in enumerate(container.chunks):
            if entry.first_segment > expected:
                times_s = _times_s(container, expected, entry.first_segment)
                problems.append(Problem(None, *times_s, "chunks are missing"))
            expected = entry.stop_segment
            try:
                symbols.read(index)
            except FormatError as error:
                times_s = _times_s(container, entry.first_segment, entry.stop_segment)
                problems.append(Problem(index, *times_s, str(error)))
        if container.declared_num_samples is not None and container.declared_num_samples > container.num_samples:
            rate = container.header.sample_rate
            start_s, stop_s = container.num_samples / rate, container.declared_num_samples / rate
            problems.append(Problem(None, start_s, stop_s, "the end is missing"))
        return VerifyResult(len(container.chunks), tuple(problems))


def _times_s(container: ContainerReader, first_segment: int, stop_segment: int) -> tuple[float, float]:
    """Return the time that the segments [first_segment, stop_segment) sound in: each reaches one hop to either side."""
    hop_seconds = container.header.hop_seconds
    num_samples = container.declared_num_samples
    if num_samples is None:
        num_samples = container.num_samples
    duration_s = num_samples / container.header.sample_rate
    start_s, stop_s = float(max(first_segment - 1, 0) * hop_seconds), float(stop_segment * hop_seconds)
    return min(start_s, duration_s), min(stop_s, duration_s)
