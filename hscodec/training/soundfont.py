"""Single notes out of a SoundFont 2 file.

Layout from the SoundFont Technical Specification 2.04, sections 4 to 7: a RIFF file of type `sfbk`; list `sdta` holds
one chunk `smpl` with all samples as 16-bit mono, list `pdta` holds `shdr`, a table of 46-byte records that cuts it into
notes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hscodec.errors import CorpusError

_RECORD = struct.Struct("<20sIIIIIBbHH")
_MAX_TABLE_BYTES = 1 << 24


@dataclass(frozen=True)
class Note:
    """One sample of a SoundFont.

    Attributes:
        name: As written in the file, at most 20 characters.
        sample_rate: Hz.
        samples: The recording.

    Shape:
        - samples: `[T]`, int16
    """

    name: str
    sample_rate: int
    samples: np.ndarray


def read_notes(path: str | Path) -> Iterator[Note]:
    """Yield the notes of a SoundFont one after the other, in file order; notes in ROM or without samples are left out.

    Raises:
        CorpusError: The file is not a SoundFont, or is cut off.
    """
    with open(path, "rb") as file:
        chunks = _find_chunks(file, str(path))
        if b"smpl" not in chunks or b"shdr" not in chunks:
            raise CorpusError(f"{path}: not a SoundFont")
        table_start, table_bytes = chunks[b"shdr"]
        if table_bytes > _MAX_TABLE_BYTES:
            raise CorpusError(f"{path}: sample table of {table_bytes} bytes")
        file.seek(table_start)
        table = file.read(table_bytes // _RECORD.size * _RECORD.size)
        sample_start, sample_bytes = chunks[b"smpl"]
        # The last record only marks the end of the table.
        for name, start, stop, _, _, sample_rate, _, _, _, flags in list(_RECORD.iter_unpack(table))[:-1]:
            if flags & 0x8000 or stop <= start or 2 * stop > sample_bytes:
                continue
            file.seek(sample_start + 2 * start)
            samples = np.frombuffer(file.read(2 * (stop - start)), dtype="<i2")
            yield Note(name.split(b"\0")[0].decode("latin-1").strip(), sample_rate, samples)


def _find_chunks(file: BinaryIO, path: str) -> dict[bytes, tuple[int, int]]:
    """Return the place and size (bytes) of every chunk in the lists of a RIFF file."""
    chunks: dict[bytes, tuple[int, int]] = {}
    file_bytes = file.seek(0, 2)
    file.seek(0)
    riff, _, kind = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if riff != b"RIFF" or kind != b"sfbk":
        raise CorpusError(f"{path}: not a SoundFont")
    position = 12
    while position + 8 <= file_bytes:
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"LIST":
            # Descend: the list's own header is 12 bytes, its chunks follow.
            position += 12
            continue
        if position + 8 + size > file_bytes:
            raise CorpusError(f"{path}: chunk {name!r} is cut off")
        chunks[name] = (position + 8, size)
        position += 8 + size + size % 2
    return chunks
