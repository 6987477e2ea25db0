"""Code pieces of training shards for transport: FLAC keeps every sample, Opus is a fraction of the size."""

import io
from typing import Literal, get_args

import numpy as np
import soundfile

from hscodec.errors import CorpusError
from hscodec.training.corpus_signal import CORPUS_RATE_HZ

Codec = Literal["flac", "opus"]
CODECS: tuple[Codec, ...] = get_args(Codec)
MAX_PIECE_SAMPLES = 60 * CORPUS_RATE_HZ
OPUS_KBPS = 96

MARGIN_SAMPLES = {"flac": 0, "opus": 80 * CORPUS_RATE_HZ // 1000}
"""Coded on both sides of a piece and dropped by the decoder: Opus takes up to 80 ms to converge (RFC 7845, 4.6), and
the last millisecond of a stream came back at a signal-to-noise ratio of 12 dB instead of 25 dB."""

_FORMATS = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}
_OPUS_KBPS_RANGE = (6, 256)
"""What libsndfile maps the compression levels 1 and 0 to, for one channel; between them it is linear."""
_MAX_OVERHEAD_BYTES = 16 << 10
_MAX_SAMPLE_BYTES = 3
"""Noise takes 2.003 bytes a sample in FLAC; the rest is reserve."""


def max_piece_bytes(num_samples: int) -> int:
    """Return how many bytes a piece may take at most, its margins and its place in a part included."""
    return _MAX_OVERHEAD_BYTES + _MAX_SAMPLE_BYTES * num_samples


def samples_that_fit(num_bytes: int) -> int:
    """Return how many samples a piece may have so that it never takes more than `num_bytes`."""
    return min(MAX_PIECE_SAMPLES, (num_bytes - _MAX_OVERHEAD_BYTES) // _MAX_SAMPLE_BYTES)


def encode_piece(shard: np.ndarray, start_samples: int, stop_samples: int, codec: Codec) -> bytes:
    """Code the range `[start_samples, stop_samples)` of a shard.

    Args:
        shard: Mono audio at 48 kHz.
        start_samples: From 0.
        stop_samples: Above `start_samples`, at most T.
        codec: `flac` is exact. `opus` (Ogg Opus) keeps length and alignment, and nothing above 20 kHz.

    Shape:
        - shard: `[T]`, int16

    Raises:
        CorpusError: The codec is not available here.
    """
    margin = MARGIN_SAMPLES[codec]
    first, last = max(start_samples - margin, 0), min(stop_samples + margin, len(shard))
    silence = (margin - (start_samples - first), margin - (last - stop_samples))
    samples = np.pad(np.array(shard[first:last]), silence)
    container, subtype = _FORMATS[codec]
    file = io.BytesIO()
    options = {"channels": 1, "samplerate": CORPUS_RATE_HZ, "format": container, "subtype": subtype}
    if codec == "opus":
        low, high = _OPUS_KBPS_RANGE
        options["compression_level"] = (high - OPUS_KBPS) / (high - low)
    try:
        with soundfile.SoundFile(file, "w", **options) as writer:
            writer.write(samples)
    except TypeError as error:
        raise CorpusError("coding Opus needs soundfile 0.13 or later") from error
    except (soundfile.SoundFileError, ValueError) as error:
        raise CorpusError(f"cannot write {container} {subtype} here: {error}") from error
    return file.getvalue()


def decode_piece(data: bytes, codec: Codec, *, num_samples: int) -> np.ndarray:
    """Decode what `encode_piece` returned; nothing is decoded whose header announces anything else.

    Args:
        data: One piece.
        codec: How it was coded.
        num_samples: T, how many samples it must have, without margins.

    Shape:
        - Output: `[T]`, int16

    Raises:
        CorpusError: The bytes are damaged, or are other audio than they should be.
    """
    margin = MARGIN_SAMPLES[codec]
    num_coded = num_samples + 2 * margin
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as reader:
            found = (reader.format, reader.subtype, reader.samplerate, reader.channels, reader.frames)
            if found != (*_FORMATS[codec], CORPUS_RATE_HZ, 1, num_coded):
                raise CorpusError(f"not {num_coded} samples of {codec}")
            if codec == "flac":
                samples = reader.read(num_coded, dtype="int16")
            else:
                # Opus may exceed full scale, and libsndfile's own conversion to integers then wraps around.
                levels = np.rint(reader.read(num_coded, dtype="float32") * 32768)
                samples = np.clip(levels, -32768, 32767).astype(np.int16)
    except soundfile.SoundFileError as error:
        raise CorpusError(f"cannot be decoded: {error}") from error
    if len(samples) != num_coded:
        raise CorpusError(f"{num_coded - len(samples)} samples cannot be decoded")
    return samples[margin : margin + num_samples]
