"""Write audio files in blocks; they appear under their name when complete, or not at all."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from hscodec.atomic import atomic_path
from hscodec.audio.levels import check_block, to_levels
from hscodec.audio.sources import FileSource
from hscodec.audio.tags import write_tags
from hscodec.errors import AudioError

_FORMATS = {
    ".wav": "WAV",
    ".wave": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".caf": "CAF",
    ".w64": "W64",
    ".rf64": "RF64",
    ".au": "AU",
}
_DEFAULT_SUBTYPES = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
_INTEGER_BITS = {
    "PCM_U8": 8,
    "PCM_S8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 32,
    "ALAC_16": 16,
    "ALAC_20": 20,
    "ALAC_24": 24,
    "ALAC_32": 32,
}
_NEVER_EMPTY = {"FLAC", "OPUS", "MP3"}
"""libsndfile writes what it cannot read, or nothing at all, when no sample comes."""
_SAMPLE_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_MAX_WAV_BYTES = 2**32 - 2**16
"""Sizes in a WAV header have 32 bits; some are kept for the header and other chunks."""
_WRITE_SAMPLES = 1 << 14
"""libsndfile's Vorbis encoder keeps a whole write on the stack."""
_ROOM_BYTES = 1 << 16
"""More than libsndfile holds back until a file is closed, but for ALAC."""


class AudioWriter:
    """An audio file in the making; a context manager.

    Samples of integer subtypes are rounded to the nearest level and clipped to [-1, 1); 16-bit audio that was read from
    a file is written back exactly. Other subtypes take samples as they are.

    Attributes:
        path: The file.
        num_clipped: How many samples were out of range so far, counted over all channels.
        num_written: Samples written to each channel so far.
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate: int,
        *,
        num_channels: int,
        subtype: str | None = None,
        num_samples: int | None = None,
        overwrite: bool = False,
        tags: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Check what can be checked without writing; the file is created on entering the context.

        Args:
            path: The file; its extension says the format.
            sample_rate: Hz.
            num_channels: C.
            subtype: How a sample is stored, as soundfile names it, in any case; by default the format's own, which is
                16-bit PCM for WAV.
            num_samples: Expected length, if known. A WAV file that would pass 4 GiB becomes RF64.
            overwrite: Whether an existing file may be replaced.
            tags: (key, value) pairs; those that the format can hold are written, the others are left out.

        Raises:
            AudioError: The extension, or the subtype with this format, rate and channels, is not supported.
        """
        self.path = Path(path)
        self.num_clipped = 0
        self.num_written = 0
        self._format, self._subtype = _choose_format(self.path, subtype)
        self._sample_rate = sample_rate
        self._num_channels = num_channels
        self._overwrite = overwrite
        self._tags = tuple(tags)
        self._frame_bytes = num_channels * _SAMPLE_BYTES.get(self._subtype, 1)
        if self._format == "WAV" and (num_samples or 0) * self._frame_bytes > _MAX_WAV_BYTES:
            self._format = "RF64"
        self._stack = contextlib.ExitStack()
        self._file: soundfile.SoundFile | None = None
        self._temporary = self.path

    def __enter__(self) -> "AudioWriter":
        with contextlib.ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path, overwrite=self._overwrite))
            stack.push(self._check_whole)
            try:
                self._file = soundfile.SoundFile(
                    str(self._temporary),
                    "w",
                    samplerate=self._sample_rate,
                    channels=self._num_channels,
                    format=self._format,
                    subtype=self._subtype,
                )
            except soundfile.SoundFileError as error:
                if not _has_room(self._temporary):
                    raise AudioError(f"{self.path}: cannot write: disk full") from error
                what = f"{self._format} with {self._subtype}, {self._sample_rate} Hz, {self._num_channels} channels"
                raise AudioError(f"{self.path}: cannot write {what}: {error}") from error
            stack.enter_context(self._file)
            write_tags(self._file, self._tags)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and give it its name; after an exception, discard it.

        Raises:
            AudioError: The disk is full, or nothing was written and the format cannot hold nothing.
        """
        self._file = None
        if error is None and self.num_written == 0 and {self._format, self._subtype} & _NEVER_EMPTY:
            error = AudioError(
                f"{self.path}: {self._format} with {self._subtype} cannot hold an empty signal; use .wav"
            )
            self._stack.__exit__(type(error), error, None)
            raise error
        try:
            self._stack.__exit__(kind, error, trace)
        except (soundfile.SoundFileError, OSError) as failure:
            raise AudioError(f"{self.path}: cannot write: {failure}") from failure

    def write(self, block: np.ndarray) -> None:
        """Append samples.

        Args:
            block: Full scale is 1.0; may be empty.

        Shape:
            - block: `[C, T]`, float

        Raises:
            AudioError: The file is not open, the block has the wrong shape or holds values that are not finite, the
                disk is full, or a WAV file whose length was not given passes 4 GiB.
        """
        if self._file is None:
            raise AudioError(f"{self.path}: not open")
        seconds = self.num_written / self._sample_rate
        check_block(block, num_channels=self._num_channels, seconds=seconds, name=str(self.path))
        if self._format == "WAV" and (self.num_written + block.shape[1]) * self._frame_bytes > _MAX_WAV_BYTES:
            raise AudioError(f"{self.path}: longer than a WAV file can be (4 GiB); write .w64, .rf64 or .flac")
        for start in range(0, block.shape[1], _WRITE_SAMPLES):
            samples = self._to_levels(block[:, start : start + _WRITE_SAMPLES])
            try:
                self._file.write(np.ascontiguousarray(samples.T))
            except (soundfile.SoundFileError, OSError, AssertionError) as error:
                # soundfile asserts that everything was written, libsndfile says "System error".
                reason = str(error) if str(error) and _has_room(self._temporary) else "disk full"
                raise AudioError(f"{self.path}: cannot write: {reason}") from error
        self.num_written += block.shape[1]

    def _to_levels(self, block: np.ndarray) -> np.ndarray:
        bits = _INTEGER_BITS.get(self._subtype)
        if bits is None:
            return block.astype(np.float32, copy=False)
        levels, num_clipped = to_levels(block, bits)
        self.num_clipped += num_clipped
        return levels << (32 - bits)

    def _check_whole(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # libsndfile encodes the last samples of FLAC, Ogg and MP3 when it closes a file, and then reports no failure to
        # write them. There was none if the disk still has room; otherwise only the file itself can tell.
        if kind is None and not _has_room(self._temporary) and _count_samples(self._temporary) != self.num_written:
            raise AudioError(f"{self.path}: cannot write: disk full")


def _has_room(path: Path) -> bool:
    """Whether a file could be longer; anything that is no file could."""
    if not path.is_file():
        return True
    num_bytes = path.stat().st_size
    try:
        with open(path, "ab", buffering=0) as file:
            return file.write(bytes(_ROOM_BYTES)) == _ROOM_BYTES
    except OSError:
        return False
    finally:
        os.truncate(path, num_bytes)


def _count_samples(path: Path) -> int | None:
    """Return how many samples a file holds; None if it is damaged."""
    try:
        source = FileSource(path)
        with contextlib.closing(source):
            frames = np.empty((_WRITE_SAMPLES, source.description.num_channels), np.float32)
            return sum(iter(lambda: source.read_into(frames), 0))
    except (AudioError, soundfile.SoundFileError):
        return None


def _choose_format(path: Path, subtype: str | None) -> tuple[str, str]:
    container_format = _FORMATS.get(path.suffix.lower())
    if container_format is None:
        raise AudioError(f"{path}: unknown extension {path.suffix!r}; use one of {' '.join(_FORMATS)}")
    if container_format not in soundfile.available_formats():
        raise AudioError(f"{path}: this build of libsndfile cannot write {container_format}")
    if subtype is None:
        default = "OPUS" if path.suffix.lower() == ".opus" else _DEFAULT_SUBTYPES.get(container_format, "PCM_16")
        return container_format, default
    subtypes = soundfile.available_subtypes(container_format)
    if subtype.upper() not in subtypes:
        raise AudioError(f"{path}: {container_format} has no subtype {subtype!r}; it has {' '.join(sorted(subtypes))}")
    return container_format, subtype.upper()
