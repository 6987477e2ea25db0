import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.coding import layered
from hscodec.errors import FormatError

GROUPS = (6, 2, 8, 1)
BITS = (16, 9, 8, 2)


def chunk(bits=BITS, channels=2, segments=3, seed=0):
    values = np.random.default_rng(seed).normal(size=(channels, segments, sum(GROUPS)))
    return values, layered.quantize(values, GROUPS, bits)


def unpack(payload, shape=(2, 3, 17)):
    return layered.unpack(payload, shape=shape)


@given(st.tuples(*[st.integers(2, 16)] * 4), st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_symbols_and_scales_come_back(bits, channels, segments, seed):
    _, written = chunk(bits, channels, segments, seed)
    found = unpack(layered.pack(written), (channels, segments, sum(GROUPS)))
    np.testing.assert_array_equal(found.symbols, written.symbols)
    np.testing.assert_array_equal(found.scales, written.scales)
    assert (found.group_bits, found.group_lengths) == (bits, GROUPS)
    assert found.digest() == written.digest()


@pytest.mark.parametrize("bits", [(2, 4, 8, 9), (16, 2, 16, 4), BITS])
def test_a_value_is_off_by_half_a_step_at_most(bits):
    values, written = chunk(bits)
    steps = np.repeat(written.scales, GROUPS, axis=-1)
    assert (np.abs(written.values() - values) <= steps * 0.5001).all()
    peaks = np.maximum.reduceat(np.abs(written.symbols), np.cumsum((0, *GROUPS[:-1])), axis=-1)
    assert (peaks == [layered.largest_symbol(group) for group in bits]).all()


def test_a_group_of_zeros_has_scale_zero():
    written = layered.quantize(np.zeros((1, 2, 17)), GROUPS, BITS)
    assert not written.scales.any()
    assert not unpack(layered.pack(written), (1, 2, 17)).values().any()


def test_surplus_segments_cost_next_to_nothing():
    values = np.random.default_rng(0).normal(size=(1, 1, 4000))
    alone = layered.pack(layered.quantize(values, (4000,), (8,)))
    with_surplus = layered.pack(layered.quantize(np.concatenate([values, 0 * values], 1), (4000,), (8,)))
    assert len(with_surplus) < len(alone) + 40


def test_eight_bits_cost_less_than_a_byte_each():
    values = np.random.default_rng(0).normal(size=(1, 2, 20_000))
    assert 0.80 < len(layered.pack(layered.quantize(values, (20_000,), (8,)))) / values.size < 0.95


def test_the_layout():
    written = layered.LayeredSymbols(
        np.array([[[1, -1, 0, 2, -300]]], np.int32), np.array([[[0.5, 2.0]]], np.float32), (2, 3), (8, 10)
    )
    import zstandard

    payload = layered.pack(written)
    content = zstandard.ZstdDecompressor().decompress(payload[12:])
    scales = np.frombuffer(np.array([0.5, 2.0], "<f4").tobytes(), np.uint8).reshape(2, 4).T.tobytes()
    assert payload[:12] == bytes([2, 0, 2, 0, 0, 0, 8, 3, 0, 0, 0, 10])
    assert content == scales + bytes([2, 1]) + bytes([0 >> 2, 4 >> 2, 599 >> 2]) + bytes([0 | 0 << 2 | (599 & 3) << 4])


def test_a_group_costs_what_its_own_bits_ask_for():
    values = np.random.default_rng(0).normal(size=(1, 1, 20_000))
    sizes = {bits: len(layered.pack(layered.quantize(values, (1_000, 19_000), bits))) for bits in ((16, 8), (16, 16))}
    assert sizes[16, 8] < 0.53 * sizes[16, 16]


@pytest.mark.parametrize("bits", [0, 1, 17, 255])
@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_bits_out_of_range_are_refused(bits, group):
    payload = bytearray(layered.pack(chunk()[1]))
    payload[layered.HEAD.size + (group + 1) * layered.GROUP.size - 1] = bits
    with pytest.raises(FormatError, match="bits"):
        unpack(bytes(payload))


@pytest.mark.parametrize("bits", range(9, 17))
def test_noise_is_never_longer_than_its_bits(bits):
    symbols = np.random.default_rng(0).uniform(-1, 1, size=(1, 1, 20_000))
    payload = layered.pack(layered.quantize(symbols, (20_000,), (bits,)))
    assert len(payload) < bits / 8 * symbols.size + 40


def test_bits_behind_the_last_symbol_are_zero():
    import zstandard

    start = layered.HEAD.size + layered.GROUP.size
    payload = layered.pack(layered.quantize(np.ones((1, 1, 3)), (3,), (10,)))
    content = bytearray(zstandard.ZstdDecompressor().decompress(payload[start:]))
    for bit in (6, 7):
        changed = content[:-1] + bytes([content[-1] | 1 << bit])
        with pytest.raises(FormatError, match="behind the last symbol"):
            unpack(payload[:start] + zstandard.ZstdCompressor().compress(bytes(changed)), (1, 1, 3))


def test_a_symbol_beyond_its_own_group_s_bits_is_refused():
    payload = bytearray(layered.pack(chunk((8, 8, 8, 8))[1]))
    payload[layered.HEAD.size + layered.GROUP.size - 1] = 7
    with pytest.raises(FormatError, match="beyond 7 bits"):
        unpack(bytes(payload))


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
    head = layered.HEAD.pack(len(groups)) + b"".join(layered.GROUP.pack(length, 8) for length in groups)
    payload = layered.pack(chunk()[1])
    with pytest.raises(FormatError, match="groups"):
        unpack(head + payload[layered.HEAD.size + len(GROUPS) * layered.GROUP.size :])


def test_a_refusal_is_a_short_line():
    head = layered.HEAD.pack(layered.MAX_GROUPS) + layered.GROUP.pack(2**32 - 1, 8) * layered.MAX_GROUPS
    with pytest.raises(FormatError) as caught:
        unpack(head)
    assert len(str(caught.value)) < 100


def test_what_does_not_fit_is_refused():
    symbols, scales = np.zeros((1, 2, 17), np.int32), np.ones((1, 2, 4), np.float32)
    for arguments in (
        (symbols, scales[:, :1], GROUPS, BITS),
        (symbols, scales, (6, 2, 8, 2), BITS),
        (symbols, scales, (6, 2, 9, 0), BITS),
        (symbols, scales, GROUPS, BITS[1:]),
        (symbols, -scales, GROUPS, BITS),
        (symbols, scales * np.inf, GROUPS, BITS),
        (symbols + 2, scales, GROUPS, BITS),
    ):
        with pytest.raises(FormatError):
            layered.LayeredSymbols(*arguments)
