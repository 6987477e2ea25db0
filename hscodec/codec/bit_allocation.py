"""How many bits the numbers of each layer get, when the user gives one number for all."""

import math

from hscodec.codec.stored_network import StoredNetwork
from hscodec.coding.layered import MAX_BITS
from hscodec.container.codes import Storage
from hscodec.inr.mlp import MlpKind
from hscodec.inr.weight_modes import WeightMode

MAX_PHASE_ERROR = 1 / 128
"""Of what rounding does to the phase of a SIREN's first sine (radians), if its weights lie in [-1, 1]. That is 47 dB
below the sine; a network of four layers that has learned makes some 12 dB more of it."""

_FIRST_LAYER_GROUPS = 2


def group_bits(network: StoredNetwork, bits: int) -> tuple[int, ...]:
    """Return the bits of each group that a file stores: `bits`, and what `first_layer_bits` asks for if that is more.

    Args:
        network: What the file stores.
        bits: For all groups, 2 to 16.
    """
    found = [bits] * len(network.group_lengths)
    if network.mlp.config.kind == MlpKind.SIREN and _stores_first_layer(network):
        least = first_layer_bits(network.mlp.frequencies[0].item())
        found[:_FIRST_LAYER_GROUPS] = [max(bits, least)] * _FIRST_LAYER_GROUPS
    return tuple(found)


def first_layer_bits(omega_0: float) -> int:
    """Return the bits that weights and biases of a SIREN's first layer need, at most `MAX_BITS`.

    Its sine is sin(omega_0 (w t + b)). Weights and biases start within [-1, 1] (Sitzmann et al. 2020, section 3.2) and
    hardly leave it, so b bits put quantiser levels 1 / (2^(b - 1) - 1) apart; rounding moves each by up to half of
    that, and the phase by omega_0 times as much, which must not exceed `MAX_PHASE_ERROR`. Other layers have a factor
    of 30 in place of 2000 and need no such care (derived here).
    """
    largest_symbol = omega_0 / (2 * MAX_PHASE_ERROR)
    return min(1 + math.ceil(math.log2(largest_symbol + 1)), MAX_BITS)


def _stores_first_layer(network: StoredNetwork) -> bool:
    if network.storage is not Storage.WEIGHTS:
        return False
    return network.model is None or network.model.config.layer_modes[0] != WeightMode.SHARED
