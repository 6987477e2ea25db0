"""Sound from a pipe, as it arrives."""

import os
import select
import struct
from pathlib import Path

import numpy as np
import soundfile

from hscodec.audio.sources import Description
from hscodec.errors import AudioError

_BYTE_ORDERS = {"WAV": "LITTLE", "WAVEX": "LITTLE", "AIFF": "BIG", "AU": "BIG", "OGG": None}
"""What libsndfile 1.2.2 reads from a pipe, and its usual order of bytes. It gets CAF and RF64 wrong without a word."""
_SAMPLE_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
    "ULAW": 1,
    "ALAW": 1,
}
_COMPRESSED = {"VORBIS", "OPUS"}
_PIECE_SAMPLES = 1 << 12
"""How much to ask for at a time where the number of bytes does not say what is there."""
_ANY_BYTES = 1 << 16


class PipeSource:
    """A pipe. Its writer cannot go back to the header, which therefore often says no length, or one that is not meant.

    Args:
        path: What messages call it.
        descriptor: The end to read from; nothing may have been read from it.
        owned: Whether `close` closes the descriptor.

    Raises:
        AudioError: It is empty, not audio, or in a format that cannot be read from a pipe.
    """

    is_pipe = True

    def __init__(self, path: Path, descriptor: int, *, owned: bool = False) -> None:
        self._path, self._descriptor, self._owned = path, descriptor, owned
        try:
            self._file = self._open()
        except AudioError:
            if owned:
                os.close(descriptor)
            raise
        self.description = Description.of(self._file)
        sample_bytes = _SAMPLE_BYTES.get(self._file.subtype)
        self._frame_bytes = sample_bytes and sample_bytes * self._file.channels
        self.num_samples = _believable_length(self._file.frames, self._frame_bytes)
        if self.num_samples is None and self._frame_bytes:
            self._skip_header()

    def read_into(self, frames: np.ndarray) -> int:
        """Read; see `Source`. Signals are handled while nothing comes."""
        done = 0
        while done < len(frames):
            # A read in libsndfile goes on waiting after a signal, so it is asked for no more than has arrived.
            num_bytes = _wait(self._descriptor)
            wanted = max(num_bytes // self._frame_bytes, 1) if self._frame_bytes else _PIECE_SAMPLES
            num_read = len(self._file.read(out=frames[done : done + wanted]))
            if num_read == 0:
                break
            done += num_read
        return done

    def rewind(self) -> None:
        """Refuse.

        Raises:
            AudioError: Always.
        """
        raise AudioError(f"{self._path}: a pipe can be read once only")

    def close(self) -> None:
        """Close the pipe if it is owned."""
        self._file.close()
        if self._owned:
            os.close(self._descriptor)

    def _open(self) -> soundfile.SoundFile:
        if _wait(self._descriptor) == 0:
            raise AudioError(f"{self._path}: is empty")
        advice = "WAV, AIFF, AU and Ogg can, other formats have to be given as a file"
        try:
            file = soundfile.SoundFile(self._descriptor, closefd=False)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.removeprefix("Error : ").rstrip(".")
            raise AudioError(f"{self._path}: cannot be read from a pipe ({reason}); {advice}") from error
        if file.format in _BYTE_ORDERS and file.subtype in _COMPRESSED | _SAMPLE_BYTES.keys():
            return file
        file.close()
        raise AudioError(f"{self._path}: {file.format} {file.subtype} cannot be read from a pipe; {advice}")

    def _skip_header(self) -> None:
        """Take what follows the header for samples without end; libsndfile would stop where the header says."""
        file = self._file
        file.close()
        self._file = soundfile.SoundFile(
            self._descriptor,
            samplerate=file.samplerate,
            channels=file.channels,
            format="RAW",
            subtype=file.subtype,
            endian=_BYTE_ORDERS[file.format] if file.endian == "FILE" else file.endian,
            closefd=False,
        )


def _believable_length(num_samples: int, frame_bytes: int | None) -> int | None:
    """Return the length that a header says, or None if it may mean "until the end".

    These are 0, 2^31 - 2^24 (sox, AIFF), from 2^31 - 2^16 to 2^31 (sox, arecord, WAV) and 2^32 - 1 bytes (ffmpeg, WAV),
    rounded to whole samples.
    """
    if frame_bytes is None:
        return None
    num_bytes = num_samples * frame_bytes
    if num_bytes == 0 or 2**31 - 2**24 - frame_bytes < num_bytes <= 2**31 or num_bytes >= 2**32 - 2**16:
        return None
    return num_samples


def _wait(descriptor: int) -> int:
    """Wait until bytes arrive, and return how many are there; 0 at the end."""
    if os.name != "posix":
        return _ANY_BYTES
    import fcntl
    import termios

    select.select([descriptor], [], [])
    try:
        return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0]
    except OSError:  # such as /dev/null
        return _ANY_BYTES
