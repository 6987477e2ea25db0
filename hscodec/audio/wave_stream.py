"""Write WAV to a stream that cannot seek, such as a pipe: libsndfile writes WAV only where it can go back.

The header comes first and says the length. Where that is not known yet, or does not fit into 32 bits, it says the most
that it can, as other tools do; readers of a pipe then go on to the end.
"""

from struct import Struct
from types import TracebackType
from typing import BinaryIO

import numpy as np

from hscodec.audio.levels import check_block, to_levels
from hscodec.errors import AudioError

_HEADER = Struct("<4sI4s4sIHHIIHH4sI")
"""RIFF size WAVE, then the chunk `fmt ` of 16 bytes, then the head of the chunk `data` (RIFF specification, 1991)."""
_SIZE_UNKNOWN = 2**32 - 1
_BEHIND_RIFF_SIZE = _HEADER.size - 8
_WAVE_FORMAT_PCM = 1
_WAVE_FORMAT_IEEE_FLOAT = 3
_SAMPLE_BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32}


class WaveStream:
    """A WAV stream in the making; a context manager with the interface of `AudioWriter`.

    Args:
        stream: Takes bytes; left open.
        sample_rate: Hz.
        num_channels: C.
        subtype: `PCM_16` (the default), `PCM_24`, `PCM_32` or `FLOAT`.
        num_samples: Length of each channel, if it is known.

    Raises:
        AudioError: There is no such subtype.

    Attributes:
        num_clipped: How many samples were out of range so far, counted over all channels.
        num_written: Samples written to each channel so far.
    """

    def __init__(
        self,
        stream: BinaryIO,
        sample_rate: int,
        *,
        num_channels: int,
        subtype: str | None = None,
        num_samples: int | None = None,
    ) -> None:
        self.num_clipped = 0
        self.num_written = 0
        self._stream = stream
        self._subtype = (subtype or "PCM_16").upper()
        if self._subtype not in _SAMPLE_BITS:
            raise AudioError(f"a WAV stream has no subtype {subtype!r}; it has {' '.join(_SAMPLE_BITS)}")
        self._sample_rate = sample_rate
        self._num_channels = num_channels
        self._num_samples = num_samples

    def __enter__(self) -> "WaveStream":
        sample_bytes = _SAMPLE_BITS[self._subtype] // 8
        frame_bytes = sample_bytes * self._num_channels
        data_bytes = _SIZE_UNKNOWN if self._num_samples is None else self._num_samples * frame_bytes
        data_bytes = min(data_bytes, _SIZE_UNKNOWN)
        code = _WAVE_FORMAT_IEEE_FLOAT if self._subtype == "FLOAT" else _WAVE_FORMAT_PCM
        self._stream.write(
            _HEADER.pack(
                b"RIFF",
                min(data_bytes + _BEHIND_RIFF_SIZE, _SIZE_UNKNOWN),
                b"WAVE",
                b"fmt ",
                16,
                code,
                self._num_channels,
                self._sample_rate,
                self._sample_rate * frame_bytes,
                frame_bytes,
                8 * sample_bytes,
                b"data",
                data_bytes,
            )
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if self._num_channels % 2 and _SAMPLE_BITS[self._subtype] == 24 and self.num_written % 2:
                self._stream.write(b"\0")  # chunks of RIFF have an even length
            self._stream.flush()

    def write(self, block: np.ndarray) -> None:
        """Append samples.

        Args:
            block: Full scale is 1.0; may be empty.

        Shape:
            - block: `[C, T]`, float

        Raises:
            AudioError: The block has the wrong shape or holds values that are not finite.
        """
        check_block(block, num_channels=self._num_channels, seconds=self.num_written / self._sample_rate)
        self._stream.write(self._packed(np.ascontiguousarray(block.T)))
        self._stream.flush()  # who listens at the other end should not have to wait
        self.num_written += block.shape[1]

    def _packed(self, frames: np.ndarray) -> bytes:
        if self._subtype == "FLOAT":
            return frames.astype("<f4").tobytes()
        bits = _SAMPLE_BITS[self._subtype]
        levels, num_clipped = to_levels(frames, bits)
        self.num_clipped += num_clipped
        # The low bytes of little-endian 32-bit integers are the shorter integers.
        return levels.astype("<i4")[..., None].view(np.uint8)[..., : bits // 8].tobytes()
