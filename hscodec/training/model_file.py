"""How model files of all families are written: weights as arrays, and bytes that depend on nothing but the model."""

import json

import numpy as np
import torch
from safetensors.numpy import save as save_arrays

from hscodec.errors import ModelError


def as_array(name: str, value: torch.Tensor, dtype: type[np.floating] = np.float16) -> np.ndarray:
    """Return a weight as it is stored.

    Args:
        name: Its name, for the message.
        value: The weight.
        dtype: A floating-point type of numpy.

    Raises:
        ModelError: A value is not finite, or too large for the type.
    """
    if not bool((value.abs() <= float(np.finfo(dtype).max)).all()):
        precision = "half" if dtype is np.float16 else "single"
        raise ModelError(f"{name} holds weights that {precision} precision cannot store")
    return value.detach().cpu().numpy().astype(dtype)


def pack_model(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """Return a safetensors file; the same arrays and metadata give the same bytes."""
    # safetensors writes memory as it lies, transposed or cut out of something larger.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return _sorted_header(save_arrays(contiguous, metadata=metadata))


def _sorted_header(content: bytes) -> bytes:
    """Return a safetensors file with its header in order: safetensors shuffles metadata, and the hash names a model."""
    data_start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data_start])
    metadata = dict(sorted(header.pop("__metadata__").items()))
    tensors = dict(sorted(header.items(), key=lambda item: item[1]["data_offsets"]))
    text = json.dumps({"__metadata__": metadata, **tensors}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[data_start:]
