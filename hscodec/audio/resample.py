"""Sample rate conversion with soxr at its highest quality, with lengths that integer arithmetic decides.

soxr puts the first output sample at the time of the first input sample. Sample n of a signal in this package sits at
time (n + 1/2) / rate, so a conversion shifts the signal by (1 / from_rate - 1 / to_rate) / 2 seconds: less than half a
sample of the lower rate, and 0.1 microseconds from 11,025 Hz to its analysis rate of 11,050 Hz.
"""

import numpy as np
import soxr

from hscodec.rates import scaled_length

_QUALITY = "VHQ"


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Convert a whole signal.

    Args:
        samples: The signal.
        from_rate: Its sample rate (Hz).
        to_rate: The wanted sample rate (Hz); the same rate returns the signal as it is.

    Shape:
        - samples: `[C, T]`
        - Output: `[C, scaled_length(T, from_rate, to_rate)]`, float32
    """
    samples = np.asarray(samples, dtype=np.float32)
    if from_rate == to_rate:
        return samples
    num_channels, num_samples = samples.shape
    length = scaled_length(num_samples, from_rate, to_rate)
    if length == 0:
        return np.zeros((num_channels, 0), dtype=np.float32)
    converted = soxr.resample(np.ascontiguousarray(samples.T), from_rate, to_rate, quality=_QUALITY)
    return _fit(converted.reshape(-1, num_channels).T, length)


class Resampler:
    """Converts a signal that arrives in blocks; all outputs together equal `resample` of the whole signal.

    Attributes:
        num_read: Input samples so far.
        num_emitted: Output samples so far.
    """

    def __init__(self, from_rate: int, to_rate: int, *, num_channels: int) -> None:
        """Start a conversion.

        Args:
            from_rate: Sample rate of the input (Hz).
            to_rate: Sample rate of the output (Hz).
            num_channels: C.
        """
        self.num_read = 0
        self.num_emitted = 0
        self._from_rate, self._to_rate = from_rate, to_rate
        self._num_channels = num_channels
        self._stream: soxr.ResampleStream | None = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(from_rate, to_rate, num_channels, dtype="float32", quality=_QUALITY)

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take a block and return the output that is ready, which may be empty: the filter looks ahead.

        Shape:
            - block: `[C, T]`
            - Output: `[C, T']`, float32
        """
        self.num_read += block.shape[1]
        if self._stream is None:
            return self._emit(np.asarray(block, dtype=np.float32))
        return self._emit(self._convert(self._stream, block, last=False))

    def finish(self) -> np.ndarray:
        """Return the rest; the output then has exactly `scaled_length` samples. Nothing may be processed afterwards.

        Shape:
            - Output: `[C, T']`, float32
        """
        length = scaled_length(self.num_read, self._from_rate, self._to_rate) - self.num_emitted
        rest = np.zeros((self._num_channels, 0), dtype=np.float32)
        if self._stream is not None and self.num_read > 0:
            rest = self._convert(self._stream, rest, last=True)
        return self._emit(_fit(rest, length))

    def _convert(self, stream: soxr.ResampleStream, block: np.ndarray, *, last: bool) -> np.ndarray:
        frames = np.ascontiguousarray(np.asarray(block, dtype=np.float32).T)
        return stream.resample_chunk(frames, last=last).reshape(-1, self._num_channels).T

    def _emit(self, output: np.ndarray) -> np.ndarray:
        self.num_emitted += output.shape[1]
        return output


def _fit(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or zero-pad to `length`: soxr rounds lengths in floating point and may be off by one."""
    missing = max(0, length - samples.shape[1])
    return np.ascontiguousarray(np.pad(samples[:, :length], ((0, 0), (0, missing))))
