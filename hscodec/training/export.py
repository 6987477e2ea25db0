"""From a checkpoint to a model file: averaged weights in half precision, the scale network as integers, one hash."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save as save_arrays

from hscodec.atomic import atomic_writer
from hscodec.coding.fixedpoint import (
    ACTIVATION_BITS,
    LATENT_STEP_BITS,
    PREDICTION_BITS,
    WEIGHT_BITS,
    FixedPointTables,
)
from hscodec.config import from_mapping
from hscodec.errors import ConfigError, ModelError
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.hypernet.scale import OUTPUT_GAIN
from hscodec.model import Hypernetwork
from hscodec.registry import FAMILY, NETWORK_PREFIX, TABLE_PREFIX, ManifestEntry
from hscodec.training.trainer import load_checkpoint


def fixed_point_tables(network: Hypernetwork) -> FixedPointTables:
    """Round the scale network and the latent prior to integers.

    Raises:
        ModelError: A value is not finite, or too large.
    """
    scale, prior = network.scale, network.prior
    bias_bits = ACTIVATION_BITS + WEIGHT_BITS

    def weight(tensor: torch.Tensor) -> np.ndarray:
        return _rounded32(tensor, WEIGHT_BITS)

    def convolution(tensor: torch.Tensor) -> np.ndarray:
        """[W_out, W_in, taps] to [taps * W_in, W_out], the order of `fixedpoint`'s stacked windows."""
        return weight(tensor.permute(2, 1, 0).reshape(-1, tensor.shape[0]))

    return FixedPointTables(
        prediction=_rounded32(prior.prediction(), PREDICTION_BITS),
        latent_step=_rounded32(prior.step_knots(), LATENT_STEP_BITS),
        enter=convolution(scale.enter.weight),
        enter_bias=_rounded(scale.enter_bias, bias_bits),
        latent_mix=convolution(scale.latent_mix.weight),
        latent_mix_bias=_rounded(_bias(scale.latent_mix), bias_bits),
        unpair=weight(scale.unpair.weight.T),
        unpair_bias=_rounded(_bias(scale.unpair), bias_bits),
        segment_mix=convolution(scale.segment_mix.weight),
        segment_mix_bias=_rounded(_bias(scale.segment_mix), bias_bits),
        leave=weight(OUTPUT_GAIN * scale.leave.weight.T),
        leave_bias=_rounded(OUTPUT_GAIN * scale.leave_bias, bias_bits),
    )


def _bias(layer: torch.nn.Module) -> torch.Tensor:
    bias = layer.bias
    assert isinstance(bias, torch.Tensor)
    return bias


def _rounded(tensor: torch.Tensor, bits: int) -> np.ndarray:
    values = np.round(tensor.detach().double().cpu().numpy() * 2**bits)
    if not (np.abs(values) < 2.0**62).all():
        raise ModelError("the scale network holds values that are not finite, or too large")
    return np.ascontiguousarray(values.astype(np.int64))  # safetensors writes memory as it lies, transposed or not


def _rounded32(tensor: torch.Tensor, bits: int) -> np.ndarray:
    # Clipped, not wrapped, so that the tables' own check sees what is too large.
    return np.clip(_rounded(tensor, bits), -(2**31), 2**31 - 1).astype(np.int32)


def model_bytes(network: Hypernetwork, *, metadata: dict[str, str] | None = None) -> bytes:
    """Return the network as a model file.

    Args:
        network: Weights to ship.
        metadata: Further text to store, such as how the model was trained.

    Raises:
        ModelError: A weight is not finite, or too large for half precision or for the fixed-point tables.
    """
    tables = fixed_point_tables(network)
    arrays = {TABLE_PREFIX + field.name: getattr(tables, field.name) for field in fields(tables)}
    for name, value in network.state_dict().items():
        if not bool((value.abs() <= torch.finfo(torch.float16).max).all()):
            raise ModelError(f"{name} holds weights that half precision cannot store")
        arrays[NETWORK_PREFIX + name] = value.detach().cpu().numpy().astype(np.float16)
    described = {"family": FAMILY, "hypernetwork": json.dumps(network.config.to_mapping(), sort_keys=True)}
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
    content = model_bytes(network, metadata={"training": json.dumps(training, sort_keys=True)})
    with atomic_writer(target, overwrite=True) as file:
        file.write(content)
    return ManifestEntry(name=target.stem, file=target.name, sha256=hashlib.sha256(content).hexdigest())
