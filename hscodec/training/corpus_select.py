"""Choose which parts of a source to decode, so that a cap on its length costs as little variety as possible."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hscodec.training.corpus import Source
from hscodec.training.corpus_decode import Recording

PIECE_S = 20.0
"""Length of the excerpts taken from long recordings under a cap."""
LONG_S = 40.0


@dataclass(frozen=True)
class Piece:
    """The range `[start_samples, stop_samples)` of a recording."""

    recording: Recording
    start_samples: int
    stop_samples: int


def list_files(source: Source, folder: Path) -> list[Path]:
    """Return the files of a source, sorted by path, each once even where links make it appear twice."""
    exclude = re.compile(source.exclude) if source.exclude is not None else None
    found: dict[Path, Path] = {}
    for path in sorted({path for pattern in source.glob for path in folder.glob(pattern)}):
        if path.is_file() and not (exclude and exclude.search("/" + path.relative_to(folder).as_posix())):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def choose_pieces(recordings: Iterable[Recording], max_minutes: float | None) -> list[Piece]:
    """Take everything, or about `max_minutes` spread evenly: some of the short recordings, excerpts of every long one.

    Args:
        recordings: All recordings of a source.
        max_minutes: The cap; none if absent.
    """
    recordings = list(recordings)
    total_s = sum(recording.num_samples / recording.sample_rate for recording in recordings)
    share = 1.0 if max_minutes is None else min(1.0, max_minutes * 60 / max(total_s, 1e-9))
    pieces: list[Piece] = []
    taken = 0.0
    for recording in recordings:
        duration_s = recording.num_samples / recording.sample_rate
        if share == 1.0:
            pieces.append(Piece(recording, 0, recording.num_samples))
        elif duration_s > LONG_S:
            pieces += _excerpts(recording, max(1, round(share * duration_s / PIECE_S)))
        else:
            # Keeps every (1 / share)-th of the short ones.
            taken += share
            if taken >= 1:
                taken -= 1
                pieces.append(Piece(recording, 0, recording.num_samples))
    return pieces


def _excerpts(recording: Recording, count: int) -> list[Piece]:
    piece_samples = round(PIECE_S * recording.sample_rate)
    stride = recording.num_samples / count
    starts = [max(0, int((index + 0.5) * stride - piece_samples / 2)) for index in range(count)]
    return [Piece(recording, start, min(start + piece_samples, recording.num_samples)) for start in starts]


def spread(recordings: Sequence[Recording], *, count: int, clip_seconds: float) -> list[Piece]:
    """Choose up to `count` clips for evaluation, evenly over the recordings and at different places inside them.

    Args:
        recordings: All recordings of a source.
        count: How many clips; fewer if there are fewer short recordings.
        clip_seconds: Length of a clip; shorter recordings are taken whole.
    """
    pieces: dict[Piece, None] = {}
    for index in range(count if recordings else 0):
        recording = recordings[int((index + 0.5) * len(recordings) / count)]
        clip_samples = min(round(clip_seconds * recording.sample_rate), recording.num_samples)
        # The golden ratio scatters the places inside the recordings evenly, however many fall into one.
        place = (0.5 + index * 0.618034) % 1.0
        start = int(place * (recording.num_samples - clip_samples))
        pieces.setdefault(Piece(recording, start, start + clip_samples))
    return list(pieces)
