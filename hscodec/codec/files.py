"""Whole sounds: `encode_file` and `decode_file`, from and to files and streams."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, TypeAlias

import torch

from hscodec.atomic import atomic_writer, check_output
from hscodec.audio.reader import AudioReader, peak
from hscodec.audio.wave_stream import WaveStream
from hscodec.audio.writer import AudioWriter
from hscodec.codec.constants import DEFAULT_QUALITY, LIVE_PEAK, MAX_PEAK, REFERENCE_PEAK, SILENT_GAIN
from hscodec.codec.lost import SecondsRange
from hscodec.codec.plans import DEFAULT_BITS, plan_for
from hscodec.codec.playback import Number, check_playback
from hscodec.codec.reader import Reader, open_decoder
from hscodec.codec.sample_format import sample_format
from hscodec.codec.shared_models import shared_model_by_id
from hscodec.codec.symbols import LayeredStream, SymbolStream
from hscodec.container.codes import Storage
from hscodec.container.format import FileHeader
from hscodec.container.reader import iter_chunks
from hscodec.container.tags import Tags, pack_tags
from hscodec.container.writer import ContainerWriter
from hscodec.device import choose_device
from hscodec.errors import AudioError, FormatError, HscodecError
from hscodec.registry import AnyModel

logger = logging.getLogger(__name__)

ProgressReport = Callable[[float, float | None], None]
"""Called with (seconds done, seconds in all, or None if nobody knows)."""

Source: TypeAlias = str | Path | BinaryIO
Target: TypeAlias = str | Path | BinaryIO


@dataclass(frozen=True)
class FileResult:
    """What was done.

    Attributes:
        file_bytes: Size of the `.hsnd` file.
        sample_rate: Rate of the audio file (Hz), as its header says it: a whole number.
        num_channels: C.
        num_samples: Length of each channel of the audio file.
        clipped_samples: Samples that the audio file could not hold and that were clipped.
        lost: The seconds of the encoded sound that could not be decoded.
    """

    file_bytes: int
    sample_rate: int
    num_channels: int
    num_samples: int
    clipped_samples: int = 0
    lost: tuple[SecondsRange, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration (s)."""
        return self.num_samples / self.sample_rate

    @property
    def kbps(self) -> float:
        """File bytes times 8 over seconds (kbit/s); 0 for an empty file."""
        return self.file_bytes * 8 / self.seconds / 1000 if self.num_samples else 0.0


def encode_file(
    source: str | Path | AudioReader,
    target: Target,
    *,
    model: AnyModel,
    quality: float = DEFAULT_QUALITY,
    tags: Tags | None = None,
    device: torch.device | str = "auto",
    workers: int | None = None,
    zstd_only: bool = False,
    storage: Storage = Storage.WEIGHTS,
    bits: int = DEFAULT_BITS,
    chunk_seconds: Number | None = None,
    overwrite: bool = False,
    progress: ProgressReport | None = None,
) -> FileResult:
    """Encode a sound.

    A file is read twice: first for its peak, to which its level is scaled. A pipe can be read only once: full scale is
    taken for its peak, and its length is written behind the sound.

    Args:
        source: Any file that soundfile reads, or an open reader, which is left open.
        target: The `.hsnd` file to write, which appears whole or not at all; or a stream, which is left open.
        model: From `registry.load_model`.
        quality: 0 to 10, in steps of 0.01; models of the HyperSound family know none.
        tags: What to store as tags; None is `source_tags`.
        device: Where the networks run.
        workers: Threads that encode chunks side by side; None is as many as torch would use. They change no bit.
        zstd_only: Whether symbols are coded by zstd alone; files are then about a sixth larger.
        storage: What is stored with a model of the HyperSound family, and of no other.
        bits: Bits of a symbol with such a model, 2 to 16.
        chunk_seconds: Length of a chunk (s), 0.5 to 20, brought to an even number of segments. Short ones come out
            sooner and lose less to damage, and cost quality. None is 5 s, or with such a model up to 60 s.
        overwrite: Whether `target` may exist. It is never the source.
        progress: Called after each block.

    Raises:
        AudioError: The source cannot be used, or its samples are beyond `MAX_PEAK`.
        FormatError: The tags are too long.
        HscodecError: The target exists or cannot be written, the quality or the length of chunks is out of range, or
            there is no such device.
    """
    plan = plan_for(
        model,
        quality=quality,
        zstd_only=zstd_only,
        storage=storage,
        bits=bits,
        chunk_seconds=chunk_seconds,
        device=choose_device(device) if isinstance(device, str) else device,
        workers=workers,
    )
    if isinstance(target, str | Path):
        path = source.path if isinstance(source, AudioReader) else source
        check_output(target, overwrite=overwrite, source=path)
    with contextlib.ExitStack() as stack:
        audio = source if isinstance(source, AudioReader) else stack.enter_context(AudioReader(source))
        gain = LIVE_PEAK / REFERENCE_PEAK if audio.is_pipe else _gain(audio)
        header = FileHeader(
            sample_rate=audio.sample_rate,
            num_channels=audio.num_channels,
            num_samples=None if audio.is_pipe else audio.num_samples,
            gain=gain,
            sample_format=sample_format(audio.subtype),
            tags=source_tags(audio) if tags is None else tags,
            **plan.header_fields(audio.sample_rate),
        )
        encoder = plan.encoder(sample_rate=audio.sample_rate, num_channels=audio.num_channels, gain=header.gain)
        if isinstance(target, str | Path):
            target = stack.enter_context(atomic_writer(target, overwrite=overwrite))
        container = stack.enter_context(ContainerWriter(target, header))
        num_samples = 0
        for block in audio.blocks():
            _check_peak(audio, float(abs(block).max()))
            for chunk in encoder.push(block):
                chunk.write_to(container)
            num_samples += block.shape[1]
            if progress:
                total = audio.num_samples
                progress(num_samples / audio.sample_rate, None if total is None else total / audio.sample_rate)
        chunks = list(encoder.finish())
        for chunk in chunks:
            chunk.write_to(container, last=chunk is chunks[-1])
        container.close(num_samples=num_samples)
        return FileResult(container.bytes_written, audio.sample_rate, audio.num_channels, num_samples)


def decode_file(
    source: Source,
    target: Target,
    *,
    rate: Number | None = None,
    speed: Number = 1,
    reverse: bool = False,
    start: Fraction | float = 0,
    stop: Fraction | float | None = None,
    subtype: str | None = None,
    keep_going: bool = False,
    device: torch.device | str = "auto",
    workers: int | None = None,
    overwrite: bool = False,
    progress: ProgressReport | None = None,
    model: AnyModel | None = None,
) -> FileResult:
    """Decode a `.hsnd` file, or a part of it, to an audio file.

    A range gets exactly the samples that it has in the whole: those that sit in `[start, stop)`, where sample n sits at
    speed * (n + 1/2) / rate. Only the chunks around it are read.

    Args:
        source: The `.hsnd` file; or a stream, which is left open. One that cannot seek is decoded as it arrives, as a
            whole and only while it is undamaged.
        target: The audio file to write, whose extension says the format; it appears whole or not at all. Or a stream,
            which gets WAV and is left open.
        rate: Output rate (Hz), whole or not; None keeps the rate of what was encoded. Samples sit exactly where it puts
            them; the header of the audio file holds the nearest whole number.
        speed: How fast the sound is played; pitch and duration change together.
        reverse: Write the samples of the range in the opposite order.
        start: Where the range starts, in seconds of the encoded sound.
        stop: Where it stops (s); None, or anything beyond the end, is the end.
        subtype: How samples are stored, as soundfile names it; None is the format's default, 16-bit PCM for WAV.
        keep_going: Decode what is left of a damaged file: what is lost is silence into which the sound fades.
        device: Where the networks run.
        workers: Threads that decode slices of a file side by side, on the CPU; None is as many as torch would use.
        overwrite: Whether `target` may exist. It is never the source.
        progress: Called after each block.
        model: The model that the file names; None finds it.

    Raises:
        FormatError: The source is not a whole `.hsnd` file, or its own rate is out of range and `rate` is not given.
        ModelError: The model is not installed.
        HscodecError: The target exists or cannot be written, the rate, the speed or the range is out of range, there is
            no such device, or a stream that cannot seek would have to.
    """
    check_playback(rate, speed)
    if start < 0 or (stop is not None and stop <= start):
        raise HscodecError(f"the range from {float(start):g} s to {float(stop or 0):g} s holds nothing")
    if isinstance(target, str | Path):
        check_output(target, overwrite=overwrite, source=source if isinstance(source, str | Path) else None)
    if not isinstance(source, str | Path) and not source.seekable():
        if keep_going or reverse or start or stop is not None:
            raise HscodecError("a stream that cannot seek is decoded as a whole and forwards")
        return _decode_stream(
            source,
            target,
            model,
            rate=rate,
            speed=speed,
            subtype=subtype,
            device=device,
            overwrite=overwrite,
            progress=progress,
        )
    reader = Reader(source, model=model, rate=rate, speed=speed, device=device, keep_going=keep_going, workers=workers)
    with reader:
        first = reader.sample_at(start)
        last = reader.num_samples if stop is None else min(reader.sample_at(stop), reader.num_samples)
        if start and first >= reader.num_samples:
            raise HscodecError(f"the range starts at {float(start):g} s, the sound stops at {reader.seconds:g} s")
        tags, header_rate = reader.header.tags, reader.playback.header_rate_hz
        writer = _open_writer(target, header_rate, reader.num_channels, subtype, last - first, overwrite, tags)
        with writer:
            for block in reader.blocks(first, last, reverse=reverse):
                writer.write(block.cpu().numpy())
                if progress:
                    progress(writer.num_written / header_rate, (last - first) / header_rate)
        return FileResult(
            reader.file_bytes, header_rate, reader.num_channels, last - first, writer.num_clipped, tuple(reader.lost)
        )


def source_tags(audio: AudioReader) -> Tags:
    """Return the tags of a source, without the longest ones if together they exceed what a `.hsnd` file can hold."""
    tags = list(audio.tags)
    while True:
        try:
            pack_tags(tuple(tags))
            return tuple(tags)
        except FormatError:
            longest = max(tags, key=lambda tag: len(tag[0]) + len(tag[1]))
            logger.warning("%s: the tag %s is too long and is left out", audio.path, longest[0])
            tags.remove(longest)


def _decode_stream(
    source: BinaryIO,
    target: Target,
    model: AnyModel | None,
    *,
    rate: Number | None,
    speed: Number,
    subtype: str | None,
    device: torch.device | str,
    overwrite: bool,
    progress: ProgressReport | None,
) -> FileResult:
    stream = iter_chunks(source)
    header = stream.header
    if header.network is not None:
        symbols = LayeredStream(stream)
    else:
        symbols = SymbolStream(stream, model or shared_model_by_id(header.model_id))
    decoder = open_decoder(symbols, model, rate=rate, speed=speed, device=device)
    header_rate = decoder.playback.header_rate_hz
    writer = _open_writer(
        target, header_rate, header.num_channels, subtype, decoder.num_samples, overwrite, header.tags
    )
    with writer:
        for block in decoder.blocks():
            writer.write(block.cpu().numpy())
            if progress:
                total = None if decoder.num_samples is None else decoder.num_samples / header_rate
                progress(writer.num_written / header_rate, total)
    return FileResult(stream.bytes_read, header_rate, header.num_channels, writer.num_written, writer.num_clipped)


def _open_writer(
    target: Target,
    rate: int,
    num_channels: int,
    subtype: str | None,
    num_samples: int | None,
    overwrite: bool,
    tags: Tags,
) -> AudioWriter | WaveStream:
    if not isinstance(target, str | Path):
        return WaveStream(target, rate, num_channels=num_channels, subtype=subtype, num_samples=num_samples)
    return AudioWriter(
        target,
        rate,
        num_channels=num_channels,
        subtype=subtype,
        num_samples=num_samples,
        overwrite=overwrite,
        tags=tags,
    )


def _gain(audio: AudioReader) -> float:
    highest = peak(audio)
    _check_peak(audio, highest)
    return max(highest / REFERENCE_PEAK, SILENT_GAIN)


def _check_peak(audio: AudioReader, highest: float) -> None:
    if highest > MAX_PEAK:
        raise AudioError(f"{audio.path}: samples as large as {highest:g} cannot be encoded")
