"""`DecodingLoader`: workers read, the main process decodes each batch on the GPU."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from hscodec.data.crops import Batch, collate, decode_crops
from hscodec.data.dataset import HsndDataset
from hscodec.device import choose_device
from hscodec.errors import HscodecError


class DecodingLoader:
    """A `DataLoader` whose workers read files and undo entropy coding, and whose batches are decoded by its user.

    A GPU belongs to one process. A `collate_fn` runs in the workers, where it could not use it; this decodes each batch
    in the process that iterates, in one pass.

    Args:
        dataset: With `decode=False`.
        device: Where batches are decoded and returned: `cpu`, `cuda`, `cuda:N`, `mps`, or `auto` for the best there is.
        options: Those of `torch.utils.data.DataLoader`: `batch_size`, `shuffle`, `num_workers`, ..., without
            `collate_fn`.

    Attributes:
        dataset: The dataset.
        loader: The `DataLoader`.
        device: Where batches are.

    Raises:
        HscodecError: The dataset decodes already, `collate_fn` is given, or there is no such device.
    """

    def __init__(self, dataset: HsndDataset, *, device: torch.device | str = "auto", **options: Any) -> None:
        if dataset.decodes:
            raise HscodecError("the dataset decodes already: give it decode=False, or use a DataLoader")
        if "collate_fn" in options:
            raise HscodecError("collate_fn would run in the workers: process the batches that the loader yields")
        self.dataset = dataset
        self.device = choose_device(device) if isinstance(device, str) else device
        self.loader = DataLoader(dataset, collate_fn=collate, **options)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        for crops in self.loader:
            yield decode_crops(crops, self.device)
