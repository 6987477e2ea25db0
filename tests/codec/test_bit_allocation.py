import math

import numpy as np
import pytest
import torch

from hscodec.codec.bit_allocation import MAX_PHASE_ERROR, first_layer_bits, group_bits
from hscodec.codec.stored_network import StoredNetwork, network_of_model, network_of_record, record_of_config
from hscodec.coding import layered
from hscodec.container.codes import Storage
from hscodec.hypernet.hypersound import HyperSound, HyperSoundConfig
from hscodec.inr.mlp import MlpConfig

SIREN = MlpConfig(kind="siren", hidden_layers=2, width=6, omega_0=100.0)


def of_file(config):
    return network_of_record(*record_of_config(config))


def of_model(modes, storage, target=SIREN):
    config = HyperSoundConfig(
        target=target,
        modes=modes,
        sample_rate=8_000,
        segment_samples=100,
        channels=4,
        strides=(4, 5),
        latent_channels=4,
        dense=(8, 8),
    )
    return network_of_model(HyperSound(config), storage)


@pytest.mark.parametrize(("omega_0", "bits"), [(1.0, 8), (30.0, 12), (100.0, 14), (500.0, 16), (2000.0, 16), (1e6, 16)])
def test_the_first_layer_of_a_siren_gets_what_its_factor_asks_for(omega_0, bits):
    assert first_layer_bits(omega_0) == bits


@pytest.mark.parametrize("omega_0", [1.0, 9.0, 100.0, 300.0, 500.0])
def test_rounding_keeps_the_phase_and_a_bit_less_would_not(omega_0):
    weights = np.random.default_rng(0).uniform(-1, 1, size=(1, 1, 5_000))
    weights[..., 0] = 1
    bits = first_layer_bits(omega_0)

    def error(bits):
        return omega_0 * np.abs(layered.quantize(weights, (5_000,), (bits,)).values() - weights).max()

    assert error(bits) <= MAX_PHASE_ERROR * 1.001
    assert error(bits - 1) > MAX_PHASE_ERROR


def test_other_layers_get_what_the_user_asks_for():
    assert group_bits(of_file(SIREN), 8) == (14, 14, 8, 8, 8, 8)
    assert group_bits(of_file(SIREN), 15) == (15,) * 6
    assert group_bits(of_file(MlpConfig(kind="fmlp", hidden_layers=1, width=6)), 4) == (4,) * 4


def test_only_a_first_layer_that_is_stored_counts():
    assert group_bits(of_model(("standard",), Storage.WEIGHTS), 8) == (14, 14, 8, 8, 8, 8)
    assert group_bits(of_model(("additive", "shared", "standard"), Storage.WEIGHTS), 8) == (14, 14, 8, 8)
    assert group_bits(of_model(("shared", "standard", "standard"), Storage.WEIGHTS), 8) == (8, 8, 8, 8)
    assert group_bits(of_model(("standard",), Storage.BOTTLENECK), 8) == (8,)


def test_an_omega_that_was_learned_counts():
    target = MlpConfig(kind="siren", hidden_layers=2, width=6, omega_0=300.0, learn_frequencies=True)
    network = of_model(("standard",), Storage.WEIGHTS, target)
    assert isinstance(network, StoredNetwork)
    with torch.no_grad():
        network.mlp.log2_frequencies[0] = math.log2(2000)
    assert group_bits(network, 8)[:2] == (16, 16)
