"""The clips of a measurement: audio files below some folders, channel by channel, mixed to mono, or in stereo."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from benchmarks.contenders import Samples
from hscodec.errors import CorpusError

Channels = Literal["each", "mono", "stereo"]
"""What becomes of a file's channels: a clip of each, one clip of their mix, or one clip of the first two."""


@dataclass(frozen=True)
class Clip:
    """What of one audio file is coded together.

    Args:
        name: Name in results: folder, path below it, and the channel where it is one of several.
        path: The file.
        channels: Indices of the channels, or None to mix all of them to one.
    """

    name: str
    path: Path
    channels: tuple[int, ...] | None


def find_clips(folders: Iterable[Path], *, limit: int | None = None, channels: Channels = "each") -> list[Clip]:
    """Return the clips of all files below the folders that libsndfile can read, sorted by name within each folder.

    Args:
        folders: Where to look.
        limit: How many files to take of each folder, None for all; files that give no clip do not count.
        channels: What becomes of the channels of a file. A mono file gives no stereo clip.

    Raises:
        CorpusError: There is no audio file (for stereo clips: none with two channels), or two clips would have the
            same name.
    """
    clips: list[Clip] = []
    for folder in folders:
        for path, num_channels in islice(_audio_files(folder, 2 if channels == "stereo" else 1), limit):
            name = f"{folder.resolve().name}/{path.relative_to(folder).with_suffix('').as_posix()}"
            if channels == "stereo":
                clips.append(Clip(name, path, (0, 1)))
            elif channels == "mono" or num_channels == 1:
                clips.append(Clip(name, path, None))
            else:
                clips += [Clip(f"{name}#{index + 1}", path, (index,)) for index in range(num_channels)]
    names = [clip.name for clip in clips]
    if not clips:
        raise CorpusError(f"no {'stereo' if channels == 'stereo' else 'audio'} files in these folders")
    if len(set(names)) < len(names):
        raise CorpusError("two clips have the same name")
    return clips


def read_clip(clip: Clip, seconds: float | None = None) -> tuple[Samples, int]:
    """Return the samples of a clip and its sample rate (Hz).

    Args:
        clip: Which one.
        seconds: Take no more than this much from its beginning, None for all.

    Shape:
        returns: [C, T]
    """
    with soundfile.SoundFile(clip.path) as file:
        num_samples = -1 if seconds is None else round(seconds * file.samplerate)
        frames = file.read(num_samples, dtype="float32", always_2d=True)
        taken = frames.mean(axis=1, keepdims=True) if clip.channels is None else frames[:, clip.channels]
        return np.ascontiguousarray(taken.T, dtype=np.float32), file.samplerate


def corpus_sha256(clips: Iterable[Clip]) -> str:
    """Return one hash over the names and files of all clips, whatever their order."""
    lines = sorted(f"{clip.name} {hashlib.sha256(clip.path.read_bytes()).hexdigest()}\n" for clip in clips)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _audio_files(folder: Path, min_channels: int) -> Iterator[tuple[Path, int]]:
    for path in sorted(folder.rglob("*")):
        if (num_channels := _num_channels(path)) >= min_channels:
            yield path, num_channels


def _num_channels(path: Path) -> int:
    if not path.is_file():
        return 0
    try:
        return soundfile.info(path).channels
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless files need parameters
        return 0
