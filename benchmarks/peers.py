"""Opus, MP3 and AAC by way of PyAV, whose wheels carry the encoders: delays compensated, at their best effort."""

import ctypes
import importlib
import io
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from benchmarks.contenders import Encoded, Samples
from hscodec.audio.resample import resample
from hscodec.errors import HscodecError

OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
AAC_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)

# Below 48 kbit/s LAME itself leaves 44.1 and 48 kHz for 24 kHz or less, and MPEG-1 has no bitrate below 32 kbit/s.
# Those are figures for mono: two channels count with half their common bitrate.
_HALF_RATE_BELOW_KBPS_PER_CHANNEL = 48
_HALF_RATE_HZ = 24_000

_LAYOUTS = {1: "mono", 2: "stereo"}


class Opus:
    """libopus in Ogg: variable rate, complexity 10, frames of 20 ms.

    Rates that Opus knows (8, 12, 16, 24, 48 kHz) are fed natively, others are resampled to 48 kHz and back, as
    opusenc does. The decoder is libopus too: FFmpeg's own has other resampling delays below 12 kbit/s.

    Args:
        settings: Target bitrates (kbit/s).
        kind: What the encoder is told to expect: `"speech"` (application voip, which high-passes) or `"music"` (audio).
    """

    name = "opus"

    def __init__(self, settings: tuple[float, ...], *, kind: Literal["speech", "music"] = "speech") -> None:
        self.settings = settings
        self._application = {"speech": "voip", "music": "audio"}[kind]

    def version(self) -> str:
        """Return the version of libopus, as far as it can be told, and the encoder's mode."""
        return f"{_libopus_version()} {self._application}"

    def encode(self, samples: Samples, sample_rate: int, setting: float) -> Encoded:
        """Encode one clip of shape [C, T] at about `setting` kbit/s."""
        options = {"application": self._application, "vbr": "on", "compression_level": "10", "frame_duration": "20"}
        rate_hz = sample_rate if sample_rate in OPUS_RATES_HZ else 48_000
        return _encode(samples, sample_rate, rate_hz, "libopus", "ogg", setting, options)

    def decode(self, encoded: Encoded) -> Samples:
        """Return the decoded clip, shape [C, T]."""
        return _decode(encoded, "libopus")


class Mp3:
    """LAME through FFmpeg: average bitrate, best quality.

    Args:
        settings: Target bitrates (kbit/s).
    """

    name = "mp3"

    def __init__(self, settings: tuple[float, ...]) -> None:
        self.settings = settings

    def version(self) -> str:
        """Return the version of FFmpeg's codec library."""
        return _libavcodec_version()

    def encode(self, samples: Samples, sample_rate: int, setting: float) -> Encoded:
        """Encode one clip of shape [C, T] at about `setting` kbit/s."""
        rate_hz = _coding_rate(sample_rate, setting / samples.shape[0], MP3_RATES_HZ)
        options = {"abr": "1", "compression_level": "0"}
        return _encode(samples, sample_rate, rate_hz, "libmp3lame", "mp3", setting, options)

    def decode(self, encoded: Encoded) -> Samples:
        """Return the decoded clip, shape [C, T]."""
        return _decode(encoded)


class Aac:
    """AAC-LC by FFmpeg's own encoder in an MP4 file, whose edit list holds the delay.

    Its `fast` coder is used: in a trial on four speech clips up to 32 kbit/s it mostly had the higher PESQ, at 24 and
    32 kbit/s also the higher STOI.

    Args:
        settings: Target bitrates (kbit/s).
    """

    name = "aac"

    def __init__(self, settings: tuple[float, ...]) -> None:
        self.settings = settings

    def version(self) -> str:
        """Return the version of FFmpeg's codec library."""
        return _libavcodec_version()

    def encode(self, samples: Samples, sample_rate: int, setting: float) -> Encoded:
        """Encode one clip of shape [C, T] at about `setting` kbit/s."""
        rate_hz = _coding_rate(sample_rate, setting / samples.shape[0], AAC_RATES_HZ)
        return _encode(samples, sample_rate, rate_hz, "aac", "ipod", setting, {"aac_coder": "fast"})

    def decode(self, encoded: Encoded) -> Samples:
        """Return the decoded clip, shape [C, T]."""
        return _decode(encoded)


def _coding_rate(sample_rate: int, kbps_per_channel: float, rates_hz: tuple[int, ...]) -> int:
    wanted_hz = min(sample_rate, _HALF_RATE_HZ) if kbps_per_channel < _HALF_RATE_BELOW_KBPS_PER_CHANNEL else sample_rate
    return min((rate_hz for rate_hz in rates_hz if rate_hz >= wanted_hz), default=rates_hz[-1])


def _encode(
    samples: Samples, sample_rate: int, rate_hz: int, codec: str, container: str, kbps: float, options: dict[str, str]
) -> Encoded:
    av = av_package()
    layout = _LAYOUTS[samples.shape[0]]
    file, payload_bytes = io.BytesIO(), 0
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout=layout, options=options)
        stream.bit_rate = round(kbps * 1000)
        if codec == "libopus":
            stream.codec_context.format = "flt"  # its default, 16 bits, would round the input
        planes = np.ascontiguousarray(resample(samples, sample_rate, rate_hz))
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)  # PyAV makes what the codec takes
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            payload_bytes += packet.size
            output.mux(packet)
    return Encoded(file.getvalue(), payload_bytes, sample_rate, *samples.shape)


def _decode(encoded: Encoded, decoder: str | None = None) -> Samples:
    av = av_package()
    with av.open(io.BytesIO(encoded.blob)) as source:
        stream = source.streams.audio[0]
        context: Any = stream.codec_context
        if decoder is not None:
            context = av.CodecContext.create(decoder, "r")
            context.extradata = stream.codec_context.extradata
            context.sample_rate, context.layout = 48_000, _LAYOUTS[encoded.num_channels]
            context.options = {"request_sample_fmt": "flt"}  # its default, 16 bits, clips and rounds
        # The demuxer marks what the encoder's delay and padding added, and the decoder drops it.
        blocks = [_planar(frame) for packet in source.demux(stream) for frame in context.decode(packet)]
        nothing = np.zeros((encoded.num_channels, 0), np.float32)  # FFmpeg's AAC encoder drops clips of a few samples
        decoded = resample(np.concatenate([nothing, *blocks], axis=1), context.sample_rate, encoded.sample_rate)
    missing = max(0, encoded.num_samples - decoded.shape[1])
    return np.pad(decoded, ((0, 0), (0, missing)))[:, : encoded.num_samples]


def _planar(frame: Any) -> Samples:
    # libopus interleaves its channels, [1, T * C]; the decoders of MP3 and AAC keep them apart, [C, T].
    samples = frame.to_ndarray()
    return samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T


def av_package() -> ModuleType:
    """Return PyAV.

    Raises:
        HscodecError: It is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise HscodecError("other codecs need PyAV: pip install 'hscodec[bench]'") from error


def _libavcodec_version() -> str:
    return "libavcodec " + ".".join(map(str, av_package().library_versions["libavcodec"]))


def _libopus_version() -> str:
    # PyAV does not tell; its wheels carry the library, whose own function does.
    for path in sorted((Path(str(av_package().__file__)).parents[1] / "av.libs").glob("libopus*")):
        version = ctypes.CDLL(str(path)).opus_get_version_string
        version.restype = ctypes.c_char_p
        return version().decode()
    return f"libopus in {_libavcodec_version()}"
