"""A small file to read and to damage, and sources and sinks that are as awkward as pipes."""

import io
import random
from collections.abc import Callable
from fractions import Fraction

import pytest

from hscodec.container import ChunkOrder, ContainerWriter, FileHeader

# 1/8 s at 16 Hz: two samples per hop, so that sample counts in tests can be worked out by hand.
HEADER = FileHeader(
    sample_rate=16,
    num_channels=2,
    num_samples=None,
    num_weights=2,
    quality=500,
    hop_seconds=Fraction(1, 8),
    tags=(("title", "Ein Stück"), ("title", "")),
)


class OneWay(io.RawIOBase):
    """A pipe: passes at most `step` bytes at a time in either direction and refuses to seek."""

    def __init__(self, data: bytes = b"", step: int = 7) -> None:
        self.data = bytearray(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, num_bytes: int = -1) -> bytes:
        count = min(self._step, num_bytes if num_bytes >= 0 else self._step)
        piece = bytes(self.data[:count])
        del self.data[:count]
        return piece

    def write(self, data) -> int:
        piece = bytes(data[: self._step])
        self.data += piece
        return len(piece)


def _make_file(
    num_segments: tuple[int, ...] = (4, 2, 6), *, header: FileHeader = HEADER, num_samples: int | None = None
) -> bytes:
    """Write one chunk per entry of `num_segments`, of 5 to 40 bytes, and the most samples that they cover."""
    randomness = random.Random(1)
    sink = io.BytesIO()
    with ContainerWriter(sink, header) as writer:
        for index, count in enumerate(num_segments):
            writer.write_chunk(
                first_segment=writer.num_segments,
                num_segments=count,
                order=ChunkOrder(index % 2),
                symbol_digest=randomness.randbytes(8),
                payload=randomness.randbytes(randomness.randint(5, 40)),
                last=index == len(num_segments) - 1,
            )
        if num_samples is None:
            num_samples = header.max_num_samples(writer.num_segments)
        writer.close(num_samples=num_samples)
    return sink.getvalue()


@pytest.fixture(scope="session")
def header() -> FileHeader:
    return HEADER


@pytest.fixture(scope="session")
def make_file() -> Callable[..., bytes]:
    return _make_file


@pytest.fixture(scope="session")
def small_file() -> bytes:
    return _make_file()


@pytest.fixture(scope="session")
def one_way() -> type[OneWay]:
    return OneWay
