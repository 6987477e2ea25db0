"""Crops and batches of them: undecoded as workers hand them over, and as samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import torch
from torch.utils.data import get_worker_info

from hscodec.codec.crop import CropSymbols
from hscodec.codec.crop_batch import render_crops
from hscodec.device import choose_device
from hscodec.errors import HscodecError


class Sample(NamedTuple):
    """One decoded crop.

    Attributes:
        samples: The sound, silent behind the end of the file.
        rate: Its rate (Hz).
        start: First sample, counted in the file's sound at that rate.
        num_samples: Samples that are from the file; the others are padding.
        path: The file.

    Shape:
        samples: [C, T] float32
    """

    samples: torch.Tensor
    rate: int
    start: int
    num_samples: int
    path: str


class Batch(NamedTuple):
    """Several decoded crops of one rate, padded to the length of the longest.

    Attributes:
        samples: The sounds, on the device on which they were decoded.
        rate: Their rate (Hz).
        starts: First samples, counted in the files' sounds at that rate; on the CPU.
        num_samples: Samples that are from the files; the others are padding; on the CPU.
        paths: The files.

    Shape:
        samples: [B, C, T] float32
        starts: [B] int64
        num_samples: [B] int64
    """

    samples: torch.Tensor
    rate: int
    starts: torch.Tensor
    num_samples: torch.Tensor
    paths: list[str]


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop that is not decoded: the integers of the segments around it, for `decode_crops`.

    Attributes:
        symbols: What its decoding needs; None where it has no samples.
        file_channels: Channels of the file.
        num_channels: Channels that are wanted; None is as many as the file has.
        rate: Output rate (Hz).
        start: First sample, counted in the file's sound at that rate.
        num_samples: Samples that are from the file.
        padded_samples: Length that is wanted.
        path: The file.
    """

    symbols: CropSymbols | None
    file_channels: int
    num_channels: int | None
    rate: int
    start: int
    num_samples: int
    padded_samples: int
    path: str


@dataclass(frozen=True)
class CropBatch:
    """Crops that wait for `decode_crops`: what `collate` makes of them in a worker process.

    Attributes:
        crops: One or more.
    """

    crops: tuple[Crop, ...]

    def __len__(self) -> int:
        return len(self.crops)

    def __iter__(self) -> Iterator[Crop]:
        return iter(self.crops)

    def pin_memory(self) -> "CropBatch":
        """Return the batch as it is, for loaders with `pin_memory`: there are no tensors in it."""
        return self


@overload
def collate(items: Sequence[Sample]) -> Batch: ...
@overload
def collate(items: Sequence[Crop]) -> CropBatch: ...
def collate(items: Sequence[Sample] | Sequence[Crop]) -> Batch | CropBatch:
    """Join items of a `HsndDataset`: `collate_fn` of a `DataLoader`, whether the dataset decodes or not.

    It runs in the workers where there are any, so it never decodes: crops become a `CropBatch`.

    Raises:
        HscodecError: Sounds of several rates, or of several numbers of channels, cannot be one tensor.
    """
    crops = [item for item in items if isinstance(item, Crop)]
    if crops and len(crops) == len(items):
        return CropBatch(tuple(crops))
    return _join([item for item in items if isinstance(item, Sample)])


def decode_crops(crops: CropBatch | Sequence[Crop], device: torch.device | str = "auto") -> Batch:
    """Decode crops, all of one length and model in one pass, to what `hscodec.read` returns of the same ranges.

    Call it in the main process, on what a `DataLoader` yields, or let `DecodingLoader` do so.

    Args:
        crops: From a `HsndDataset` with `decode=False`.
        device: Where the networks run and samples are returned: `cpu`, `cuda`, `cuda:N`, `mps`, or `auto` for the best
            there is.

    Raises:
        HscodecError: There is no such device; a GPU is asked for in a worker process; or sounds of several rates or
            numbers of channels cannot be one tensor.
        ModelError: A model is not installed.
    """
    chosen = choose_device(device) if isinstance(device, str) else device
    if chosen.type != "cpu" and get_worker_info() is not None:
        raise HscodecError(
            f"crops are decoded on {chosen.type} in the main process, not in a worker: use DecodingLoader, "
            "or call decode_crops on what the loader yields"
        )
    return _join(decoded(list(crops), chosen))


def decoded(crops: list[Crop], device: torch.device) -> list[Sample]:
    """Return crops as samples, in order."""
    rendered = iter(render_crops([crop.symbols for crop in crops if crop.symbols is not None], device))
    items = []
    for crop in crops:
        if crop.symbols is None:
            samples = torch.zeros(crop.file_channels, 0, device=device)
        else:
            samples = next(rendered)
        samples = with_channels(samples, crop.num_channels, crop.path)
        samples = torch.nn.functional.pad(samples, (0, crop.padded_samples - samples.shape[1]))
        items.append(Sample(samples, crop.rate, crop.start, crop.num_samples, crop.path))
    return items


def with_channels(samples: torch.Tensor, num_channels: int | None, path: str) -> torch.Tensor:
    """Return samples [C, T] with as many channels as wanted: mixed to one, or one repeated.

    Raises:
        HscodecError: There is no obvious way to do it.
    """
    if num_channels is None or num_channels == len(samples):
        return samples
    if num_channels == 1:
        return samples.mean(0, keepdim=True)
    if len(samples) == 1:
        return samples.repeat(num_channels, 1)
    raise HscodecError(f"{path}: {len(samples)} channels cannot be made {num_channels}")


def _join(items: list[Sample]) -> Batch:
    if not items:
        raise HscodecError("a batch needs at least one item of a HsndDataset")
    for what, kinds in (
        ("Hz", {item.rate for item in items}),
        ("channels", {len(item.samples) for item in items}),
    ):
        if len(kinds) > 1:
            names = " and ".join(map(str, sorted(kinds)))
            option = "rate" if what == "Hz" else "channels"
            raise HscodecError(f"sounds of {names} {what} cannot be one batch; give the dataset {option}=")
    longest = max(item.samples.shape[1] for item in items)
    padded = [
        torch.nn.functional.pad(item.samples, (0, longest - item.samples.shape[1]))
        if item.samples.shape[1] < longest
        else item.samples
        for item in items
    ]
    return Batch(
        torch.stack(padded),
        items[0].rate,
        torch.tensor([item.start for item in items]),
        torch.tensor([item.num_samples for item in items]),
        [item.path for item in items],
    )
