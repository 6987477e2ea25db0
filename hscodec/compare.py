"""Two files compared by the measures of `hscodec.metrics`: any audio that soundfile reads, and `.hsnd` files.

torch is loaded only where a `.hsnd` file is decoded, or by a measure that is a network.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hscodec.audio.reader import AudioReader
from hscodec.audio.resample import resample
from hscodec.container.format import MAGIC
from hscodec.container.reader import open_container
from hscodec.errors import AudioError, FormatError, ModelError
from hscodec.metrics.comparison import Samples, Score, check_names, compare, default_names

ProgressReport: TypeAlias = Callable[[float, float | None, str], None]
"""Called with (how far the step is, its end, or None if nobody knows, what the step is)."""


@dataclass(frozen=True)
class Sound:
    """One of the two files.

    Args:
        path: The file.
        is_encoded: Whether it is a `.hsnd` file.
        sample_rate: Of an audio file, or of what was encoded (Hz).
        num_channels: C.
        num_samples: Length of each channel at the rate of the comparison, before anything was trimmed.
    """

    path: Path
    is_encoded: bool
    sample_rate: int
    num_channels: int
    num_samples: int


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what came out.

    Args:
        reference: The original.
        test: What was compared with it.
        sample_rate: Rate of the comparison (Hz).
        num_samples: Samples of each channel that were compared, at that rate.
        is_identical: Whether all of them are equal.
        scores: By the names of the measures.
        left_out: Measures of the default that could not be had, and why.
    """

    reference: Sound
    test: Sound
    sample_rate: int
    num_samples: int
    is_identical: bool
    scores: dict[str, Score]
    left_out: dict[str, str]


def compare_files(
    reference: str | Path,
    test: str | Path,
    *,
    names: Sequence[str] | None = None,
    trim: bool = False,
    device: str = "auto",
    progress: ProgressReport | None = None,
) -> Comparison:
    """Compare two sounds channel by channel; nothing is aligned in time or level.

    The rate of the comparison is that of the reference. A test file of another rate is resampled, its first sample
    staying where the reference's first one is. A `.hsnd` file, which has no rate, is decoded at the other's, and at
    that of what was encoded if the other is one as well.

    Both must then be equally long. What was brought to another rate may differ by a sample of the lower rate, for
    rounding; the samples that both have are compared.

    Args:
        reference: The original.
        test: What is compared with it.
        names: Keys of `metrics.comparison.METRICS`; None takes what is quick and installed.
        trim: Whether the lengths may differ: the longer sound is cut at its end.
        device: Where networks run.
        progress: Called before and while sounds are decoded, and before each value.

    Raises:
        AudioError: A file cannot be read, or is empty; the sounds differ in channels or, without `trim`, in length; or
            they are too long for a measure.
        FormatError: A `.hsnd` file is damaged.
        HscodecError: A measure is unknown or not installed, or there is no such model or device.
    """
    check_names(names or ())
    heads = [_read_head(Path(path)) for path in (reference, test)]
    rate = _common_rate(*heads)
    sounds: list[Sound] = []
    samples: list[Samples] = []
    for head in heads:
        with _naming(head.path):
            samples.append(_decode(head, rate, device, progress) if head.is_encoded else _read(head, rate))
        num_samples = samples[-1].shape[1]
        sounds.append(Sound(head.path, head.is_encoded, head.sample_rate, head.num_channels, num_samples))
    original, decoded = _common_part(sounds, samples, rate, trim=trim)
    left_out: dict[str, str] = {}
    if names is None:
        names, left_out = default_names(original.shape[1] / rate)

    def report(name: str, done: int, total: int) -> None:
        if progress:
            progress(done, total, name)

    return Comparison(
        reference=sounds[0],
        test=sounds[1],
        sample_rate=rate,
        num_samples=original.shape[1],
        is_identical=np.array_equal(original, decoded),
        scores=compare(original, decoded, rate, names, device=device, progress=report),
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Head:
    path: Path
    is_encoded: bool
    sample_rate: int
    num_channels: int


def _read_head(path: Path) -> _Head:
    try:
        with path.open("rb") as file:
            is_encoded = file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from error
    with _naming(path):
        if is_encoded:
            with open_container(path) as container:
                return _Head(path, True, container.header.sample_rate, container.header.num_channels)
        with AudioReader(path) as audio:
            return _Head(path, False, audio.sample_rate, audio.num_channels)


def _common_rate(reference: _Head, test: _Head) -> int:
    """Return the rate of the comparison, after checking that there can be one.

    Raises:
        AudioError: The sounds differ in channels.
    """
    if reference.num_channels != test.num_channels:
        counts = [f"{head.path} has {head.num_channels}" for head in (reference, test)]
        raise AudioError(f"the numbers of channels differ: {', '.join(counts)}")
    return test.sample_rate if reference.is_encoded and not test.is_encoded else reference.sample_rate


def _read(head: _Head, rate: int) -> Samples:
    with AudioReader(head.path) as audio:
        blocks = [np.zeros((head.num_channels, 0), np.float32), *audio.blocks()]
    return resample(np.concatenate(blocks, axis=1), head.sample_rate, rate)


def _decode(head: _Head, rate: int, device: str, progress: ProgressReport | None) -> Samples:
    from hscodec.codec import Reader

    with Reader(head.path, rate=rate, device=device) as reader:
        samples = np.empty((head.num_channels, reader.num_samples), np.float32)
        position = 0
        for block in reader.blocks():
            if progress:
                progress(position / rate, reader.seconds, f"decoding {head.path.name}")
            samples[:, position : position + block.shape[1]] = block.cpu().numpy()
            position += block.shape[1]
    return samples


def _common_part(sounds: Sequence[Sound], samples: Sequence[Samples], rate: int, *, trim: bool) -> list[Samples]:
    """Return the samples that both sounds have.

    Raises:
        AudioError: There are none; or, without `trim`, one sound has more than rounding explains.
    """
    lengths = [sound.num_samples for sound in sounds]
    for sound in sounds:
        if sound.num_samples == 0:
            raise AudioError(f"{sound.path}: there is nothing to compare, the sound is empty")
    allowed = sum(math.ceil(rate / sound.sample_rate) for sound in sounds if sound.sample_rate != rate)
    if not trim and max(lengths) - min(lengths) > allowed:
        told = [f"{sound.path} has {sound.num_samples} samples" for sound in sounds]
        raise AudioError(f"the lengths differ at {rate} Hz: {', '.join(told)}; --trim compares the common part")
    return [each[:, : min(lengths)] for each in samples]


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the path in front of errors of the format and the model, which do not always name it: there are two files."""
    try:
        yield
    except (FormatError, ModelError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
