"""`HsndDataset`: short crops of many `.hsnd` files at one rate, each at the cost of the chunks around it."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from hscodec.codec.constants import MAX_OUTPUT_RATE_HZ, MIN_OUTPUT_RATE_HZ
from hscodec.codec.crop import take_crop
from hscodec.data.crops import Crop, Sample, decoded
from hscodec.data.index import IndexedFile, naming, read_index
from hscodec.data.open_files import OpenFiles
from hscodec.errors import HscodecError

_CPU = torch.device("cpu")


class HsndDataset(Dataset["Sample | Crop"]):
    """A map-style dataset of crops of `.hsnd` files, for `torch.utils.data.DataLoader` with any number of workers.

    Item i is a crop of file i. Where it begins is drawn anew each time (`random`), or crops lie side by side and cover
    all files in order. Only headers are read here; files are opened in the process that uses them.

    Without a seed, starts are drawn with torch's generator of the process: other ones in each worker and each epoch,
    and `torch.manual_seed` repeats a run with the same number of workers. With a seed, the start depends on seed, epoch
    and item alone, whatever the workers; `set_epoch` then has to say when an epoch begins.

    Args:
        paths: A folder, with those below it; one file; or several of either.
        seconds: Length of a crop (s), rounded to whole samples; None takes files as a whole.
        rate: Output rate (Hz); None keeps that of each file, which in one batch must be the same.
        channels: Channels of each item: 1 mixes, more repeat a mono sound. None keeps those of each file.
        random: Draw where crops begin; else they cover each file from its start, without overlap.
        crops_per_file: Items of each file in an epoch, where crops are random.
        short: Where a file ends before its crop does: `pad` with silence, or `skip` what cannot be filled, such as
            files shorter than a crop.
        decode: Return `Sample`, decoded on the CPU; else `Crop`, for `decode_crops` on a GPU (`DecodingLoader`).
        seed: Makes crops independent of workers; at least 0.
        max_open_files: How many files each process keeps open.

    Attributes:
        files: What was found, in order, those that were skipped left out.

    Raises:
        FormatError: A file cannot be read or is not a `.hsnd` file.
        HscodecError: There are no files or no crops, or an argument is out of range.
    """

    def __init__(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        seconds: float | None = None,
        rate: int | None = None,
        channels: int | None = None,
        random: bool = True,
        crops_per_file: int = 1,
        short: Literal["pad", "skip"] = "pad",
        decode: bool = True,
        seed: int | None = None,
        max_open_files: int = 32,
    ) -> None:
        _check("seconds", seconds is None or 0 < seconds < math.inf, seconds)
        _check("rate", rate is None or MIN_OUTPUT_RATE_HZ <= rate <= MAX_OUTPUT_RATE_HZ, rate)
        _check("channels", channels is None or channels >= 1, channels)
        _check("crops_per_file", crops_per_file >= 1, crops_per_file)
        _check("short", short in ("pad", "skip"), short)
        _check("seed", seed is None or seed >= 0, seed)
        _check("max_open_files", max_open_files >= 1, max_open_files)
        self._seconds, self._rate, self._channels = seconds, rate, channels
        self._random, self._decode, self._seed = random, decode, seed
        # In shared memory, so that workers that live longer than an epoch see a new one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._open = OpenFiles(max_open_files)
        found = read_index(paths)
        for file in found:
            own = MIN_OUTPUT_RATE_HZ <= file.sample_rate <= MAX_OUTPUT_RATE_HZ
            _check(f"{file.path}: its rate, without rate=,", rate is not None or own, file.sample_rate)
        counts = [self._num_crops(file, crops_per_file, short) for file in found]
        self.files = tuple(file for file, count in zip(found, counts, strict=True) if count)
        self._stops = list(accumulate(count for count in counts if count))
        if not self._stops:
            raise HscodecError(f"none of {len(found)} files is long enough for a crop of {seconds or 0:g} s")

    def __len__(self) -> int:
        """Return the number of items in an epoch."""
        return self._stops[-1]

    def __getitem__(self, index: int) -> Sample | Crop:
        """Return item `index`.

        Raises:
            FormatError: The file is damaged where it is needed; the message names it.
            ModelError: The model that it names is not installed.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        crop = self._crop(index % len(self))
        return decoded([crop], _CPU)[0] if self._decode else crop

    @property
    def decodes(self) -> bool:
        """Whether items are decoded."""
        return self._decode

    @property
    def epoch(self) -> int:
        """The epoch that `set_epoch` named last."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch begins, in all processes: with a seed, other crops are drawn in each.

        Args:
            epoch: At least 0.
        """
        _check("epoch", epoch >= 0, epoch)
        self._epoch.fill_(epoch)

    def close(self) -> None:
        """Close the files that this process has open; they are opened again when they are needed."""
        self._open.close()

    def _crop(self, index: int) -> Crop:
        place = bisect_right(self._stops, index)
        file = self.files[place]
        rate = self._rate or file.sample_rate
        total = file.length_at(rate)
        padded = total if self._seconds is None else self._length(rate)
        if self._random:
            start = self._draw(index, max(total - padded, 0) + 1)
        else:
            start = (index - (self._stops[place - 1] if place else 0)) * padded
        stop = min(start + padded, total)
        symbols = None
        if stop > start:
            with naming(file.path):
                read = partial(self._open.read, file.path)
                symbols = take_crop(self._open.symbols(file.path), rate, start, stop, read=read)
        return Crop(symbols, file.num_channels, self._channels, rate, start, stop - start, padded, file.path)

    def _draw(self, index: int, num_starts: int) -> int:
        if num_starts == 1:
            return 0
        if self._seed is None:
            return int(torch.randint(num_starts, ()))
        return int(np.random.default_rng((self._seed, self.epoch, index)).integers(num_starts))

    def _length(self, rate: int) -> int:
        return max(round((self._seconds or 0) * rate), 1)

    def _num_crops(self, file: IndexedFile, crops_per_file: int, short: str) -> int:
        rate = self._rate or file.sample_rate
        total = file.length_at(rate)
        if self._seconds is None:
            return int(total > 0 or short == "pad") * (crops_per_file if self._random else 1)
        length = self._length(rate)
        whole, rest = divmod(total, length)
        if self._random:
            return crops_per_file if whole or short == "pad" else 0
        return whole + int(short == "pad" and (rest > 0 or total == 0))


def _check(name: str, is_right: bool, value: object) -> None:
    if not is_right:
        raise HscodecError(f"{name} is out of range: {value}")
