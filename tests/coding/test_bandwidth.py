from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.coding.attacks import pack_attacks
from hscodec.coding.bandwidth import MAX_STEPS, MIN_STEPS, num_steps_left_out, pack_bandwidth, unpack_bandwidth
from hscodec.coding.payload import pack, unpack
from hscodec.coding.rotations import SILENT, pack_rotations
from hscodec.errors import FormatError

QUALITY = 500
NUM_WEIGHTS = 160
SHAPE = (2, 8, NUM_WEIGHTS)
CHANNELS = 3


@pytest.fixture
def model(make_tables, make_frequencies):
    return make_tables(num_weights=NUM_WEIGHTS), make_frequencies(CHANNELS)


@pytest.fixture
def symbols(make_symbols):
    return make_symbols(shape=SHAPE)


def narrowed(symbols, used):
    """Return symbols of which only so many weights are not 0, the last of them in one segment of one channel."""
    weights = symbols.weights.copy()
    weights[..., used - 1 :] = 0
    weights[-1, -1, used - 1] = 1
    return replace(symbols, weights=weights)


@pytest.mark.parametrize(
    ("num_weights", "used", "steps"),
    [
        (160, 160, 0),
        (160, 160 - 8 * MIN_STEPS + 1, 0),
        (160, 160 - 8 * MIN_STEPS, MIN_STEPS),
        (160, 97 - 8, MIN_STEPS),
        (160, 1, 19),
        (161, 1, 20),
        (8 * MAX_STEPS + 100, 1, MAX_STEPS),
    ],
)
def test_what_is_left_out(num_weights, used, steps):
    weights = np.zeros((2, 4, num_weights), np.int32)
    weights[1, 2, used - 1] = -1
    assert num_steps_left_out(weights) == steps


def test_of_silence_one_weight_at_least_is_stored():
    assert num_steps_left_out(np.zeros((1, 2, 160), np.int32)) == 19
    assert num_steps_left_out(np.zeros((1, 2, 1), np.int32)) == 0


@given(st.integers(1, MAX_STEPS), st.integers(0, 20), st.binary(max_size=3))
def test_the_byte_says_how_many_weights_are_stored(steps, more, behind):
    num_weights = 8 * steps + 1 + more
    assert unpack_bandwidth(pack_bandwidth(steps) + behind, num_weights) == (1 + more, behind)


@pytest.mark.parametrize(
    ("payload", "num_weights"), [(b"", 160), (b"\0", 160), (b"\x14", 160), (b"\x01", 8), (b"\xff", 1)]
)
def test_bytes_that_say_something_impossible(payload, num_weights):
    with pytest.raises(FormatError, match="bandwidth"):
        unpack_bandwidth(payload, num_weights)


@pytest.mark.parametrize("used", [1, 7, 50, 90])
@pytest.mark.parametrize("has_frequencies", [True, False])
def test_payloads_without_the_last_weights(model, symbols, used, has_frequencies):
    tables, frequencies = model
    options = {"frequencies": frequencies if has_frequencies else None}
    symbols = narrowed(symbols, used)
    packed = pack(symbols, tables, QUALITY, **options)
    assert packed.has_bandwidth
    assert packed.payload[0] == (NUM_WEIGHTS - used) // 8
    options |= {"shape": SHAPE}
    restored = unpack(packed.payload, packed.order, tables, QUALITY, has_bandwidth=True, **options)
    np.testing.assert_array_equal(restored.weights, symbols.weights)
    np.testing.assert_array_equal(restored.latent, symbols.latent)
    assert restored.digest() == symbols.digest()
    with pytest.raises(FormatError):
        unpack(packed.payload, packed.order, tables, QUALITY, **options)


def test_a_full_band_has_no_bandwidth(model, symbols):
    packed = pack(narrowed(symbols, NUM_WEIGHTS), *model[:1], QUALITY)
    assert not packed.has_bandwidth


def test_it_stands_behind_attacks_and_rotations(model, symbols):
    tables, frequencies = model
    attacks, rotations = np.array([[0, 40, 3]], np.int32), np.array([[10, 0]], np.int32)
    symbols = replace(narrowed(symbols, 40), attacks=attacks, rotations=rotations)
    packed = pack(symbols, tables, QUALITY, frequencies=frequencies)
    assert (packed.has_attacks, packed.has_rotations, packed.has_bandwidth) == (True, True, True)
    assert packed.payload.startswith(pack_attacks(attacks) + pack_rotations(rotations) + pack_bandwidth(15))
    flags = {"has_attacks": True, "has_rotations": True, "has_bandwidth": True}
    restored = unpack(packed.payload, packed.order, tables, QUALITY, shape=SHAPE, frequencies=frequencies, **flags)
    assert restored.digest() == symbols.digest()
    np.testing.assert_array_equal(restored.attacks, attacks)
    np.testing.assert_array_equal(restored.rotations, rotations)


def test_channels_that_are_not_stored_stay_away(model, symbols):
    tables, frequencies = model
    symbols = narrowed(symbols, 40)
    symbols.latent[1] = symbols.weights[1] = 0
    symbols.weights[0, 0, 39] = 1
    symbols = replace(symbols, rotations=np.array([[64, SILENT]], np.int32))
    packed = pack(symbols, tables, QUALITY, frequencies=frequencies)
    flags = {"has_rotations": True, "has_bandwidth": True}
    restored = unpack(packed.payload, packed.order, tables, QUALITY, shape=SHAPE, frequencies=frequencies, **flags)
    assert restored.digest() == symbols.digest()


@settings(deadline=None, max_examples=25)
@given(used=st.integers(1, NUM_WEIGHTS), seed=st.integers(0, 9))
def test_any_symbols_come_back(make_tables, make_frequencies, make_symbols, used, seed):
    tables, frequencies = make_tables(num_weights=NUM_WEIGHTS), make_frequencies(CHANNELS)
    symbols = narrowed(make_symbols(shape=SHAPE, seed=seed), used)
    packed = pack(symbols, tables, QUALITY, frequencies=frequencies)
    flags = {"shape": SHAPE, "frequencies": frequencies, "has_bandwidth": packed.has_bandwidth}
    assert unpack(packed.payload, packed.order, tables, QUALITY, **flags).digest() == symbols.digest()
