"""The short way in: `read`, `write`, `encode`, `decode` and `open`, which `hscodec` itself offers under these names.

Samples are tensors [C, T], full scale 1.0. Positions count samples of the output, and ranges are half-open.
"""

import io
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, Union, overload

import numpy as np
import torch

from hscodec.audio.reader import AudioReader
from hscodec.codec.constants import DEFAULT_QUALITY
from hscodec.codec.files import FileResult, encode_file
from hscodec.codec.playback import Number
from hscodec.codec.reader import Reader
from hscodec.codec.shared_models import shared_model
from hscodec.container.tags import Tags
from hscodec.errors import AudioError
from hscodec.rates import MAX_CHANNELS
from hscodec.registry import DEFAULT_MODEL, AnyModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

Samples: TypeAlias = Union[torch.Tensor, "NDArray[Any]"]
ModelChoice: TypeAlias = str | Path | AnyModel


def open(
    source: str | Path | BinaryIO,
    rate: Number | None = None,
    *,
    speed: Number = 1,
    device: torch.device | str | None = None,
    keep_going: bool = False,
    model: ModelChoice | None = None,
) -> Reader:
    """Open a `.hsnd` file to read its sound, or its weights, from anywhere.

    Args:
        source: A path, or a binary file that can seek, which is left open.
        rate: Output rate (Hz), 1 to 384 kHz, whole or not; None keeps the rate of what was encoded.
        speed: How fast the sound is played, 0.25 to 4; pitch and duration change together.
        device: Where the networks run and tensors are returned: `cpu`, `cuda`, `cuda:N`, `mps`, or `auto` for the best
            there is. None is the CPU.
        keep_going: Read damaged and cut files as well, with silence in place of what is lost.
        model: The model that the file names; None finds it. Models are loaded once in a process.

    Raises:
        FormatError: The source is not a `.hsnd` file, is damaged (without `keep_going`), or its own rate is out of
            range and `rate` is not given.
        ModelError: The model is not installed, or not the one that the file names.
        HscodecError: The rate or the speed is out of range, or there is no such device.
    """
    loaded = None if model is None else _model(model)
    return Reader(source, model=loaded, rate=rate, speed=speed, device=_device(device), keep_going=keep_going)


@overload
def read(
    source: str | Path | BinaryIO,
    rate: int | None = None,
    start: int = 0,
    stop: int | None = None,
    device: torch.device | str | None = None,
    *,
    speed: Number = 1,
    keep_going: bool = False,
    model: ModelChoice | None = None,
) -> tuple[torch.Tensor, int]: ...
@overload
def read(
    source: str | Path | BinaryIO,
    rate: Number,
    start: int = 0,
    stop: int | None = None,
    device: torch.device | str | None = None,
    *,
    speed: Number = 1,
    keep_going: bool = False,
    model: ModelChoice | None = None,
) -> tuple[torch.Tensor, int | Fraction]: ...
def read(
    source: str | Path | BinaryIO,
    rate: Number | None = None,
    start: int = 0,
    stop: int | None = None,
    device: torch.device | str | None = None,
    *,
    speed: Number = 1,
    keep_going: bool = False,
    model: ModelChoice | None = None,
) -> tuple[torch.Tensor, int | Fraction]:
    """Return the samples `[start, stop)` of a `.hsnd` file and their rate, an integer wherever it is whole.

    Only the chunks around them are read.

    To give a range in seconds, open the file and ask `Reader.sample_at`.

    Args:
        source: A path, or a binary file that can seek, which is left open.
        rate: Output rate (Hz), as in `open`; None keeps the rate of what was encoded.
        start: First sample of the output, from 0 to the length of the sound.
        stop: One past the last sample; None, or anything beyond the end, is the end.
        device: Where the networks run and samples are returned, as in `open`; None is the CPU.
        speed: As in `open`.
        keep_going: As in `open`.
        model: As in `open`.

    Shape:
        returns: [C, T] float32

    Raises:
        FormatError: As `open`, or something needed is damaged.
        ModelError: As `open`.
        HscodecError: As `open`, or the range does not lie in the sound.
    """
    with open(source, rate, speed=speed, device=device, keep_going=keep_going, model=model) as reader:
        return reader.read(start, stop), reader.rate


@overload
def decode(
    data: bytes | bytearray | memoryview,
    rate: int | None = None,
    start: int = 0,
    stop: int | None = None,
    device: torch.device | str | None = None,
    *,
    speed: Number = 1,
    keep_going: bool = False,
    model: ModelChoice | None = None,
) -> tuple[torch.Tensor, int]: ...
@overload
def decode(
    data: bytes | bytearray | memoryview,
    rate: Number,
    start: int = 0,
    stop: int | None = None,
    device: torch.device | str | None = None,
    *,
    speed: Number = 1,
    keep_going: bool = False,
    model: ModelChoice | None = None,
) -> tuple[torch.Tensor, int | Fraction]: ...
def decode(
    data: bytes | bytearray | memoryview,
    rate: Number | None = None,
    start: int = 0,
    stop: int | None = None,
    device: torch.device | str | None = None,
    *,
    speed: Number = 1,
    keep_going: bool = False,
    model: ModelChoice | None = None,
) -> tuple[torch.Tensor, int | Fraction]:
    """Return samples and rate as `read` does, from the bytes of a `.hsnd` file.

    Shape:
        returns: [C, T] float32

    Raises:
        FormatError: As `read`.
        ModelError: As `read`.
        HscodecError: As `read`.
    """
    with open(io.BytesIO(data), rate, speed=speed, device=device, keep_going=keep_going, model=model) as reader:
        return reader.read(start, stop), reader.rate


def write(
    target: str | Path | BinaryIO,
    samples: Samples,
    rate: int,
    *,
    quality: float = DEFAULT_QUALITY,
    model: ModelChoice = DEFAULT_MODEL,
    tags: Tags = (),
    chunk_seconds: Number | None = None,
    device: torch.device | str | None = None,
    overwrite: bool = True,
) -> FileResult:
    """Encode samples to a `.hsnd` file.

    Args:
        target: The file, which appears whole or not at all; or a binary file open for writing, which is left open.
        samples: A tensor on any device or an array; floats have full scale 1.0, int16 and int32 span their range.
        rate: Their rate (Hz), 8000 to 192000.
        quality: 0 to 10, in steps of 0.01; models of the HyperSound family know none.
        model: A model, its name, or its path. Models are loaded once in a process.
        tags: (key, value) pairs.
        chunk_seconds: Length of a chunk (s), 0.5 to 20: short ones lose less to damage, and cost quality. None is 5 s,
            or with models of the HyperSound family up to 60 s.
        device: Where the networks run: as in `open`; None is the CPU.
        overwrite: Whether `target` may exist, as with other libraries that write sound.

    Shape:
        samples: [C, T] or [T], C 1 to 8

    Raises:
        AudioError: Samples are not finite, or their type, shape or rate is not supported.
        FormatError: The tags are too long.
        ModelError: There is no such model.
        HscodecError: The target cannot be written, the quality or the length of chunks is out of range, or there is no
            such device.
    """
    return encode_file(
        AudioReader.from_samples(_planes(samples), rate),
        target,
        model=_model(model),
        quality=quality,
        tags=tags,
        chunk_seconds=chunk_seconds,
        device=_device(device),
        overwrite=overwrite,
    )


def encode(
    samples: Samples,
    rate: int,
    *,
    quality: float = DEFAULT_QUALITY,
    model: ModelChoice = DEFAULT_MODEL,
    tags: Tags = (),
    chunk_seconds: Number | None = None,
    device: torch.device | str | None = None,
) -> bytes:
    """Return the bytes of a `.hsnd` file; arguments and errors are those of `write`.

    Shape:
        samples: [C, T] or [T], C 1 to 8
    """
    file = io.BytesIO()
    write(file, samples, rate, quality=quality, model=model, tags=tags, chunk_seconds=chunk_seconds, device=device)
    return file.getvalue()


def _model(model: ModelChoice) -> AnyModel:
    return shared_model(model) if isinstance(model, str | Path) else model


def _device(device: torch.device | str | None) -> torch.device | str:
    return "cpu" if device is None else device


def _planes(samples: Samples) -> np.ndarray:
    """Return samples as an array [C, T] of a type that can be encoded."""
    if isinstance(samples, torch.Tensor):
        if samples.dtype in (torch.float16, torch.bfloat16):
            samples = samples.float()
        samples = samples.detach().cpu().numpy()
    planes = np.asarray(samples)
    if planes.dtype == np.float16:
        planes = planes.astype(np.float32)
    if planes.ndim == 1:
        planes = planes[None]
    if planes.ndim == 2 and planes.shape[1] <= MAX_CHANNELS < planes.shape[0]:
        shape = list(planes.shape)
        raise AudioError(f"samples have the shape {shape}; [channels, time] is wanted, so these must be transposed")
    return planes
