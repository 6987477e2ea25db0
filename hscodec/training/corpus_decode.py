"""Read recordings of any format that corpora come in, whole or in part."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from hscodec.errors import AudioError, CorpusError
from hscodec.rates import MIN_SAMPLE_RATE_HZ

MAX_CORPUS_RATE_HZ = 96_000
"""Recordings above are left out: in game data such rates (128 kHz Vorbis) are mistakes in the header."""

_G722_RATE_HZ = 16_000


@dataclass(frozen=True)
class Recording:
    """A file that can be decoded: where it is and what its header says."""

    path: Path
    sample_rate: int
    num_samples: int


def probe(path: Path) -> Recording:
    """Read the header of a file.

    Raises:
        AudioError: Not audio, empty, or a sample rate that no recording should have.
    """
    try:
        if path.suffix == ".g722":
            # Headerless; 64 kbit/s at 16 kHz are two samples in a byte.
            recording = Recording(path, _G722_RATE_HZ, 2 * path.stat().st_size)
        else:
            info = soundfile.info(str(path))
            recording = Recording(path, info.samplerate, info.frames)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: {error}") from error
    if not MIN_SAMPLE_RATE_HZ <= recording.sample_rate <= MAX_CORPUS_RATE_HZ:
        raise AudioError(f"{path}: sample rate of {recording.sample_rate} Hz")
    if recording.num_samples == 0:
        raise AudioError(f"{path}: no samples")
    return recording


def read(recording: Recording, start_samples: int, stop_samples: int) -> np.ndarray:
    """Decode the range `[start_samples, stop_samples)` of a recording; shorter where the file ends early.

    Shape:
        - Output: `[C, T]`, float32

    Raises:
        AudioError: The file cannot be decoded or holds values that are not finite.
        CorpusError: The file is G.722 and PyAV is not installed.
    """
    if recording.path.suffix == ".g722":
        samples = _read_g722(recording.path)[:, start_samples:stop_samples]
    else:
        try:
            with soundfile.SoundFile(str(recording.path)) as file:
                file.seek(start_samples)
                samples = file.read(stop_samples - start_samples, dtype="float32", always_2d=True).T
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"{recording.path}: {error}") from error
    if not np.isfinite(samples).all():
        raise AudioError(f"{recording.path}: not finite")
    return samples


def _read_g722(path: Path) -> np.ndarray:
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise CorpusError("decoding G.722 needs PyAV: pip install av") from error
    try:
        with av.open(str(path), format="g722") as container:
            blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    except (FFmpegError, OSError) as error:
        raise AudioError(f"{path}: {error}") from error
    if not blocks:
        raise AudioError(f"{path}: no samples")
    return np.concatenate(blocks, axis=1).astype(np.float32) / 32768
