from itertools import repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.coding.by_context import walk, write
from hscodec.coding.context import PASSES, Neighbourhood, on_grid
from hscodec.coding.fixedpoint import FixedPointTables, fine_scale_classes
from hscodec.coding.frequencies import FREQUENCY_BITS
from hscodec.coding.order import NUM_FINE_CLASSES
from hscodec.coding.tokens import NUM_TOKENS, tokens_of
from hscodec.training.data import Batch
from hscodec.training.fixed_point import fixed_point_tables
from hscodec.training.frequency_fit import Counts, _symbols, fit_frequencies


@pytest.fixture(scope="module")
def tables(tiny_network):
    return fixed_point_tables(tiny_network)


def make_batch(seed, *, items=2):
    """Return noise of 16 segments each, of full bandwidth or of 8 kHz."""
    random = np.random.default_rng(seed)
    samples = 0.1 * random.standard_normal((items, 17 * 960)).astype(np.float32)
    return Batch(samples, np.array([960, 320] * items)[:items], np.ones(items, bool))


def total(frequencies):
    return {name: getattr(frequencies, name).sum(-1) for name in ("weights", "latent")}


def tokens_of_all(symbols):
    return tokens_of(np.abs(symbols.astype(np.int64)).astype(np.uint32))


def test_a_walk_counts_what_is_there(tables: FixedPointTables):
    random = np.random.default_rng(0)
    channels = tables.latent_channels
    residuals = random.integers(-9, 10, (2, 4, channels), dtype=np.int32)
    weights = random.integers(-100, 101, (2, 8, 11), dtype=np.int32)
    counts = Counts(channels)
    latent, same = walk(counts, residuals, weights, tables, counts, 649)
    np.testing.assert_array_equal(same, weights)

    expected = np.zeros_like(counts.latent)
    for channel in range(channels):
        for token in tokens_of_all(residuals[..., channel]).reshape(-1):
            expected[6, channel, token] += 1  # 6.49 is nearest to 6
    np.testing.assert_array_equal(counts.latent, expected)

    classes = fine_scale_classes(tables, latent, 649, 11)
    expected = np.zeros_like(counts.weights)
    neighbourhood = Neighbourhood(classes, counts.unit)
    for index, grid in enumerate(PASSES):
        contexts = neighbourhood.contexts(grid, counts.edges[index])
        neighbourhood.show(grid, np.abs(weights[on_grid(grid)]))
        np.add.at(expected[index], (contexts, classes[on_grid(grid)], tokens_of_all(weights[on_grid(grid)])), 1)
    np.testing.assert_array_equal(counts.weights, expected)
    assert (counts.weights.sum(), counts.latent.sum()) == (weights.size, residuals.size)


def test_counts_of_a_chunk_by_hand(tables):
    """One pair of segments of one weight: the first is in pass 0, the second in pass 6 beside it."""
    counts = Counts(tables.latent_channels)
    residuals = np.zeros((1, 1, tables.latent_channels), np.int32)
    weights = np.array([[[-9], [2]]], np.int32)
    first, second = fine_scale_classes(tables, residuals, 500, 1).reshape(-1)
    walk(counts, residuals, weights, tables, counts, 500)
    context = int(np.sum(counts.edges[6] <= 3 * 9 * counts.unit[first]))
    of_zero = int(np.sum(counts.edges[0] <= 0))
    assert np.argwhere(counts.weights).tolist() == [[0, of_zero, first, 8], [6, context, second, 2]]
    assert np.argwhere(counts.latent).tolist() == [[5, channel, 0] for channel in range(tables.latent_channels)]
    assert counts.weights.max() == counts.latent.max() == 1


def test_counts_add_up_over_walks(tables):
    counts = Counts(tables.latent_channels)
    residuals, weights = np.zeros((1, 2, tables.latent_channels), np.int32), np.ones((1, 4, 7), np.int32)
    walk(counts, residuals, weights, tables, counts, 0)
    once = counts.weights.copy()
    walk(counts, residuals, weights, tables, counts, 0)
    np.testing.assert_array_equal(counts.weights, 2 * once)


@pytest.mark.parametrize("channels", [1, 16])
def test_frequencies_without_counts_are_valid(channels):
    frequencies = Counts(channels).frequencies()
    for sums in total(frequencies).values():
        assert (sums == 2**FREQUENCY_BITS).all()
    for table in (frequencies.weights, frequencies.latent):
        assert (table >= 1).all()
        assert (np.diff(table) <= 0).all()  # nothing is known but that loud symbols are rare


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), largest=st.sampled_from([1, 100, 2**40]))
def test_frequencies_are_valid_whatever_was_counted(seed, largest):
    random = np.random.default_rng(seed)
    counts = Counts(2)
    for table in (counts.weights, counts.latent):
        places = random.integers(0, table.size, 300)
        table.reshape(-1)[places] = random.integers(0, largest, 300, endpoint=True)
    frequencies = counts.frequencies()  # checks itself
    for name, sums in total(frequencies).items():
        assert (sums == 2**FREQUENCY_BITS).all(), name


def test_what_was_counted_often_enough_is_as_frequent_as_that():
    counts = Counts(1)
    shares = 0.5 ** np.arange(1, NUM_TOKENS + 1)
    counts.weights[3, 4, 20] = counts.latent[7, 0] = np.round(1e7 * shares)
    frequencies = counts.frequencies()
    for table in (frequencies.weights[3, 4, 20], frequencies.latent[7, 0]):
        np.testing.assert_allclose(table / 2**FREQUENCY_BITS, shares, rtol=0.01, atol=2e-6)


def test_what_was_hardly_seen_is_as_in_contexts_and_classes_beside_it():
    counts = Counts(1)
    counts.weights[2, 5, 30, 9] = 10_000
    weights = counts.frequencies().weights
    assert weights[2, 5, 30, 9] > 0.99 * 2**FREQUENCY_BITS
    assert weights[2, 0, 30, 9] > 0.9 * 2**FREQUENCY_BITS  # another context
    assert weights[2, 0, 31, 9] > 0.9 * 2**FREQUENCY_BITS  # another class
    assert weights[3, 5, 30, 9] < 0.1 * 2**FREQUENCY_BITS  # another pass


def test_what_a_magnitude_counts_falls_with_its_class():
    counts = Counts(1)
    assert (np.diff(counts.unit) <= 0).all()
    assert counts.unit.min() >= 0
    assert counts.edges.shape == (len(PASSES), counts.weights.shape[1] - 1)
    assert counts.weights.shape[2:] == (NUM_FINE_CLASSES, NUM_TOKENS)


def stored(network, tables, frequencies, batches):
    """Return the bytes of all items at quality 5."""
    num_bytes = 0
    for batch in batches:
        for latent, weights in _symbols(network, batch, np.full(len(batch.samples), 500)):
            num_bytes += len(write(latent, weights, tables, frequencies, 500))
    return num_bytes


def test_fitted_statistics_store_the_same_kind_of_crops_in_less(tiny_network, tables, make_frequencies):
    fitted = fit_frequencies(tiny_network, tables, (make_batch(seed) for seed in range(6)), num_batches=6)
    assert fitted.latent_channels == tables.latent_channels
    others = [make_batch(100), make_batch(101)]
    size = stored(tiny_network, tables, fitted, others)
    assert size < 0.95 * stored(tiny_network, tables, Counts(tables.latent_channels).frequencies(), others)
    assert size < 0.95 * stored(tiny_network, tables, make_frequencies(tables.latent_channels), others)


def test_fitting_is_deterministic_and_takes_as_many_batches_as_asked_for(tiny_network, tables):
    taken = []

    def batches():
        while True:
            taken.append(make_batch(len(taken) % 2))
            yield taken[-1]

    found = [fit_frequencies(tiny_network, tables, batches(), num_batches=2) for _ in range(2)]
    assert len(taken) == 4
    for name in ("unit", "edges", "weights", "latent"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))


def test_no_batches_give_what_nobody_has_counted(tiny_network, tables):
    found = fit_frequencies(tiny_network, tables, repeat(make_batch(0)), num_batches=0)
    expected = Counts(tables.latent_channels).frequencies()
    np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(found.latent, expected.latent)


def test_items_are_counted_at_their_own_bandwidth_or_at_that_of_a_file_that_holds_more(tiny_network):
    shapes = [weights.shape for _, weights in _symbols(tiny_network, make_batch(0, items=4), np.full(4, 300))]
    assert shapes == [(1, 16, 960), (1, 16, 320), (1, 16, 960), (1, 16, 320)]
    batch = make_batch(0, items=2)
    narrow = Batch(batch.samples, np.array([320, 320]), batch.is_speech)
    whole, cut = (weights for _, weights in _symbols(tiny_network, narrow, np.full(2, 300)))
    assert (whole.shape, cut.shape) == ((1, 16, 960), (1, 16, 320))
    assert not whole[..., 320:].any()
