"""`fit_file`: from an audio file to a `.hsnd` file that holds complete networks, trained on it."""

import contextlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from hscodec.atomic import atomic_writer, check_output
from hscodec.audio.reader import AudioReader
from hscodec.codec.constants import REFERENCE_PEAK, SILENT_GAIN
from hscodec.codec.files import FileResult, Target, source_tags
from hscodec.codec.fit import FitConfig, file_network, fit_chunks, segment_length
from hscodec.codec.sample_format import sample_format
from hscodec.codec.stored_network import record_of_config
from hscodec.container.format import MAX_HOP_SECONDS, FileHeader
from hscodec.container.tags import Tags
from hscodec.container.writer import ContainerWriter
from hscodec.device import choose_device
from hscodec.errors import AudioError, HscodecError


def fit_file(
    source: str | Path | AudioReader,
    target: Target,
    *,
    config: FitConfig,
    tags: Tags | None = None,
    device: torch.device | str = "auto",
    overwrite: bool = False,
    progress: Callable[[int, int, float], None] | None = None,
) -> FileResult:
    """Fit networks to a sound and write them.

    The sound is held in memory as a whole.

    Args:
        source: Any file that soundfile reads, or an open reader, which is left open.
        target: The `.hsnd` file to write, which appears whole or not at all; or a stream, which is left open.
        config: Networks and training.
        tags: What to store as tags; None is `source_tags`.
        device: Where networks are trained.
        overwrite: Whether `target` may exist. It is never the source.
        progress: Called with (steps done, steps in all, mean signal-to-noise ratio in dB).

    Raises:
        AudioError: The source cannot be used.
        FormatError: The tags are too long.
        HscodecError: The target exists or cannot be written, the recording is too long for one network, or there is no
            such device.
    """
    if isinstance(target, str | Path):
        path = source.path if isinstance(source, AudioReader) else source
        check_output(target, overwrite=overwrite, source=path)
    with contextlib.ExitStack() as stack:
        audio = source if isinstance(source, AudioReader) else stack.enter_context(AudioReader(source))
        samples = np.concatenate([np.zeros((audio.num_channels, 0), np.float32), *audio.blocks()], axis=1)
        if not np.isfinite(samples).all():
            raise AudioError(f"{audio.path}: samples that are not finite cannot be encoded")
        num_samples = samples.shape[1]
        hop_seconds = Fraction(segment_length(num_samples, audio.sample_rate, config), audio.sample_rate)
        if hop_seconds > MAX_HOP_SECONDS:
            raise HscodecError(f"one network can hold {MAX_HOP_SECONDS} s at most; cut the recording into segments")
        peak = float(np.abs(samples).max()) if num_samples else 0.0
        target_network, record = record_of_config(config.network)
        header = FileHeader(
            sample_rate=audio.sample_rate,
            num_channels=audio.num_channels,
            num_samples=num_samples,
            num_weights=file_network(config).num_stored,
            quality=0,
            hop_seconds=hop_seconds,
            gain=max(peak / REFERENCE_PEAK, SILENT_GAIN),
            target_network=target_network,
            network=record,
            sample_format=sample_format(audio.subtype),
            tags=source_tags(audio) if tags is None else tags,
        )
        if isinstance(target, str | Path):
            target = stack.enter_context(atomic_writer(target, overwrite=overwrite))
        container = stack.enter_context(ContainerWriter(target, header))
        chunks = fit_chunks(
            samples / np.float32(header.gain),
            audio.sample_rate,
            config,
            device=choose_device(device) if isinstance(device, str) else device,
            progress=progress,
        )
        held = None
        for chunk in chunks:
            if held:
                held.write_to(container)
            held = chunk
        if held:
            held.write_to(container, last=True)
        container.close(num_samples=num_samples)
        return FileResult(container.bytes_written, audio.sample_rate, audio.num_channels, num_samples)
