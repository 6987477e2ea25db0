"""What the second channel of a pair is told by the first: bytes, refusals, symbols that come back whatever it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.coding.by_context import read, walk, write
from hscodec.coding.context import PASSES
from hscodec.coding.coupling import (
    COUNT,
    COUPLING,
    NUM_BANDS,
    Coupling,
    band_slices,
    check_couplings,
    expected_residuals,
    mixed_loudness,
    pack_couplings,
    unpack_couplings,
)
from hscodec.coding.coupling_fit import choose_coupling
from hscodec.coding.order import Order
from hscodec.coding.payload import ChunkSymbols, pack, unpack
from hscodec.coding.rans import Reader
from hscodec.coding.rotations import SILENT
from hscodec.errors import FormatError

QUALITY = 437
CHANNELS = 3
NUM_WEIGHTS = 50
INT32 = st.integers(-(2**31), 2**31 - 1)
LOUDNESS = st.lists(st.integers(0, 16), min_size=len(PASSES), max_size=len(PASSES)).map(tuple)
AGREEMENT = st.lists(st.integers(1, 255), min_size=NUM_BANDS, max_size=NUM_BANDS).map(tuple)


def coupling(first=0, second=1, *, latent=0, loudness=0, agreement=128):
    """Return a coupling that is the same in all passes and bands."""
    return Coupling(first, second, latent, (loudness,) * len(PASSES), (agreement,) * NUM_BANDS)


def expected_by(model, seed=0, *, segments=40, num_channels=2):
    """Return latent and weights of channels, each by itself as probable as the model says: what random bytes mean."""
    tables, frequencies = model
    empty = np.zeros((num_channels, segments // 2, CHANNELS), np.int32)
    words = Reader(np.random.default_rng(seed).bytes(100_000) + b"\1")
    return walk(words, empty, np.zeros((num_channels, segments, NUM_WEIGHTS), np.int32), tables, frequencies, QUALITY)


def nearly_the_same(symbols):
    """Return latent and weights in which every second channel is the one before, with other symbols here and there."""
    random = np.random.default_rng(0)
    for part in symbols:
        part[1::2] = np.where(random.random(part[1::2].shape) < 0.2, part[1::2], part[::2])
    return symbols


COUPLINGS = st.builds(Coupling, st.just(0), st.just(1), st.integers(0, 255), LOUDNESS, AGREEMENT)


@pytest.fixture(scope="module")
def model(make_tables, make_frequencies):
    """Return (tables, frequencies)."""
    return make_tables(num_weights=NUM_WEIGHTS), make_frequencies(CHANNELS)


def drawn(seed=0, *, segments=40, num_channels=2, loudness=1.0, likeness=0.0):
    """Return latent and weights of channels each of which is so much like the first."""
    random = np.random.default_rng(seed)
    parts = []
    for shape, scale in (((segments // 2, CHANNELS), 3 * loudness), ((segments, NUM_WEIGHTS), loudness)):
        first, *others = random.laplace(0, scale, (num_channels, *shape))
        alike = [likeness * first + (1 - likeness) * other for other in others]
        parts.append(np.clip(np.round([first, *alike]), -(2**31), 2**31 - 1).astype(np.int32))
    return parts


def assert_equal(found, expected):
    for ours, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)
        assert ours.dtype == np.int32


# Bytes


@given(couplings=st.lists(COUPLINGS, min_size=1, max_size=4), rest=st.binary(max_size=5))
def test_couplings_come_back(couplings, rest):
    couplings = [
        Coupling(2 * place, 2 * place + 1, each.latent, each.loudness, each.agreement)
        for place, each in enumerate(couplings)
    ]
    packed = pack_couplings(couplings)
    assert len(packed) == COUNT.size + COUPLING.size * len(couplings)
    assert unpack_couplings(packed + rest, range(8)) == (couplings, rest)
    for stop in range(len(packed)):
        with pytest.raises(FormatError, match="ends within its couplings"):
            unpack_couplings(packed[:stop], range(8))


@pytest.mark.parametrize(
    ("couplings", "words"),
    [
        ([], "announces couplings and has none"),
        ([coupling(1, 0)], "not in ascending order"),
        ([coupling(2, 3), coupling(0, 1)], "not in ascending order"),
        ([coupling(1, 1)], "coupled twice"),
        ([coupling(0, 1), coupling(1, 2)], "coupled twice"),
        ([coupling(0, 4)], "channel 4 is coupled, and nothing is stored of it"),
        ([coupling(loudness=17)], "17 parts of loudness in 16"),
        ([coupling(agreement=0)], "equal signs for impossible"),
    ],
)
def test_couplings_that_are_refused(couplings, words):
    with pytest.raises(FormatError, match=words):
        check_couplings(couplings, [0, 1, 2, 3])
    with pytest.raises(FormatError, match=words):
        unpack_couplings(pack_couplings(couplings), [0, 1, 2, 3])


def test_pairs_may_cross():
    check_couplings([coupling(0, 3), coupling(1, 2)], range(4))


# Arithmetic


@given(value=INT32, share=st.integers(0, 255))
def test_expected_residuals_are_rounded_to_the_nearest(value, share):
    found = int(expected_residuals(np.array([value], np.int32), share)[0])
    assert found == (share * value + 128) // 256
    assert abs(found - share * value / 256) <= 0.5


def test_loudness_is_mixed_in_sixteenths():
    largest = np.array([16 * 40 * 2**16], np.int32)
    for weight in range(17):
        assert mixed_loudness(largest, largest // 16, weight).tolist() == largest.tolist()
        assert mixed_loudness(np.array([7]), np.array([5]), weight).tolist() == [(16 - weight) * 7 // 16 + weight * 5]


@pytest.mark.parametrize("num_weights", [1, 7, 8, 9, 511, 512, 513, 960])
def test_bands_are_octaves(num_weights):
    covered = [index for band in band_slices(num_weights) for index in range(num_weights)[band]]
    assert covered == list(range(num_weights))
    assert [band.start for band in band_slices(num_weights)] == [0, 8, 16, 32, 64, 128, 256, 512]


# Symbols


@settings(max_examples=60, deadline=None)
@given(
    told=COUPLINGS,
    seed=st.integers(0, 2**32 - 1),
    loudness=st.sampled_from([0.0, 0.1, 1.0, 10.0, 1e6, 1e9]),
    likeness=st.sampled_from([0.0, 0.5, 1.0, -1.0]),
    segments=st.integers(1, 8).map(lambda pairs: 2 * pairs),
)
def test_symbols_come_back_whatever_the_coupling(model, told, seed, loudness, likeness, segments):
    symbols = drawn(seed, segments=segments, loudness=loudness, likeness=likeness)
    content = write(*symbols, *model, QUALITY, [told])
    assert_equal(read(content, *model, QUALITY, [told], shape=symbols[1].shape), symbols)


@pytest.mark.parametrize("pairs", [[(0, 1)], [(0, 3), (1, 2)], [(1, 4)], [(0, 2), (3, 4)]])
def test_any_channels_may_be_coupled(model, pairs):
    symbols = drawn(num_channels=5, segments=8, likeness=0.8)
    qualities = np.array([437, 0, 1000, 250, 999])
    couplings = [coupling(*pair, latent=200, loudness=9, agreement=200) for pair in pairs]
    content = write(*symbols, *model, qualities, couplings)
    assert_equal(read(content, *model, qualities, couplings, shape=symbols[1].shape), symbols)


def test_ends_of_int32(model):
    """The residual of a second channel less what is expected wraps round."""
    latent = np.array([[[2**31 - 1] * CHANNELS], [[-(2**31)] * CHANNELS]], np.int32)
    weights = np.full((2, 2, NUM_WEIGHTS), -(2**31), np.int32)
    weights[1, :, ::2] = 2**31 - 1
    told = coupling(latent=255, loudness=16, agreement=1)
    content = write(latent, weights, *model, QUALITY, [told])
    assert_equal(read(content, *model, QUALITY, [told], shape=weights.shape), (latent, weights))


def test_a_coupling_that_tells_nothing_costs_nothing(model):
    symbols = drawn()
    assert len(write(*symbols, *model, QUALITY, [coupling()])) == pytest.approx(
        len(write(*symbols, *model, QUALITY)), abs=4
    )


def test_the_first_channel_is_as_it_would_be_alone(model):
    """What is decoded before does not depend on what comes behind: the words are read from their end."""
    (latent, weights), told = drawn(likeness=0.7), coupling(latent=128, loudness=8, agreement=200)
    content = write(latent, weights, *model, QUALITY, [told])
    changed = weights.copy()
    changed[1] = 0
    other = write(latent, changed, *model, QUALITY, [told])
    for words in (content, other):
        found = read(words, *model, QUALITY, [told], shape=weights.shape)
        np.testing.assert_array_equal(found[1][0], weights[0])
    assert len(other) < len(content)


@pytest.mark.parametrize(("agreement", "likeness"), [(255, 1.0), (1, -1.0)])
def test_signs_that_are_known_take_next_to_nothing(model, agreement, likeness):
    latent, weights = drawn(segments=100, loudness=3.0)
    weights[1] = weights[0] if likeness > 0 else -weights[0]
    num_signs = np.count_nonzero(weights[1])
    saved = len(write(latent, weights, *model, QUALITY)) - len(
        write(latent, weights, *model, QUALITY, [coupling(agreement=agreement)])
    )
    assert saved == pytest.approx(num_signs * (1 + np.log2(255 / 256)) / 8, abs=4)


def test_a_latent_that_is_known_takes_next_to_nothing(model):
    latent, weights = drawn(segments=200, loudness=4.0)
    latent[1] = latent[0]
    alone = len(write(latent, weights, *model, QUALITY))
    assert len(write(latent, weights, *model, QUALITY, [coupling(latent=255)])) < alone - 100


# The choice


def chosen(model, symbols, pair=(0, 1), stored=(0, 1)):
    qualities = np.full(len(symbols[0]), QUALITY)
    return choose_coupling(*symbols, *model, qualities, pair, stored)


def test_channels_that_have_nothing_in_common_are_not_coupled(model):
    assert chosen(model, expected_by(model)) is None


def test_silence_is_not_coupled(model):
    assert chosen(model, [0 * part for part in drawn()]) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_channels_that_are_the_same_are_coupled_as_far_as_may_be(model, sign):
    latent, weights = drawn(segments=200, loudness=3.0)
    latent[1], weights[1] = latent[0], sign * weights[0]
    found = chosen(model, (latent, weights))
    bands = [band for band in range(NUM_BANDS) if band_slices(NUM_WEIGHTS)[band].start < NUM_WEIGHTS]
    assert {found.agreement[band] for band in bands} <= ({254, 255} if sign > 0 else {1, 2})
    assert found.latent > 200
    assert max(found.loudness) > 8


def test_the_choice_is_better_than_others_near_it(model):
    symbols = drawn(segments=120, loudness=3.0, likeness=0.6)
    found = chosen(model, symbols)
    size = len(write(*symbols, *model, QUALITY, [found]))
    alone = len(write(*symbols, *model, QUALITY))
    assert size + COUNT.size + COUPLING.size < alone
    for other in (
        Coupling(0, 1, 0, found.loudness, found.agreement),
        Coupling(0, 1, found.latent, (0,) * len(PASSES), found.agreement),
        Coupling(0, 1, found.latent, found.loudness, (128,) * NUM_BANDS),
    ):
        assert size <= len(write(*symbols, *model, QUALITY, [other])) + 2


def test_channels_are_counted_among_those_that_are_stored(model):
    latent, weights = drawn(segments=120, loudness=3.0, likeness=0.9)
    found = chosen(model, (latent, weights), pair=(2, 4), stored=(2, 4))
    assert (found.first, found.second) == (2, 4)


# Payloads


def packed(model, symbols, pairs, **options):
    tables, frequencies = model
    return pack(ChunkSymbols(*symbols, **options), tables, QUALITY, frequencies=frequencies, pairs=pairs)


def unpacked(model, payload, shape, **options):
    tables, frequencies = model
    return unpack(
        payload.payload, Order(payload.order), tables, QUALITY, shape=shape, frequencies=frequencies, **options
    )


def test_order_by_pair_is_taken_where_it_is_shorter(model):
    symbols = nearly_the_same(expected_by(model))
    alone, coupled = packed(model, symbols, []), packed(model, symbols, [(0, 1)])
    assert (alone.order, coupled.order) == (Order.BY_CONTEXT, Order.BY_PAIR)
    assert len(coupled.payload) < len(alone.payload)
    found = unpacked(model, coupled, symbols[1].shape)
    assert_equal((found.latent, found.weights), symbols)
    assert found.digest() == ChunkSymbols(*symbols).digest()


def test_other_channels_are_not_touched(model):
    unlike = expected_by(model)
    assert packed(model, unlike, [(0, 1)]) == packed(model, unlike, [])


def test_a_channel_of_which_nothing_is_stored_is_not_coupled(model):
    latent, weights = nearly_the_same(expected_by(model, num_channels=4))
    latent[1] = weights[1] = 0
    rotations = np.array([(64, SILENT), (0, 0)], np.int32)
    result = packed(model, (latent, weights), [(0, 1), (2, 3)], rotations=rotations)
    assert (result.order, result.has_rotations) == (Order.BY_PAIR, True)
    assert result.payload[4] == 1  # behind two rotations: one coupling
    found = unpacked(model, result, weights.shape, has_rotations=True)
    assert_equal((found.latent, found.weights, found.rotations), (latent, weights, rotations))


def test_a_model_without_statistics_does_not_couple(model):
    symbols = drawn(segments=120, loudness=3.0, likeness=0.9)
    tables, _ = model
    result = pack(ChunkSymbols(*symbols), tables, QUALITY, pairs=[(0, 1)])
    assert result.order in (Order.PLAIN, Order.BY_CLASS)
    with pytest.raises(FormatError, match="no statistics"):
        unpack(b"\1", Order.BY_PAIR, tables, QUALITY, shape=symbols[1].shape)
