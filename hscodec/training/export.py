"""From a checkpoint to a model file: averaged weights in half precision, the scale network as integers, one hash."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from hscodec.atomic import atomic_writer
from hscodec.coding.frequencies import TABLE_NAMES, FrequencyTables
from hscodec.config import from_mapping
from hscodec.errors import ConfigError, ModelError
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.hypernet.hypersound import HyperSound, HyperSoundConfig
from hscodec.model import Hypernetwork
from hscodec.registry import (
    FAMILY,
    FREQUENCY_PREFIX,
    HYPERSOUND_FAMILY,
    NETWORK_PREFIX,
    TABLE_PREFIX,
    ManifestEntry,
)
from hscodec.training.fixed_point import fixed_point_tables
from hscodec.training.hypersound_export import hypersound_bytes
from hscodec.training.loop import load_checkpoint
from hscodec.training.model_file import as_array, pack_model
from hscodec.training.trainer import stored_frequencies


def model_bytes(
    network: Hypernetwork,
    *,
    frequencies: FrequencyTables | None = None,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """Return a network of the flagship as a model file.

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
        arrays[NETWORK_PREFIX + name] = as_array(name, value)
    described = {"family": FAMILY, "hypernetwork": json.dumps(network.config.to_mapping(), sort_keys=True)}
    return pack_model(arrays, {**(metadata or {}), **described})


def export_checkpoint(checkpoint: Path, target: Path) -> ManifestEntry:
    """Write a checkpoint's averaged weights as a model file, over an older one; return its manifest entry.

    Raises:
        ModelError: The checkpoint cannot be read, is of an unknown family, or its weights cannot be stored.
        HscodecError: The model file cannot be written.
    """
    state = load_checkpoint(checkpoint, torch.device("cpu"))
    network = _averaged_network(state, checkpoint)
    metadata = {"training": json.dumps(_training_record(state), sort_keys=True)}
    if isinstance(network, HyperSound):
        family, content = HYPERSOUND_FAMILY, hypersound_bytes(network, metadata=metadata)
    else:
        family, content = FAMILY, model_bytes(network, frequencies=stored_frequencies(state), metadata=metadata)
    with atomic_writer(target, overwrite=True) as file:
        file.write(content)
    return ManifestEntry(name=target.stem, file=target.name, sha256=hashlib.sha256(content).hexdigest(), family=family)


def _averaged_network(state: dict[str, Any], checkpoint: Path) -> Hypernetwork | HyperSound:
    """Return the network of a checkpoint with its averaged weights, in evaluation mode."""
    shape, family = state["config"]["hypernetwork"], state["config"].get("family", FAMILY)
    try:
        if family == FAMILY:
            network = Hypernetwork(from_mapping(HypernetworkConfig, shape, checkpoint.name))
        elif family == HYPERSOUND_FAMILY:
            network = HyperSound(from_mapping(HyperSoundConfig, shape, checkpoint.name))
        else:
            raise ModelError(f"{checkpoint} is of the family {family!r}, which this version does not know")
        network.load_state_dict(state["average"]["weights"])
    except (ConfigError, RuntimeError) as error:
        raise ModelError(f"{checkpoint} holds a network of another version: {error}") from error
    return network.eval()


def _training_record(state: dict[str, Any]) -> dict[str, Any]:
    """Return how the model was trained."""
    config = state["config"]
    data = config.get("data", {})
    return {
        # Where the corpus lay is the concern of one machine.
        "config": config | {"data": data | {"corpus": Path(data.get("corpus", "")).name}},
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
    }
