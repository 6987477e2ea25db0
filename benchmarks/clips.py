"""The clips of a measurement: audio files below some folders, channel by channel."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.contenders import Samples
from hscodec.errors import CorpusError


@dataclass(frozen=True)
class Clip:
    """One channel of one audio file.

    Args:
        name: Name in results: folder, path below it, and the channel where there are several.
        path: The file.
        channel: Index of the channel, or None to mix all of them.
    """

    name: str
    path: Path
    channel: int | None


def find_clips(folders: Iterable[Path], *, limit: int | None = None, mono: bool = False) -> list[Clip]:
    """Return the clips of all files below the folders that libsndfile can read, sorted by name within each folder.

    Args:
        folders: Where to look.
        limit: How many files to take of each folder, None for all.
        mono: Mix the channels of a file to one clip instead of making a clip of each.

    Raises:
        CorpusError: There is no audio file, or two clips would have the same name.
    """
    clips: list[Clip] = []
    for folder in folders:
        readable = ((path, channels) for path in sorted(folder.rglob("*")) if (channels := _num_channels(path)))
        for _, (path, channels) in zip(range(limit or 2**31), readable, strict=False):
            name = f"{folder.resolve().name}/{path.relative_to(folder).with_suffix('').as_posix()}"
            if mono or channels == 1:
                clips.append(Clip(name, path, None))
            else:
                clips += [Clip(f"{name}#{channel + 1}", path, channel) for channel in range(channels)]
    names = [clip.name for clip in clips]
    if not clips or len(set(names)) < len(names):
        raise CorpusError("two clips have the same name" if clips else "no audio files in these folders")
    return clips


def read_clip(clip: Clip, seconds: float | None = None) -> tuple[Samples, int]:
    """Return the samples of a clip and its sample rate (Hz).

    Args:
        clip: Which one.
        seconds: Take no more than this much from its beginning, None for all.

    Shape:
        returns: [T]
    """
    with soundfile.SoundFile(clip.path) as file:
        num_samples = -1 if seconds is None else round(seconds * file.samplerate)
        samples = file.read(num_samples, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1) if clip.channel is None else samples[:, clip.channel]
        return np.ascontiguousarray(mono, dtype=np.float32), file.samplerate


def corpus_sha256(clips: Iterable[Clip]) -> str:
    """Return one hash over the names and files of all clips, whatever their order."""
    lines = sorted(f"{clip.name} {hashlib.sha256(clip.path.read_bytes()).hexdigest()}\n" for clip in clips)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _num_channels(path: Path) -> int:
    if not path.is_file():
        return 0
    try:
        return soundfile.info(path).channels
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless files need parameters
        return 0
