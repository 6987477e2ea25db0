import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.coding.attacks import no_attacks, pack_attacks
from hscodec.coding.by_context import read, walk, write
from hscodec.coding.fixedpoint import fine_scale_classes, latent_residuals
from hscodec.coding.frequencies import FREQUENCY_BITS
from hscodec.coding.order import NUM_FINE_CLASSES, Order
from hscodec.coding.payload import ChunkSymbols, pack, unpack
from hscodec.coding.rans import Coder, Reader, Writer, code_bits
from hscodec.coding.rotations import SILENT, is_stored, pack_rotations
from hscodec.coding.tokens import ESCAPE_TOKEN, NUM_TOKENS, raw_bits, tokens_of
from hscodec.errors import FormatError

QUALITY = 437
KNOT = 4
CHANNELS = 3
MAX_WEIGHTS = 50
SHAPE = (2, 8, 20)
EXTREMES = [-(2**31), -(2**31) + 1, -(2**16), 1 - 2**16, -41, -8, -1, 0, 1, 7, 8, 40, 2**16 - 1, 2**16, 2**31 - 1]


@pytest.fixture(scope="module")
def model(make_tables, make_frequencies):
    """Return (tables, frequencies)."""
    return make_tables(num_weights=MAX_WEIGHTS), make_frequencies(CHANNELS)


@pytest.fixture(scope="module")
def drawn(model):
    """Return what random bytes mean: symbols as probable as the frequencies say."""
    shape = (2, 60, MAX_WEIGHTS)
    return (*_walked(Reader(np.random.default_rng(0).bytes(200_000) + b"\1"), model, shape), shape)


def _walked(coder, model, shape):
    tables, frequencies = model
    zeros = np.zeros((shape[0], shape[1] // 2, CHANNELS), np.int32), np.zeros(shape, np.int32)
    return walk(coder, *zeros, tables, frequencies, QUALITY)


def assert_equal(restored, expected):
    for found, wanted in zip(restored, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.int32


def random_symbols(shape, seed, *, loudness=3.0, num_extreme=0):
    random = np.random.default_rng(seed)
    channels, segments, _ = shape
    latent = np.round(random.laplace(0, loudness, (channels, segments // 2, CHANNELS))).astype(np.int32)
    weights = np.round(random.laplace(0, loudness, shape)).astype(np.int32)
    for symbols in (latent, weights):
        symbols.flat[random.integers(0, symbols.size, num_extreme)] = random.choice(EXTREMES, num_extreme)
    return latent, weights


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 10).map(lambda pairs: 2 * pairs), st.integers(1, MAX_WEIGHTS)),
    seed=st.integers(0, 2**32 - 1),
    loudness=st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0, 1e6]),
    num_extreme=st.sampled_from([0, 0, 3, 50]),
    quality=st.integers(0, 1000),
)
def test_round_trip(model, shape, seed, loudness, num_extreme, quality):
    symbols = random_symbols(shape, seed, loudness=loudness, num_extreme=num_extreme)
    content = write(*symbols, *model, quality)
    assert_equal(read(content, *model, quality, shape=shape), symbols)
    assert content == b"\0" or content[-1] != 0


@settings(max_examples=30, deadline=None)
@given(
    qualities=st.lists(st.integers(0, 1000), min_size=3, max_size=3),
    seed=st.integers(0, 2**32 - 1),
    loudness=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_round_trip_with_qualities_of_channels(model, qualities, seed, loudness):
    shape = (3, 8, 20)
    symbols = random_symbols(shape, seed, loudness=loudness, num_extreme=3)
    content = write(*symbols, *model, np.array(qualities))
    assert_equal(read(content, *model, np.array(qualities), shape=shape), symbols)
    assert write(*symbols, *model, np.full(3, qualities[0])) == write(*symbols, *model, qualities[0])


@pytest.mark.parametrize("value", EXTREMES)
@pytest.mark.parametrize("shape", [(1, 2, 1), (1, 4, 5)])
def test_nothing_but_one_value(model, value, shape):
    symbols = np.full((shape[0], shape[1] // 2, CHANNELS), value, np.int32), np.full(shape, value, np.int32)
    assert_equal(read(write(*symbols, *model, QUALITY), *model, QUALITY, shape=shape), symbols)


@pytest.mark.parametrize("shape", [(1, 2, 1), (3, 20, 50), (2, 500, 50)])
def test_zeros_are_one_byte(model, shape):
    """The least of the numbers that a state can be stands for zeros, however many."""
    symbols = np.zeros((shape[0], shape[1] // 2, CHANNELS), np.int32), np.zeros(shape, np.int32)
    assert write(*symbols, *model, QUALITY) == b"\0"
    assert_equal(read(b"\0", *model, QUALITY, shape=shape), symbols)


def test_writing_is_deterministic_and_leaves_symbols_alone(model, make_tables, make_frequencies):
    latent, weights = random_symbols(SHAPE, 1, num_extreme=9)
    before = latent.copy(), weights.copy()
    content = write(latent, weights, *model, QUALITY)
    assert write(latent, weights, *model, QUALITY) == content
    assert write(latent, weights, make_tables(num_weights=MAX_WEIGHTS), make_frequencies(CHANNELS), QUALITY) == content
    assert_equal((latent, weights), before)


def test_memory_may_lie_in_any_order(model):
    latent, weights = random_symbols(SHAPE, 2, num_extreme=9)
    content = write(latent, weights, *model, QUALITY)
    assert write(np.asfortranarray(latent), np.asfortranarray(weights), *model, QUALITY) == content
    wide = np.repeat(weights, 2, -1)[..., ::2]
    assert not wide.flags.contiguous
    assert write(latent[::-1][::-1], wide, *model, QUALITY) == content


class Length(Coder):
    """Adds up the ideal code length (bits) of tokens, in the place of a coder and of frequency tables."""

    def __init__(self, frequencies):
        self.unit, self.edges = frequencies.unit, frequencies.edges
        self.frequencies = frequencies
        self.bits = 0.0

    def weight_models(self, rows):
        return list(self.frequencies.weights.reshape(-1, NUM_TOKENS)[rows])

    def latent_models(self, rows):
        return list(self.frequencies.latent.reshape(-1, NUM_TOKENS)[rows])

    def code(self, model, symbols):
        if isinstance(model, np.ndarray):
            self.bits += float((FREQUENCY_BITS - np.log2(model[symbols])).sum())
        return symbols


class Rows(Length):
    """Notes which rows of the latent's table are asked for."""

    def __init__(self, frequencies):
        super().__init__(frequencies)
        self.rows = []

    def latent_models(self, rows):
        self.rows += rows.tolist()
        return super().latent_models(rows)


@pytest.mark.parametrize(
    ("qualities", "knots"),
    [((0, 49), [0]), ((50, 149), [1]), ((150, 949), [2, 9]), ((950, 1000), [10]), ((1000, 437), [4, 10])],
)
def test_the_latent_of_each_channel_is_coded_with_the_nearest_whole_quality(model, qualities, knots):
    tables, frequencies = model
    latent, weights = random_symbols(SHAPE, 5)
    statistics = Rows(frequencies)
    walk(statistics, latent, weights, tables, statistics, np.array(qualities))
    assert statistics.rows == [CHANNELS * knot + channel for knot in knots for channel in range(CHANNELS)]


def ideal_bytes(latent, weights, model):
    tables, frequencies = model
    residuals = latent_residuals(latent, tables.prediction)
    length = Length(frequencies)
    walk(length, residuals, weights, tables, length, QUALITY)
    for symbols in (residuals, weights):
        magnitudes = np.abs(symbols.astype(np.int64)).reshape(-1).astype(np.uint32)
        tokens = tokens_of(magnitudes)
        signs = np.count_nonzero(magnitudes)
        length.bits += raw_bits(tokens).sum() + 32 * np.count_nonzero(tokens == ESCAPE_TOKEN) + signs
    return length.bits / 8


def test_sizes_are_ideal(model, drawn):
    latent, weights, _ = drawn
    ideal = ideal_bytes(latent, weights, model)
    assert ideal > 1000
    assert ideal - 1 <= len(write(latent, weights, *model, QUALITY)) <= 1.002 * ideal + 8


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), loudness=st.sampled_from([0.1, 1.0, 30.0]), num_extreme=st.integers(0, 5))
def test_sizes_are_ideal_for_improbable_symbols(model, seed, loudness, num_extreme):
    symbols = random_symbols(SHAPE, seed, loudness=loudness, num_extreme=num_extreme)
    assert len(write(*symbols, *model, QUALITY)) <= 1.02 * ideal_bytes(*symbols, model) + 8


def test_sizes_profit_from_neighbours(model, drawn):
    """The same symbols in other places cost more: what is around them no longer fits."""
    latent, weights, shape = drawn
    classes = fine_scale_classes(model[0], latent, QUALITY, shape[-1])
    random = np.random.default_rng(0)
    shuffled = weights.copy()
    for value in np.unique(classes):
        shuffled[classes == value] = random.permutation(weights[classes == value])
    assert len(write(latent, shuffled, *model, QUALITY)) > 1.02 * len(write(latent, weights, *model, QUALITY))


def assert_harmless(content, expected, model, shape, quality=QUALITY):
    """Read what is not what was written: it is refused, or is what the writer would write for other symbols."""
    try:
        restored = read(content, *model, quality, shape=shape)
    except FormatError:
        return
    assert any((found != wanted).any() for found, wanted in zip(restored, expected, strict=True))
    assert write(*restored, *model, quality) == content


@pytest.fixture(scope="module")
def chunk(model):
    """Return (symbols, content)."""
    symbols = random_symbols(SHAPE, 3, num_extreme=4)
    return symbols, write(*symbols, *model, QUALITY)


def test_truncated_content_is_harmless(model, chunk):
    symbols, content = chunk
    for stop in range(len(content)):
        assert_harmless(content[:stop], symbols, model, SHAPE)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=9))
def test_extended_content_is_harmless(model, chunk, more):
    symbols, content = chunk
    assert_harmless(content + more, symbols, model, SHAPE)
    assert_harmless(more + content, symbols, model, SHAPE)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=4))
def test_changed_content_is_harmless(model, chunk, changes):
    symbols, content = chunk
    changed = bytearray(content)
    for place, value in changes:
        changed[place % len(changed)] ^= value
    if changed != content:
        assert_harmless(bytes(changed), symbols, model, SHAPE)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=12), quality=st.integers(0, 1000))
def test_any_bytes_are_harmless(model, content, quality):
    """Few bytes may well be all of a quiet chunk; the writer has one way to say it."""
    shape = (1, 2, 3)
    try:
        restored = read(content, *model, quality, shape=shape)
    except FormatError:
        return
    assert write(*restored, *model, quality) == content


@pytest.mark.parametrize("shape", [(1, 8, 20), (3, 8, 20), (2, 6, 20), (2, 10, 20), (2, 8, 19), (2, 8, 21)])
def test_content_of_another_shape_is_refused(model, chunk, shape):
    with pytest.raises(FormatError):
        read(chunk[1], *model, QUALITY, shape=shape)


def test_other_statistics_give_other_symbols(model, chunk, make_frequencies, make_tables):
    symbols, content = chunk
    tables, frequencies = model
    assert_harmless(content, symbols, (tables, make_frequencies(CHANNELS, seed=1)), SHAPE)
    assert_harmless(content, symbols, (make_tables(seed=1, num_weights=MAX_WEIGHTS), frequencies), SHAPE)
    assert_harmless(content, symbols, model, SHAPE, quality=QUALITY + 300)


def written_by_hand(model, token, halves, is_negative, more=()):
    """Return the content of a chunk (1, 2, 1) of zeros whose second symbol is written as given."""
    tables, frequencies = model
    zeros = np.zeros((1, 1, CHANNELS), np.int32)
    first, second = fine_scale_classes(tables, zeros, QUALITY, 1).reshape(-1).tolist()
    writer = Writer()
    for latent_model in frequencies.latent_models(CHANNELS * KNOT + np.arange(CHANNELS)):
        writer.code(latent_model, np.array([0]))
    for pass_index, fine_class, symbol in ((0, first, 0), (6, second, token)):
        edges = frequencies.edges[pass_index]
        context = pass_index * (len(edges) + 1) + np.searchsorted(edges, [0], side="right")
        (weight_model,) = frequencies.weight_models(context * NUM_FINE_CLASSES + fine_class)
        writer.code(weight_model, np.array([symbol]))
    for half in halves:
        code_bits(writer, 16, np.array([half]))
    code_bits(writer, 1, np.array([is_negative]))
    for bit in more:
        code_bits(writer, 1, np.array([bit]))
    return writer.finish()


@pytest.mark.parametrize(
    ("halves", "is_negative", "value"),
    [
        ((1, 0), False, 2**16),
        ((1, 0), True, -(2**16)),
        ((2**15 - 1, 2**16 - 1), False, 2**31 - 1),
        ((2**15, 0), True, -(2**31)),
    ],
)
def test_magnitudes_that_are_written_out(model, halves, is_negative, value):
    content = written_by_hand(model, ESCAPE_TOKEN, halves, is_negative)
    symbols = np.zeros((1, 1, CHANNELS), np.int32), np.array([[[0], [value]]], np.int32)
    assert_equal(read(content, *model, QUALITY, shape=(1, 2, 1)), symbols)
    assert write(*symbols, *model, QUALITY) == content


@pytest.mark.parametrize(
    ("halves", "is_negative", "message"),
    [
        ((0, 0), True, "that has a token"),
        ((0, 2**16 - 1), False, "that has a token"),
        ((2**15, 0), False, "beyond 32 bits"),
        ((2**15, 1), True, "beyond 32 bits"),
        ((2**16 - 1, 2**16 - 1), True, "beyond 32 bits"),
    ],
)
def test_magnitudes_that_are_refused(model, halves, is_negative, message):
    with pytest.raises(FormatError, match=message):
        read(written_by_hand(model, ESCAPE_TOKEN, halves, is_negative), *model, QUALITY, shape=(1, 2, 1))


def test_symbols_behind_the_last_are_refused(model):
    assert read(written_by_hand(model, 3, (), True), *model, QUALITY, shape=(1, 2, 1))[1].tolist() == [[[0], [-3]]]
    with pytest.raises(FormatError, match="does not end"):
        read(written_by_hand(model, 3, (), True, more=[1]), *model, QUALITY, shape=(1, 2, 1))


def repeated_weights(shape):
    """Return symbols as loud as no table expects them, whose plain order is one short pattern, over and over."""
    pattern = np.random.default_rng(0).integers(-60, 60, shape[-1], dtype=np.int32)
    return np.tile(pattern, (*shape[:2], 1))


@pytest.fixture(
    scope="module",
    params=[(Order.BY_CONTEXT, True), (Order.PLAIN, True), (Order.PLAIN, False), (Order.BY_CLASS, False)],
)
def packing(request, model, drawn):
    """Return (order, symbols that pack best in it, frequencies or None)."""
    order, has_frequencies = request.param
    latent, weights, shape = drawn
    if order is Order.PLAIN:
        weights = repeated_weights(shape)
    return order, ChunkSymbols(latent, weights), model[1] if has_frequencies else None


def test_the_order_that_is_chosen(model, packing):
    order, symbols, frequencies = packing
    packed = pack(symbols, model[0], QUALITY, frequencies=frequencies)
    assert packed.order is order
    restored = unpack(packed.payload, order, model[0], QUALITY, shape=symbols.weights.shape, frequencies=frequencies)
    assert_equal((restored.latent, restored.weights), (symbols.latent, symbols.weights))
    assert restored.digest() == symbols.digest()


def test_content_by_context_is_the_payload(model, drawn):
    latent, weights, _ = drawn
    packed = pack(ChunkSymbols(latent, weights), model[0], QUALITY, frequencies=model[1])
    assert packed.payload == write(latent, weights, *model, QUALITY)


def test_attacks_stand_in_front_in_all_orders(model, packing):
    order, symbols, frequencies = packing
    attacks = np.array([(0, 36, 15), (0, 52, 1), (1, 112, 7)], np.int32)
    without = pack(symbols, model[0], QUALITY, frequencies=frequencies)
    packed = pack(ChunkSymbols(symbols.latent, symbols.weights, attacks), model[0], QUALITY, frequencies=frequencies)
    assert (packed.order, packed.has_attacks) == (order, True)
    assert packed.payload == pack_attacks(attacks) + without.payload
    options = {"shape": symbols.weights.shape, "frequencies": frequencies}
    restored = unpack(packed.payload, order, model[0], QUALITY, has_attacks=True, **options)
    np.testing.assert_array_equal(restored.attacks, attacks)
    assert restored.digest() == symbols.digest()
    for payload, has_attacks in ((packed.payload, False), (without.payload, True)):
        with pytest.raises(FormatError):
            unpack(payload, order, model[0], QUALITY, has_attacks=has_attacks, **options)


ROTATIONS = [[(64, 0)], [(64, 30)], [(192, 254)], [(0, SILENT)]]


@pytest.mark.parametrize("rotations", ROTATIONS)
@pytest.mark.parametrize("attacks", [no_attacks(), np.array([(0, 36, 15), (1, 112, 7)], np.int32)])
def test_rotations_stand_behind_attacks_in_all_orders(model, packing, rotations, attacks):
    order, symbols, frequencies = packing
    rotations = np.array(rotations, np.int32)
    latent, weights = symbols.latent.copy(), symbols.weights.copy()
    stored = is_stored(rotations, 2)
    latent[~stored], weights[~stored] = 0, 0
    rotated = ChunkSymbols(latent, weights, attacks, rotations)
    packed = pack(rotated, model[0], QUALITY, frequencies=frequencies)
    assert (packed.order, packed.has_attacks, packed.has_rotations) == (order, len(attacks) > 0, True)
    in_front = (pack_attacks(attacks) if len(attacks) else b"") + pack_rotations(rotations)
    assert packed.payload.startswith(in_front)
    options = {"shape": weights.shape, "frequencies": frequencies, "has_attacks": packed.has_attacks}
    restored = unpack(packed.payload, order, model[0], QUALITY, has_rotations=True, **options)
    assert_equal((restored.latent, restored.weights), (latent, weights))
    np.testing.assert_array_equal(restored.attacks, attacks)
    np.testing.assert_array_equal(restored.rotations, rotations)
    assert restored.digest() == rotated.digest()
    with pytest.raises(FormatError):
        unpack(packed.payload, order, model[0], QUALITY, **options)


def test_a_silent_channel_costs_nothing_in_all_orders(model, packing):
    order, symbols, frequencies = packing
    mono = ChunkSymbols(symbols.latent[:1], symbols.weights[:1])
    alone = pack(mono, model[0], QUALITY, frequencies=frequencies)
    rotations = np.array([(64, SILENT)], np.int32)
    silent = (np.concatenate([each, np.zeros_like(each)]) for each in (mono.latent, mono.weights))
    packed = pack(ChunkSymbols(*silent, rotations=rotations), model[0], QUALITY, frequencies=frequencies)
    assert packed.order is alone.order is order
    assert packed.payload == bytes([64, SILENT]) + alone.payload


def test_without_statistics_it_cannot_be_read(model, drawn):
    latent, weights, shape = drawn
    payload = write(latent, weights, *model, QUALITY)
    with pytest.raises(FormatError, match="its model has no statistics"):
        unpack(payload, Order.BY_CONTEXT, model[0], QUALITY, shape=shape)


def test_an_order_read_as_another_is_refused(model, packing):
    order, symbols, _ = packing
    payload = pack(symbols, model[0], QUALITY, frequencies=model[1] if order is Order.BY_CONTEXT else None).payload
    for other in set(Order) - {order}:
        if Order.BY_CONTEXT in (order, other):
            with pytest.raises(FormatError):
                unpack(payload, other, model[0], QUALITY, shape=symbols.weights.shape, frequencies=model[1])
