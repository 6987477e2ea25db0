import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hscodec.coding.attacks import pack_attacks
from hscodec.coding.payload import ChunkSymbols, pack, unpack
from hscodec.coding.rotations import (
    SILENT,
    channel_qualities,
    check_rotations,
    is_stored,
    no_rotations,
    pack_rotations,
    unpack_rotations,
)
from hscodec.errors import FormatError

QUALITY = 437
SHAPE = (2, 8, 20)
NEARLY_MONO = np.array([(64, 30)], np.int32)
ATTACKS = np.array([(0, 36, 15), (0, 52, 1), (1, 112, 7)], np.int32)


def rows(num_pairs):
    return hnp.arrays(np.int32, (num_pairs, 2), elements=st.integers(0, 255)).filter(np.any)


@given(st.integers(1, 4).flatmap(rows), st.booleans(), st.binary(max_size=20))
def test_round_trip(rotations, odd, content):
    num_channels = 2 * len(rotations) + odd
    check_rotations(rotations, num_channels)
    restored, rest = unpack_rotations(pack_rotations(rotations) + content, num_channels)
    np.testing.assert_array_equal(restored, rotations)
    assert restored.dtype == np.int32
    assert rest == content


def test_the_bytes_are_angle_and_reduction():
    assert pack_rotations(np.array([(64, 255), (0, 0), (192, 7)], np.int32)) == struct.pack("6B", 64, 255, 0, 0, 192, 7)


BAD = {
    "none": (no_rotations(), 2),
    "one too few": ([(64, 0)], 4),
    "one too many": ([(64, 0), (64, 0)], 3),
    "nothing to rotate": (no_rotations(), 1),
    "zeros": ([(0, 0), (0, 0)], 4),
    "angle": ([(256, 0)], 2),
    "negative angle": ([(-1, 0)], 2),
    "reduction": ([(0, 256)], 3),
    "negative reduction": ([(64, -1)], 3),
}


@pytest.mark.parametrize(("rotations", "num_channels"), BAD.values(), ids=list(BAD))
def test_what_is_refused(rotations, num_channels):
    with pytest.raises(FormatError, match="rotation"):
        check_rotations(np.array(rotations, np.int32), num_channels)


@pytest.mark.parametrize(
    ("payload", "num_channels", "message"),
    [
        (b"", 2, "ends within"),
        (b"\1", 2, "ends within"),
        (b"\1\0\1", 4, "ends within"),
        (b"\1\0\1", 5, "ends within"),
        (bytes(9), 2, "has none"),
        (bytes(9), 8, "has none"),
        (b"\1\1", 1, "has none"),
    ],
)
def test_bytes_that_are_refused(payload, num_channels, message):
    with pytest.raises(FormatError, match=message):
        unpack_rotations(payload, num_channels)


def test_what_is_stored():
    rotations = np.array([(64, SILENT), (0, 0), (3, 254)], np.int32)
    assert is_stored(rotations, 6).tolist() == [True, False, True, True, True, True]
    assert is_stored(rotations, 7).tolist() == [True, False, True, True, True, True, True]
    assert is_stored(NEARLY_MONO, 2).all()
    for num_channels in (1, 2, 5):
        assert is_stored(no_rotations(), num_channels).tolist() == [True] * num_channels


@pytest.mark.parametrize(
    ("reduction", "quality", "lowered"),
    [(0, 437, 437), (1, 437, 427), (43, 437, 7), (44, 437, 0), (100, 1000, 0), (30, 0, 0), (254, 1000, 0)],
)
def test_the_second_channel_is_lowered_in_tenths_down_to_0(reduction, quality, lowered):
    assert channel_qualities(np.array([(64, reduction)], np.int32), quality, 2).tolist() == [quality, lowered]


def test_only_second_channels_are_lowered():
    rotations = np.array([(64, 10), (0, 0), (3, SILENT)], np.int32)
    assert channel_qualities(rotations, 500, 7).tolist() == [500, 400, 500, 500, 500, 0, 500]
    assert channel_qualities(no_rotations(), 500, 3).tolist() == [500, 500, 500]


def test_payloads_carry_rotations(make_tables, make_symbols):
    tables, symbols = make_tables(), make_symbols(shape=SHAPE)
    without = pack(symbols, tables, QUALITY)
    assert not without.has_rotations
    packed = pack(ChunkSymbols(symbols.latent, symbols.weights, rotations=NEARLY_MONO), tables, QUALITY)
    assert (packed.has_attacks, packed.has_rotations) == (False, True)
    assert packed.payload.startswith(pack_rotations(NEARLY_MONO))
    restored = unpack(packed.payload, packed.order, tables, QUALITY, shape=SHAPE, has_rotations=True)
    np.testing.assert_array_equal(restored.rotations, NEARLY_MONO)
    np.testing.assert_array_equal(restored.weights, symbols.weights)
    assert restored.digest() == symbols.digest()
    for payload, has_rotations in ((packed.payload, False), (without.payload, True)):
        with pytest.raises(FormatError):
            unpack(payload, packed.order, tables, QUALITY, shape=SHAPE, has_rotations=has_rotations)


def test_attacks_come_first(make_tables, make_symbols):
    tables, symbols = make_tables(), make_symbols(shape=SHAPE)
    rotated = pack(ChunkSymbols(symbols.latent, symbols.weights, rotations=NEARLY_MONO), tables, QUALITY)
    both = ChunkSymbols(symbols.latent, symbols.weights, ATTACKS, NEARLY_MONO)
    packed = pack(both, tables, QUALITY)
    assert (packed.has_attacks, packed.has_rotations) == (True, True)
    assert packed.payload == pack_attacks(ATTACKS) + rotated.payload
    restored = unpack(packed.payload, packed.order, tables, QUALITY, shape=SHAPE, has_attacks=True, has_rotations=True)
    np.testing.assert_array_equal(restored.attacks, ATTACKS)
    np.testing.assert_array_equal(restored.rotations, NEARLY_MONO)
    assert restored.digest() == both.digest() == symbols.digest()


@pytest.mark.parametrize("rotations", [[(0, 0)], [(256, 0)], [(64, 0), (64, 0)]])
def test_rotations_that_could_not_be_read_are_not_written(make_tables, make_symbols, rotations):
    symbols = make_symbols(shape=SHAPE)
    with pytest.raises(FormatError, match="rotation"):
        pack(
            ChunkSymbols(symbols.latent, symbols.weights, rotations=np.array(rotations, np.int32)),
            make_tables(),
            QUALITY,
        )
    assert no_rotations().shape == (0, 2)
