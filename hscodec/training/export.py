"""From a checkpoint to a model file: averaged weights in half precision, the scale network as integers, one hash."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save as save_arrays

from hscodec.atomic import atomic_writer
from hscodec.coding.frequencies import TABLE_NAMES, FrequencyTables
from hscodec.config import from_mapping
from hscodec.errors import ConfigError, ModelError
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.model import Hypernetwork
from hscodec.registry import FAMILY, FREQUENCY_PREFIX, NETWORK_PREFIX, TABLE_PREFIX, ManifestEntry
from hscodec.training.fixed_point import fixed_point_tables
from hscodec.training.trainer import load_checkpoint, stored_frequencies


def model_bytes(
    network: Hypernetwork,
    *,
    frequencies: FrequencyTables | None = None,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Return the network as a model file.

    Args:
        network: Weights to ship.
        frequencies: Statistics of its symbols; without them files are coded by zstd alone.
        metadata: Further text to store, such as how the model was trained.

    Raises:
        ModelError: A weight is not finite, or too large for half precision or for the fixed-point tables.
    """
    tables = fixed_point_tables(network)
    arrays = {TABLE_PREFIX + field.name: getattr(tables, field.name) for field in fields(tables)}
    if frequencies:
        arrays |= {FREQUENCY_PREFIX + name: getattr(frequencies, name) for name in TABLE_NAMES}
    for name, value in network.state_dict().items():
        if not bool((value.abs() <= torch.finfo(torch.float16).max).all()):
            raise ModelError(f"{name} holds weights that half precision cannot store")
        arrays[NETWORK_PREFIX + name] = value.detach().cpu().numpy().astype(np.float16)
    described = {"family": FAMILY, "hypernetwork": json.dumps(network.config.to_mapping(), sort_keys=True)}
    # safetensors writes memory as it lies, transposed or cut out of something larger.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return _sorted_header(save_arrays(arrays, metadata={**(metadata or {}), **described}))


def _sorted_header(content: bytes) -> bytes:
    """Return a safetensors file with its header in order: safetensors shuffles metadata, and the hash names a model."""
    data_start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data_start])
    metadata = dict(sorted(header.pop("__metadata__").items()))
    tensors = dict(sorted(header.items(), key=lambda item: item[1]["data_offsets"]))
    text = json.dumps({"__metadata__": metadata, **tensors}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[data_start:]


def export_checkpoint(checkpoint: Path, target: Path) -> ManifestEntry:
    """Write a checkpoint's averaged weights as a model file, over an older one; return its manifest entry.

    Raises:
        ModelError: The checkpoint cannot be read, or its weights cannot be stored.
        HscodecError: The model file cannot be written.
    """
    state = load_checkpoint(checkpoint, torch.device("cpu"))
    try:
        network = Hypernetwork(from_mapping(HypernetworkConfig, state["config"]["hypernetwork"], checkpoint.name))
        network.load_state_dict(state["average"]["weights"])
    except (ConfigError, RuntimeError) as error:
        raise ModelError(f"{checkpoint} holds a network of another version: {error}") from error
    network.eval()
    config = state["config"]
    data = config.get("data", {})
    training = {
        # Where the corpus lay is the concern of one machine.
        "config": config | {"data": data | {"corpus": Path(data.get("corpus", "")).name}},
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
    }
    metadata = {"training": json.dumps(training, sort_keys=True)}
    content = model_bytes(network, frequencies=stored_frequencies(state), metadata=metadata)
    with atomic_writer(target, overwrite=True) as file:
        file.write(content)
    return ManifestEntry(name=target.stem, file=target.name, sha256=hashlib.sha256(content).hexdigest())
