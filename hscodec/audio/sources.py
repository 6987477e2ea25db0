"""Where samples come from: a file or memory, which can be read again; a pipe, which cannot, is in `audio.pipe`."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from hscodec.audio.tags import Tags, read_tags
from hscodec.errors import AudioError

_UNKNOWN_SAMPLES = 2**63 - 1
"""What libsndfile answers for FLAC that was written to a pipe."""
_SEEK_FAILED = 39
"""libsndfile's SFE_PSF_FSEEK."""
_SUBTYPES = {"int16": "PCM_16", "int32": "PCM_32", "float32": "FLOAT", "float64": "DOUBLE"}
"""Types that samples in memory may have, and how soundfile names them."""


@dataclass(frozen=True)
class Description:
    """What a header says.

    Attributes:
        sample_rate: Hz.
        num_channels: C.
        subtype: How a sample is stored, as soundfile names it.
        container_format: The kind of file, as soundfile names it.
        tags: Title, artist and so on.
    """

    sample_rate: int
    num_channels: int
    subtype: str
    container_format: str
    tags: Tags

    @classmethod
    def of(cls, file: soundfile.SoundFile) -> "Description":
        """Return what the header of an open file says."""
        return cls(file.samplerate, file.channels, file.subtype, file.format, read_tags(file))


class Source(Protocol):
    """What an `AudioReader` reads from.

    Attributes:
        description: What the header says.
        num_samples: Samples in each channel; None if the header does not say it.
        is_pipe: Whether it can be read once only.
    """

    description: Description
    num_samples: int | None
    is_pipe: bool

    def read_into(self, frames: np.ndarray) -> int:
        """Fill an array from its start and return how many samples of each channel came; fewer only at the end.

        Shape:
            - frames: `[T, C]`, float32

        Raises:
            soundfile.SoundFileError: The data are damaged.
        """
        ...

    def rewind(self) -> None:
        """Go back to the first sample.

        Raises:
            AudioError: It is a pipe.
        """
        ...

    def close(self) -> None:
        """Close what was opened."""
        ...


class FileSource:
    """A file.

    Args:
        path: The file, or what messages call it.
        descriptor: Read from this open file, which is left open, and not from `path`.

    Raises:
        AudioError: The file is missing, a folder, empty, or not audio.
    """

    is_pipe = False

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self._path, self._descriptor = path, descriptor
        if descriptor is None:
            _check_file(path)
        self._start = 0 if descriptor is None else os.lseek(descriptor, 0, os.SEEK_CUR)
        self._file = self._open()
        self.description = Description.of(self._file)
        self._is_endless = self._file.frames >= _UNKNOWN_SAMPLES
        self.num_samples: int | None = None if self._is_endless else self._file.frames

    def read_into(self, frames: np.ndarray) -> int:
        """Read; see `Source`."""
        if not self._is_endless:
            return len(self._file.read(out=frames))
        # soundfile seeks after each read, which fails at the end of FLAC without a length: how much came before the
        # exception can be seen in the array only.
        frames[:] = np.nan
        try:
            self._file.read(out=frames)
        except soundfile.LibsndfileError as error:
            if error.code != _SEEK_FAILED:
                raise
        return int(np.count_nonzero(~np.isnan(frames[:, 0])))

    def rewind(self) -> None:
        """Go back to the first sample."""
        if self._is_endless:
            self._file.close()
            self._file = self._open()
        else:
            self._file.seek(0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> soundfile.SoundFile:
        opened: str | int = str(self._path)
        if self._descriptor is not None:
            opened = self._descriptor
            os.lseek(opened, self._start, os.SEEK_SET)
        try:
            return soundfile.SoundFile(opened, closefd=False)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.rstrip(".")
            raise AudioError(f"{self._path}: not an audio file that can be read ({reason})") from error
        except (soundfile.SoundFileError, TypeError) as error:
            # `.raw` has no header; soundfile asks for arguments that a file name cannot give.
            raise AudioError(f"{self._path}: not an audio file that can be read ({error})") from error


class MemorySource:
    """Samples that are in memory already.

    Args:
        samples: Integers span their type's range, floats are full scale at 1.0; not copied.
        sample_rate: Hz.

    Shape:
        samples: [C, T], int16, int32, float32 or float64

    Raises:
        AudioError: They are of another type or shape.
    """

    is_pipe = False

    def __init__(self, samples: np.ndarray, sample_rate: int) -> None:
        if samples.ndim != 2:
            raise AudioError(f"samples must have the shape [channels, time], not {list(samples.shape)}")
        subtype = _SUBTYPES.get(samples.dtype.name)
        if subtype is None:
            raise AudioError(f"samples must be of the type {', '.join(_SUBTYPES)}, not {samples.dtype}")
        self._samples = samples
        self._position = 0
        self._full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1) if samples.dtype.kind == "i" else 1.0
        self.description = Description(sample_rate, len(samples), subtype, "samples", ())
        self.num_samples: int | None = samples.shape[1]

    def read_into(self, frames: np.ndarray) -> int:
        """Read; see `Source`."""
        block = self._samples[:, self._position : self._position + len(frames)]
        with np.errstate(over="ignore"):  # what a float32 cannot hold is infinite, which the reader refuses
            frames[: block.shape[1]] = block.T if self._full_scale == 1 else block.T / self._full_scale
        self._position += block.shape[1]
        return block.shape[1]

    def rewind(self) -> None:
        """Go back to the first sample."""
        self._position = 0

    def close(self) -> None:
        """Do nothing."""


def _check_file(path: Path) -> None:
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
