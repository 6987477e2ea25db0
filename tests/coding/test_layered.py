import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.coding import layered
from hscodec.errors import FormatError

GROUPS = (6, 2, 8, 1)


def chunk(bits=8, channels=2, segments=3, seed=0):
    values = np.random.default_rng(seed).normal(size=(channels, segments, sum(GROUPS)))
    return values, layered.quantize(values, GROUPS, bits)


def unpack(payload, shape=(2, 3, 17)):
    return layered.unpack(payload, shape=shape)


@given(st.integers(2, 16), st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_symbols_and_scales_come_back(bits, channels, segments, seed):
    _, written = chunk(bits, channels, segments, seed)
    found = unpack(layered.pack(written), (channels, segments, sum(GROUPS)))
    np.testing.assert_array_equal(found.symbols, written.symbols)
    np.testing.assert_array_equal(found.scales, written.scales)
    assert (found.bits, found.group_lengths) == (bits, GROUPS)
    assert found.digest() == written.digest()


@pytest.mark.parametrize("bits", [2, 4, 8, 9, 16])
def test_a_value_is_off_by_half_a_step_at_most(bits):
    values, written = chunk(bits)
    steps = np.repeat(written.scales, GROUPS, axis=-1)
    assert (np.abs(written.values() - values) <= steps * 0.5001).all()
    peaks = np.maximum.reduceat(np.abs(written.symbols), np.cumsum((0, *GROUPS[:-1])), axis=-1)
    assert (peaks == layered.largest_symbol(bits)).all()


def test_a_group_of_zeros_has_scale_zero():
    written = layered.quantize(np.zeros((1, 2, 17)), GROUPS, 8)
    assert not written.scales.any()
    assert not unpack(layered.pack(written), (1, 2, 17)).values().any()


def test_surplus_segments_cost_next_to_nothing():
    values = np.random.default_rng(0).normal(size=(1, 1, 4000))
    alone = layered.pack(layered.quantize(values, (4000,), 8))
    with_surplus = layered.pack(layered.quantize(np.concatenate([values, 0 * values], 1), (4000,), 8))
    assert len(with_surplus) < len(alone) + 40


def test_eight_bits_cost_less_than_a_byte_each():
    values = np.random.default_rng(0).normal(size=(1, 2, 20_000))
    assert 0.80 < len(layered.pack(layered.quantize(values, (20_000,), 8))) / values.size < 0.95


def test_the_layout():
    written = layered.LayeredSymbols(
        np.array([[[1, -1, 0, 2, -300]]], np.int32), np.array([[[0.5, 2.0]]], np.float32), (2, 3), 10
    )
    import zstandard

    payload = layered.pack(written)
    content = zstandard.ZstdDecompressor().decompress(payload[11:])
    scales = np.frombuffer(np.array([0.5, 2.0], "<f4").tobytes(), np.uint8).reshape(2, 4).T.tobytes()
    folded = [2, 1, 0, 4, 599]
    assert payload[:11] == bytes([10, 2, 0, 2, 0, 0, 0, 3, 0, 0, 0])
    assert content == scales + bytes(v & 255 for v in folded) + bytes(v >> 8 for v in folded)


@pytest.mark.parametrize("bits", [0, 1, 17, 255])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(FormatError, match="bits"):
        unpack(bytes([bits]) + layered.pack(chunk()[1])[1:])


def test_damage_is_refused():
    payload = layered.pack(chunk()[1])
    for stop in range(len(payload)):
        with pytest.raises(FormatError):
            unpack(payload[:stop])
    with pytest.raises(FormatError):
        unpack(payload + b"\0")
    with pytest.raises(FormatError):
        unpack(payload, (2, 2, sum(GROUPS)))


@pytest.mark.parametrize("groups", [(), (17, 0), (6, 2, 8, 2), (2**32 - 1, 18)])
def test_groups_that_do_not_fit_are_refused(groups):
    head = layered.HEAD.pack(8, len(groups)) + b"".join(map(layered.GROUP.pack, groups))
    payload = layered.pack(chunk()[1])
    with pytest.raises(FormatError, match="groups"):
        unpack(head + payload[3 + 4 * len(GROUPS) :])


def test_what_does_not_fit_is_refused():
    symbols, scales = np.zeros((1, 2, 17), np.int32), np.ones((1, 2, 4), np.float32)
    for arguments in (
        (symbols, scales[:, :1], GROUPS, 8),
        (symbols, scales, (6, 2, 8, 2), 8),
        (symbols, -scales, GROUPS, 8),
        (symbols, scales * np.inf, GROUPS, 8),
        (symbols + 128, scales, GROUPS, 8),
    ):
        with pytest.raises(FormatError):
            layered.LayeredSymbols(*arguments)
