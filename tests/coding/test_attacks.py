import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.coding.attacks import check_attacks, no_attacks, pack_attacks, unpack_attacks
from hscodec.coding.payload import ChunkSymbols, pack, unpack
from hscodec.errors import FormatError

QUALITY = 437
SHAPE = (2, 8, 20)
ATTACKS = np.array([(0, 36, 15), (0, 52, 1), (1, 112, 7)], np.int32)


@st.composite
def valid_attacks(draw, num_channels=3, num_segments=30):
    rows = []
    for channel in range(num_channels):
        slot = 36
        for gap, gain in draw(st.lists(st.tuples(st.integers(16, 120), st.integers(1, 15)), max_size=5)):
            if slot > 16 * (num_segments - 1):
                break
            rows.append((channel, slot, gain))
            slot += gap
    return np.array(rows, np.int32).reshape(-1, 3)


@given(valid_attacks(), st.binary(max_size=20))
def test_round_trip(attacks, frame):
    check_attacks(attacks, 3, 30)
    if len(attacks):
        restored, rest = unpack_attacks(pack_attacks(attacks) + frame, 3, 30)
        np.testing.assert_array_equal(restored, attacks)
        assert rest == frame


def test_the_bytes_are_the_documented_ones(reference):
    data = pack_attacks(ATTACKS)
    assert data == struct.pack("<H" + 3 * "HBB", 3, 36, 0, 15, 52, 0, 1, 112, 1, 7)
    attacks, frame = reference.read_attacks(data + b"frame", SHAPE)
    assert attacks == [(36, 0, 15), (52, 0, 1), (112, 1, 7)]
    assert frame == b"frame"


BAD = {
    "too early": [(0, 35, 1)],
    "too late": [(0, 113, 1)],
    "no such channel": [(2, 40, 1)],
    "no gain": [(0, 40, 0)],
    "too much gain": [(0, 40, 16)],
    "too near": [(0, 40, 1), (0, 55, 1)],
    "twice": [(0, 40, 1), (0, 40, 1)],
    "backwards": [(0, 80, 1), (0, 40, 1)],
    "channels backwards": [(1, 40, 1), (0, 80, 1)],
}


@pytest.mark.parametrize("rows", BAD.values(), ids=list(BAD))
def test_what_is_refused(rows, reference):
    attacks = np.array(rows, np.int32)
    with pytest.raises(FormatError, match="attack"):
        check_attacks(attacks, *SHAPE[:2])
    data = pack_attacks(attacks)
    with pytest.raises(FormatError, match="attack"):
        unpack_attacks(data, *SHAPE[:2])
    with pytest.raises(reference.FormatError):
        reference.read_attacks(data, SHAPE)


@pytest.mark.parametrize("data", [b"", b"\1", b"\0\0", b"\1\0", b"\1\0\x24\0\0", b"\xff\xff" + bytes(40)])
def test_what_is_cut_off_is_refused(data, reference):
    with pytest.raises(FormatError, match="attacks"):
        unpack_attacks(data, *SHAPE[:2])
    with pytest.raises(reference.FormatError):
        reference.read_attacks(data, SHAPE)


def test_payloads_carry_attacks(make_tables, make_symbols):
    tables, symbols = make_tables(), make_symbols(shape=SHAPE)
    without = pack(symbols, tables, QUALITY)
    assert not without.has_attacks
    packed = pack(ChunkSymbols(symbols.latent, symbols.weights, ATTACKS), tables, QUALITY)
    assert packed.has_attacks
    assert packed.payload == pack_attacks(ATTACKS) + without.payload
    restored = unpack(packed.payload, packed.order, tables, QUALITY, shape=SHAPE, has_attacks=True)
    np.testing.assert_array_equal(restored.attacks, ATTACKS)
    np.testing.assert_array_equal(restored.weights, symbols.weights)
    assert restored.digest() == symbols.digest()
    for payload, has_attacks in ((packed.payload, False), (without.payload, True)):
        with pytest.raises(FormatError):
            unpack(payload, packed.order, tables, QUALITY, shape=SHAPE, has_attacks=has_attacks)


def test_attacks_that_could_not_be_read_are_not_written(make_tables, make_symbols):
    symbols = make_symbols(shape=SHAPE)
    with pytest.raises(FormatError, match="slot"):
        pack(ChunkSymbols(symbols.latent, symbols.weights, np.array([(0, 0, 1)])), make_tables(), QUALITY)
    assert no_attacks().shape == (0, 3)
