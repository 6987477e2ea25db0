"""Audio files: `AudioReader`, `AudioWriter` and `peak` under one name."""

from hscodec.audio.reader import AudioReader, peak
from hscodec.audio.writer import AudioWriter

__all__ = ["AudioReader", "AudioWriter", "peak"]
