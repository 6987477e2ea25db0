"""Read audio in blocks, from files, pipes and memory, and refuse what cannot be encoded with one clear line."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from hscodec.audio.pipe import PipeSource
from hscodec.audio.sources import FileSource, MemorySource, Source
from hscodec.audio.tags import Tags
from hscodec.errors import AudioError
from hscodec.rates import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ

DEFAULT_BLOCK_SAMPLES = 1 << 16


class AudioReader:
    """An open audio file or pipe, or samples in memory; a context manager.

    Attributes:
        path: The file, or what messages call the pipe.
        is_pipe: Whether it can be read once only.
        sample_rate: Hz, within the limits of `hscodec.rates`.
        num_channels: C, from 1 to `MAX_CHANNELS`.
        num_samples: Samples in each channel, as the header says; `blocks` yields exactly so many or raises. None where
            no header says it, in pipes and in FLAC that was written to one, until `blocks` has come to the end.
        subtype: How a sample is stored, as soundfile names it: `PCM_16`, `FLOAT`, `VORBIS`, ...
        container_format: The kind of file: `WAV`, `FLAC`, `OGG`, ...
        tags: Title, artist and so on, as far as libsndfile reads them; from a pipe those before the samples.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a file, or a named pipe, and check its header.

        Args:
            path: The file.

        Raises:
            AudioError: The file is missing, a folder, empty, not audio, or out of the supported range.
        """
        self._open(_open_source(Path(path)), Path(path))

    @classmethod
    def from_pipe(cls, descriptor: int, name: str = "standard input") -> "AudioReader":
        """Open the reading end of a pipe and check the header as soon as it has arrived.

        Only WAV, AIFF, AU and Ogg can be read from a pipe. A descriptor of a file is read as the file would be.

        Args:
            descriptor: Nothing may have been read from it, not even into a buffer. It is left open.
            name: What messages call it.

        Raises:
            AudioError: Nothing comes, it is not audio, out of the supported range, or cannot be read from a pipe.
        """
        path = Path(name)
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror}") from error
        reader = cls.__new__(cls)
        reader._open(FileSource(path, descriptor) if is_file else PipeSource(path, descriptor), path)
        return reader

    @classmethod
    def from_samples(cls, samples: np.ndarray, sample_rate: int, name: str = "samples in memory") -> "AudioReader":
        """Read samples in memory as a file would be read.

        Args:
            samples: Integers span their type's range, floats are full scale at 1.0; not copied.
            sample_rate: Hz.
            name: What messages call them.

        Shape:
            - samples: `[C, T]`, int16, int32, float32 or float64

        Raises:
            AudioError: They are of another type or shape, or out of the supported range.
        """
        reader = cls.__new__(cls)
        reader._open(MemorySource(samples, sample_rate), Path(name))
        return reader

    def _open(self, source: Source, path: Path) -> None:
        self.path = path
        self._source = source
        self._position = 0
        self.is_pipe: bool = source.is_pipe
        self.num_samples: int | None = source.num_samples
        self.sample_rate: int = source.description.sample_rate
        self.num_channels: int = source.description.num_channels
        self.subtype: str = source.description.subtype
        self.container_format: str = source.description.container_format
        self.tags: Tags = source.description.tags
        try:
            self._check_range()
        except AudioError:
            source.close()
            raise

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()

    @property
    def source_format(self) -> str:
        """Container and sample format in one short text, such as `WAV PCM_24`."""
        return f"{self.container_format} {self.subtype}"

    def blocks(self, block_samples: int = DEFAULT_BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        """Yield what is left, block by block; the last block may be shorter, none is empty.

        Integer formats span [-1, 1); float formats keep their values, which may lie outside.

        Args:
            block_samples: Samples in a block, at least 1.

        Shape:
            - Each block: `[C, T]`, float32, `T <= block_samples`

        Raises:
            AudioError: A sample is NaN or infinite, the data are damaged, or they end before the header says.
        """
        while self._position != self.num_samples:
            position = self._position
            try:
                block = self._read(block_samples)
            except soundfile.SoundFileError as error:
                raise AudioError(f"{self.path}: damaged near {position / self.sample_rate:.3f} s: {error}") from error
            self._position += block.shape[1]
            if block.shape[1] == 0:
                self._end(position)
                return
            self._check_finite(block, position)
            yield block

    def rewind(self) -> None:
        """Go back to the first sample.

        Raises:
            AudioError: It is a pipe.
        """
        self._source.rewind()
        self._position = 0

    def _read(self, block_samples: int) -> np.ndarray:
        if self.num_samples is not None:
            block_samples = min(block_samples, self.num_samples - self._position)
        frames = np.empty((block_samples, self.num_channels), np.float32)
        return np.ascontiguousarray(frames[: self._source.read_into(frames)].T)

    def _end(self, position: int) -> None:
        if self.num_samples is None:
            self.num_samples = position
            return
        ends, promised = position / self.sample_rate, self.num_samples / self.sample_rate
        raise AudioError(f"{self.path}: cut off: ends at {ends:.3f} s, its header promises {promised:.3f} s")

    def _check_range(self) -> None:
        if not MIN_SAMPLE_RATE_HZ <= self.sample_rate <= MAX_SAMPLE_RATE_HZ:
            limits = f"{MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz"
            raise AudioError(f"{self.path}: sample rate {self.sample_rate} Hz is not supported ({limits})")
        if not 1 <= self.num_channels <= MAX_CHANNELS:
            raise AudioError(f"{self.path}: {self.num_channels} channels, at most {MAX_CHANNELS} are supported")

    def _check_finite(self, block: np.ndarray, position: int) -> None:
        finite = np.isfinite(block)
        if finite.all():
            return
        index = int(np.argmin(finite.all(axis=0)))
        channel = int(np.argmin(finite[:, index]))
        second = (position + index) / self.sample_rate
        raise AudioError(f"{self.path}: not-finite sample at {second:.3f} s, channel {channel + 1}")


def peak(reader: AudioReader) -> float:
    """Return the largest magnitude in a file, 0 if it is empty; the reader starts and ends at the first sample.

    Raises:
        AudioError: As `AudioReader.blocks`, or it is a pipe.
    """
    reader.rewind()
    largest = max((float(np.abs(block).max()) for block in reader.blocks()), default=0.0)
    reader.rewind()
    return largest


def _open_source(path: Path) -> Source:
    try:
        if not path.is_fifo():
            return FileSource(path)
        return PipeSource(path, os.open(path, os.O_RDONLY), owned=True)
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from error
