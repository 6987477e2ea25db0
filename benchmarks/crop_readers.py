"""Short ranges of WAV, FLAC and Opus files at another rate, as whoever trains on such files has to read them."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from benchmarks.contenders import Samples
from benchmarks.peers import Opus, av_package
from hscodec.audio.resample import resample

MARGIN_SECONDS = Fraction(1, 20)
"""Sound on either side of a crop that goes through the resampler with it, so that its ends are right."""
OPUS_PREROLL_SECONDS = Fraction(2, 25)
"""An Opus decoder that starts in the middle needs 80 ms until its output is right (RFC 7845, section 4.6)."""


class CropReader(Protocol):
    """A file format of the comparison.

    Attributes:
        name: Name in the table.
        suffix: Suffix of its files.
    """

    name: str
    suffix: str

    def write(self, path: Path, samples: Samples, sample_rate: int) -> None:
        """Store a recording.

        Shape:
            samples: [C, T]
        """
        ...

    def length(self, path: Path) -> int:
        """Return the length of a file in samples at its own rate."""
        ...

    def read(self, path: Path, rate: int, start: int, stop: int) -> Samples:
        """Return the samples `[start, stop)`, counted at `rate` (Hz), of which all lie in the file.

        Shape:
            returns: [C, stop - start]
        """
        ...


class SoundFileReader:
    """WAV or FLAC with 16 bits, through libsndfile.

    Args:
        container_format: `wav` or `flac`.
    """

    def __init__(self, container_format: str) -> None:
        self.name = container_format
        self.suffix = f".{container_format}"

    def write(self, path: Path, samples: Samples, sample_rate: int) -> None:
        """Store a recording [C, T]."""
        soundfile.write(path, samples.T, sample_rate, subtype="PCM_16")

    def length(self, path: Path) -> int:
        """Return the length of a file in samples at its own rate."""
        return soundfile.info(path).frames

    def read(self, path: Path, rate: int, start: int, stop: int) -> Samples:
        """Return samples [C, stop - start] at `rate`."""
        with soundfile.SoundFile(path) as file:
            first, last = around(start, stop, rate, file.samplerate)
            file.seek(first)
            frames = file.read(min(last, file.frames) - first, dtype="float32", always_2d=True)
            samples = np.asarray(frames.T, dtype=np.float32)
            return cut(samples, first, start, stop, file.samplerate, rate)


class OpusReader:
    """Opus in Ogg, through PyAV.

    Args:
        kbps: Target bitrate (kbit/s).
    """

    name = "opus"
    suffix = ".opus"

    def __init__(self, kbps: float) -> None:
        self._kbps = kbps

    def write(self, path: Path, samples: Samples, sample_rate: int) -> None:
        """Store a recording [C, T]."""
        path.write_bytes(Opus((self._kbps,)).encode(samples, sample_rate, self._kbps).blob)

    def length(self, path: Path) -> int:
        """Return the length of a file in samples at 48 kHz."""
        with av_package().open(str(path)) as container:
            stream = container.streams.audio[0]
            return int(stream.duration * stream.time_base * 48_000)

    def read(self, path: Path, rate: int, start: int, stop: int) -> Samples:
        """Return samples [C, stop - start] at `rate`."""
        with av_package().open(str(path)) as container:
            stream: Any = container.streams.audio[0]
            first, last = around(start, stop, rate, stream.rate)
            preroll = first - int(OPUS_PREROLL_SECONDS * stream.rate)
            if preroll > 0:
                container.seek(int(preroll / (stream.time_base * stream.rate)), stream=stream)
            blocks, origin, end = [], None, 0
            for frame in container.decode(stream):
                position = round(frame.pts * frame.time_base * frame.sample_rate)
                samples = frame.to_ndarray()
                planes = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
                origin = position if origin is None else origin
                blocks.append(planes)
                end = position + planes.shape[1]
                if end >= last:
                    break
            decoded = np.concatenate(blocks, 1)
            skipped = max(first - (origin or 0), 0)
            return cut(decoded[:, skipped:], (origin or 0) + skipped, start, stop, stream.rate, rate)


def around(start: int, stop: int, rate: int, file_rate: int) -> tuple[int, int]:
    """Return which samples of a file a range at another rate needs, with a margin; the first is a sample of both."""
    # The resampler keeps the first sample in its place, so a crop must begin where both rates have a sample.
    step = Fraction(rate, file_rate).denominator
    first = max(int(Fraction(start, rate) * file_rate - MARGIN_SECONDS * file_rate), 0) // step * step
    return first, int((Fraction(stop, rate) + MARGIN_SECONDS) * file_rate)


def cut(samples: Samples, first: int, start: int, stop: int, file_rate: int, rate: int) -> Samples:
    """Return the samples `[start, stop)` at `rate` of what begins at a file's sample `first`, silent behind its end."""
    resampled = resample(samples, file_rate, rate)
    skipped = start - round(Fraction(first, file_rate) * rate)
    found = resampled[:, skipped : skipped + stop - start]
    return np.pad(found, ((0, 0), (0, stop - start - found.shape[1])))
