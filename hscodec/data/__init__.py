"""Training on `.hsnd` files: crops at any rate, read by worker processes and decoded in batches on any device.

Names are loaded when first used, so that an index of files can be made without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hscodec.data.crops import Batch as Batch
    from hscodec.data.crops import Crop as Crop
    from hscodec.data.crops import CropBatch as CropBatch
    from hscodec.data.crops import Sample as Sample
    from hscodec.data.crops import collate as collate
    from hscodec.data.crops import decode_crops as decode_crops
    from hscodec.data.dataset import HsndDataset as HsndDataset
    from hscodec.data.index import IndexedFile as IndexedFile
    from hscodec.data.index import read_index as read_index
    from hscodec.data.loader import DecodingLoader as DecodingLoader

_HOMES = {
    "Batch": "crops",
    "Crop": "crops",
    "CropBatch": "crops",
    "DecodingLoader": "loader",
    "HsndDataset": "dataset",
    "IndexedFile": "index",
    "Sample": "crops",
    "collate": "crops",
    "decode_crops": "crops",
    "read_index": "index",
}
__all__ = [
    "Batch",
    "Crop",
    "CropBatch",
    "DecodingLoader",
    "HsndDataset",
    "IndexedFile",
    "Sample",
    "collate",
    "decode_crops",
    "read_index",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
