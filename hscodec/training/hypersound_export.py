"""A trained HyperSound network as a model file."""

import json

import numpy as np

from hscodec.hypernet.hypersound import HyperSound
from hscodec.registry import HYPERSOUND_FAMILY, NETWORK_PREFIX
from hscodec.training.model_file import as_array, pack_model

_SINGLE_PRECISION = ("mlp.", "weights.", "last.bias")
"""What belongs to the target networks themselves, or to all of them alike. It is little, and the first sine of a SIREN
multiplies an error of a shared weight, or of a frequency, by some thousand radians."""


def hypersound_bytes(network: HyperSound, *, metadata: dict[str, str] | None = None) -> bytes:
    """Return the network as a model file: half precision, but for frequencies and shared weights of the target network.

    Args:
        network: Weights to ship.
        metadata: Further text to store, such as how the model was trained.

    Raises:
        ModelError: A weight is not finite, or too large for half precision.
    """
    arrays = {
        NETWORK_PREFIX + name: as_array(name, value, np.float32 if name.startswith(_SINGLE_PRECISION) else np.float16)
        for name, value in network.state_dict().items()
    }
    described = {"family": HYPERSOUND_FAMILY, "hypernetwork": json.dumps(network.config.to_mapping(), sort_keys=True)}
    return pack_model(arrays, {**(metadata or {}), **described})
