"""Whole files: `encode_file` and `decode_file`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from hscodec.atomic import atomic_writer
from hscodec.audio.reader import AudioReader, peak
from hscodec.audio.writer import AudioWriter
from hscodec.codec.constants import DEFAULT_QUALITY, MAX_PEAK, REFERENCE_PEAK, SILENT_GAIN
from hscodec.codec.decoder import Decoder
from hscodec.codec.encoder import EncodedChunk, Encoder, file_num_weights
from hscodec.codec.symbols import SymbolReader
from hscodec.container.format import FileHeader
from hscodec.container.reader import open_container
from hscodec.container.writer import ContainerWriter
from hscodec.device import choose_device
from hscodec.errors import AudioError, FormatError, HscodecError
from hscodec.rates import HOP_SECONDS
from hscodec.registry import Model, load_model_by_id

ProgressReport = Callable[[float, float], None]
"""Called with (seconds done, seconds in all)."""

MIN_OUTPUT_RATE_HZ = 1_000
MAX_OUTPUT_RATE_HZ = 384_000


@dataclass(frozen=True)
class FileResult:
    """What was done.

    Attributes:
        file_bytes: Size of the `.hsnd` file.
        sample_rate: Rate of the audio file (Hz).
        num_channels: C.
        num_samples: Length of each channel of the audio file.
        clipped_samples: Samples that the audio file could not hold and that were clipped.
    """

    file_bytes: int
    sample_rate: int
    num_channels: int
    num_samples: int
    clipped_samples: int = 0

    @property
    def seconds(self) -> float:
        """Duration (s)."""
        return self.num_samples / self.sample_rate

    @property
    def kbps(self) -> float:
        """File bytes times 8 over seconds (kbit/s); 0 for an empty file."""
        return self.file_bytes * 8 / self.seconds / 1000 if self.num_samples else 0.0


def encode_file(
    source: str | Path,
    target: str | Path,
    *,
    model: Model,
    quality: float = DEFAULT_QUALITY,
    device: torch.device | str = "auto",
    overwrite: bool = False,
    progress: ProgressReport | None = None,
) -> FileResult:
    """Encode an audio file.

    Args:
        source: Any file that soundfile reads.
        target: The `.hsnd` file to write; it appears whole or not at all.
        model: From `registry.load_model`.
        quality: 0 to 10, in steps of 0.01.
        device: Where the networks run.
        overwrite: Whether `target` may exist.
        progress: Called after each block.

    Raises:
        AudioError: The source cannot be used, or its samples are beyond `MAX_PEAK`.
        HscodecError: The target exists or cannot be written, the quality is out of range, or there is no such device.
    """
    if not 0 <= quality <= 10:
        raise HscodecError(f"quality must be between 0 and 10, not {quality}")
    quality_hundredths = round(quality * 100)
    with AudioReader(source) as audio:
        highest = peak(audio)
        if highest > MAX_PEAK:
            raise AudioError(f"{source}: samples as large as {highest:g} cannot be encoded")
        header = FileHeader(
            sample_rate=audio.sample_rate,
            num_channels=audio.num_channels,
            num_samples=audio.num_samples,
            num_weights=file_num_weights(model, audio.sample_rate),
            quality=quality_hundredths,
            hop_seconds=HOP_SECONDS,
            gain=max(highest / REFERENCE_PEAK, SILENT_GAIN),
            model_id=model.model_id,
        )
        encoder = Encoder(
            model,
            sample_rate=audio.sample_rate,
            num_channels=audio.num_channels,
            quality_hundredths=quality_hundredths,
            gain=header.gain,
            device=_resolve(device),
        )
        with atomic_writer(target, overwrite=overwrite) as sink, ContainerWriter(sink, header) as container:
            done = 0
            for block in audio.blocks():
                for chunk in encoder.push(block):
                    _write(container, chunk)
                done += block.shape[1]
                if progress:
                    progress(done / audio.sample_rate, audio.num_samples / audio.sample_rate)
            chunks = list(encoder.finish())
            for chunk in chunks:
                _write(container, chunk, last=chunk is chunks[-1])
            container.close()
            return FileResult(container.bytes_written, audio.sample_rate, audio.num_channels, audio.num_samples)


def decode_file(
    source: str | Path,
    target: str | Path,
    *,
    rate: int | None = None,
    subtype: str | None = None,
    device: torch.device | str = "auto",
    overwrite: bool = False,
    progress: ProgressReport | None = None,
    model: Model | None = None,
) -> FileResult:
    """Decode a `.hsnd` file to an audio file.

    Args:
        source: The `.hsnd` file.
        target: The audio file to write; its extension says the format. It appears whole or not at all.
        rate: Output rate (Hz); None keeps the rate of what was encoded.
        subtype: How samples are stored, as soundfile names it; None is the format's default, 16-bit PCM for WAV.
        device: Where the networks run.
        overwrite: Whether `target` may exist.
        progress: Called after each chunk.
        model: The model that the file names; None finds it.

    Raises:
        FormatError: The source is not a whole `.hsnd` file, or its own rate is out of range and `rate` is not given.
        ModelError: The model is not installed.
        HscodecError: The target exists or cannot be written, the rate is out of range, or there is no such device.
    """
    if rate is not None and not MIN_OUTPUT_RATE_HZ <= rate <= MAX_OUTPUT_RATE_HZ:
        limits = f"{MIN_OUTPUT_RATE_HZ} and {MAX_OUTPUT_RATE_HZ} Hz"
        raise HscodecError(f"the output rate must be between {limits}, not {rate}")
    with open_container(source) as container:
        if container.index_was_rebuilt:
            raise FormatError(f"{source} is cut short or damaged; `hscodec verify` says where")
        header = container.header
        if rate is None and not MIN_OUTPUT_RATE_HZ <= header.sample_rate <= MAX_OUTPUT_RATE_HZ:
            raise FormatError(f"{source}: its rate of {header.sample_rate} Hz is not supported; choose an output rate")
        model = model or load_model_by_id(header.model_id)
        decoder = Decoder(SymbolReader(container, model), model, rate=rate, device=_resolve(device))
        writer = AudioWriter(
            target,
            decoder.rate,
            num_channels=header.num_channels,
            subtype=subtype,
            num_samples=decoder.num_samples,
            overwrite=overwrite,
        )
        with writer:
            for block in decoder.blocks():
                writer.write(block)
                if progress:
                    progress(writer.num_written / decoder.rate, decoder.num_samples / decoder.rate)
        file_bytes = Path(source).stat().st_size
        return FileResult(file_bytes, decoder.rate, header.num_channels, decoder.num_samples, writer.num_clipped)


def _resolve(device: torch.device | str) -> torch.device:
    return choose_device(device) if isinstance(device, str) else device


def _write(container: ContainerWriter, chunk: EncodedChunk, *, last: bool = False) -> None:
    container.write_chunk(
        first_segment=chunk.first_segment,
        num_segments=chunk.num_segments,
        order=chunk.order,
        symbol_digest=chunk.symbol_digest,
        payload=chunk.payload,
        last=last,
    )
