"""Read audio files in blocks, and refuse what cannot be encoded with one clear line."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from hscodec.errors import AudioError
from hscodec.rates import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ

DEFAULT_BLOCK_SAMPLES = 1 << 16
_UNKNOWN_SAMPLES = 2**63 - 1
"""What libsndfile answers for FLAC that was written to a pipe."""


class AudioReader:
    """An open audio file; a context manager.

    Attributes:
        path: The file.
        sample_rate: Hz, within the limits of `hscodec.rates`.
        num_channels: C, from 1 to `MAX_CHANNELS`.
        num_samples: Samples in each channel, as the header says; `blocks` yields exactly so many or raises.
        subtype: How a sample is stored, as soundfile names it: `PCM_16`, `FLOAT`, `VORBIS`, ...
        container_format: The kind of file: `WAV`, `FLAC`, `OGG`, ...
    """

    def __init__(self, path: str | Path) -> None:
        """Open a file and check its header.

        Args:
            path: The file.

        Raises:
            AudioError: The file is missing, a folder, empty, not audio, or out of the supported range.
        """
        self.path = Path(path)
        self._file = _open(self.path)
        self.sample_rate: int = self._file.samplerate
        self.num_channels: int = self._file.channels
        self.num_samples: int = self._file.frames
        self.subtype: str = self._file.subtype
        self.container_format: str = self._file.format
        try:
            self._check_range()
        except AudioError:
            self._file.close()
            raise

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def blocks(self, block_samples: int = DEFAULT_BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        """Yield what is left of the file, block by block; the last block may be shorter, none is empty.

        Integer formats span [-1, 1); float formats keep their values, which may lie outside.

        Args:
            block_samples: Samples in a block, at least 1.

        Shape:
            - Each block: `[C, T]`, float32, `T <= block_samples`

        Raises:
            AudioError: A sample is NaN or infinite, the data are damaged, or the file ends before its header says.
        """
        while (position := self._file.tell()) < self.num_samples:
            try:
                block = self._file.read(block_samples, dtype="float32", always_2d=True).T
            except soundfile.SoundFileError as error:
                raise AudioError(f"{self.path}: damaged near {position / self.sample_rate:.3f} s: {error}") from error
            if block.shape[1] == 0:
                ends, promised = position / self.sample_rate, self.num_samples / self.sample_rate
                raise AudioError(f"{self.path}: cut off: ends at {ends:.3f} s, its header promises {promised:.3f} s")
            self._check_finite(block, position)
            yield np.ascontiguousarray(block)

    def rewind(self) -> None:
        """Go back to the first sample."""
        self._file.seek(0)

    def _check_range(self) -> None:
        if self.num_samples >= _UNKNOWN_SAMPLES:
            raise AudioError(f"{self.path}: its header does not say how long it is; convert it to WAV first")
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
        AudioError: As `AudioReader.blocks`.
    """
    reader.rewind()
    largest = max((float(np.abs(block).max()) for block in reader.blocks()), default=0.0)
    reader.rewind()
    return largest


def _open(path: Path) -> soundfile.SoundFile:
    # libsndfile says "System error" for most of these.
    try:
        if path.is_dir():
            raise AudioError(f"{path}: is a folder")
        if path.stat().st_size == 0 and path.is_file():
            raise AudioError(f"{path}: the file is empty")
        if not os.access(path, os.R_OK):
            raise AudioError(f"{path}: {os.strerror(errno.EACCES)}")
    except OSError as error:
        raise AudioError(f"{path}: {os.strerror(error.errno) if error.errno else error}") from error
    try:
        return soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: not an audio file that can be read ({error.error_string.rstrip('.')})") from error
    except (soundfile.SoundFileError, TypeError) as error:
        # `.raw` has no header; soundfile asks for arguments that a file name cannot give.
        raise AudioError(f"{path}: not an audio file that can be read ({error})") from error
