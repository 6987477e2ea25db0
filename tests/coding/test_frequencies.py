from dataclasses import replace

import numpy as np
import pytest

from hscodec.coding.frequencies import FREQUENCY_BITS, MAX_CONTEXTS, TABLE_NAMES, FrequencyTables
from hscodec.coding.rans import Writer, distribution
from hscodec.errors import ModelError


def uniform(*shape):
    """Return frequencies that are as equal as 61 of them can be."""
    table = np.full((*shape, 61), 2**FREQUENCY_BITS // 61, np.int32)
    table[..., 0] += 2**FREQUENCY_BITS % 61
    return table


def plain_tables(*, contexts=3, channels=2):
    return FrequencyTables(
        unit=np.arange(64, dtype=np.int32),
        edges=np.tile(np.arange(contexts - 1, dtype=np.int32), (7, 1)),
        weights=uniform(7, contexts, 64),
        latent=uniform(11, channels),
    )


@pytest.fixture(scope="module")
def tables():
    return plain_tables()


def changed(table, place, value):
    """Return a copy of a table with another value at one place."""
    table = table.copy()
    table[place] = value
    return table


def moved(table, place, amount):
    """Return a copy of a table in which a row gives `amount` of an entry to its first one."""
    table = table.copy()
    table[place] -= amount
    table[(*place[:-1], 0)] += amount
    return table


def test_names():
    assert TABLE_NAMES == ("unit", "edges", "weights", "latent")


@pytest.mark.parametrize("contexts", [1, 2, 12, MAX_CONTEXTS])
@pytest.mark.parametrize("channels", [1, 16])
def test_sizes_that_are_allowed(contexts, channels):
    assert plain_tables(contexts=contexts, channels=channels).latent_channels == channels


@pytest.mark.parametrize("contexts", [MAX_CONTEXTS + 1, 200])
def test_too_many_contexts(contexts):
    with pytest.raises(ModelError, match=f"of {contexts} contexts"):
        plain_tables(contexts=contexts)


@pytest.mark.parametrize("name", TABLE_NAMES)
@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.float32, np.int16, ">i4"])
def test_other_types_are_refused(tables, name, kind):
    with pytest.raises(ModelError, match=f"frequency table {name} is"):
        replace(tables, **{name: getattr(tables, name).astype(kind)})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("unit", ()),
        ("unit", (0,)),
        ("unit", (63,)),
        ("unit", (64, 1)),
        ("edges", ()),
        ("edges", (2,)),
        ("edges", (6, 2)),
        ("edges", (8, 2)),
        ("edges", (0, 2)),
        ("edges", (7, 2, 1)),
        ("edges", (7, 1)),
        ("edges", (7, 0)),
        ("weights", ()),
        ("weights", (7, 3, 64, 60)),
        ("weights", (7, 3, 64, 62)),
        ("weights", (7, 3, 16, 61)),
        ("weights", (7, 2, 64, 61)),
        ("weights", (6, 3, 64, 61)),
        ("weights", (7, 3 * 64, 61)),
        ("weights", (7, 0, 64, 61)),
        ("latent", ()),
        ("latent", (11, 61)),
        ("latent", (10, 2, 61)),
        ("latent", (12, 2, 61)),
        ("latent", (11, 2, 60)),
        ("latent", (11, 0, 61)),
        ("latent", (11, 2, 61, 1)),
    ],
)
def test_other_shapes_are_refused(tables, name, shape):
    with pytest.raises(ModelError, match="frequency table"):
        replace(tables, **{name: np.ones(shape, np.int32)})


def test_no_contexts_are_refused(tables):
    """A table of edges cannot say so, and other tables may not."""
    with pytest.raises(ModelError):
        replace(tables, edges=np.zeros((7, 0), np.int32), weights=uniform(7, 0, 64))


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("unit", (0,), -1, "outside 0 to 65536"),
        ("unit", (63,), 2**16 + 1, "outside 0 to 65536"),
        ("unit", (5,), -(2**31), "outside 0 to 65536"),
        ("edges", (0, 0), 2, "ascending"),
        ("edges", (6, 1), -1, "ascending"),
        ("edges", (3, 0), 2**31 - 1, "ascending"),
        ("weights", (6, 2, 63, 60), 1, "does not add up to 2\\^20"),
        ("weights", (0, 0, 0, 5), 2**31 - 1, "does not add up to 2\\^20"),
        ("latent", (10, 1, 0), 0, "holds zeros"),
        ("latent", (10, 1, 0), 1, "does not add up to 2\\^20"),
    ],
)
def test_other_values_are_refused(tables, name, place, value, message):
    with pytest.raises(ModelError, match=message):
        replace(tables, **{name: changed(getattr(tables, name), place, value)})


@pytest.mark.parametrize("name", ["weights", "latent"])
def test_frequencies_of_zero_or_less_are_refused(tables, name):
    table = getattr(tables, name)
    place = (*[size - 1 for size in table.shape[:-1]], 60)
    share = int(table[place])
    replace(tables, **{name: moved(table, place, share - 1)})
    for amount in (share, share + 1, 2**30):
        with pytest.raises(ModelError, match="holds zeros"):
            replace(tables, **{name: moved(table, place, amount)})


def test_sums_are_not_taken_modulo_2_to_the_32(tables):
    table = tables.latent.copy()
    table[3, 1, :4] = 2**30
    table[3, 1, 4] += 2**FREQUENCY_BITS - int(table[3, 1, 4:].sum())
    assert table[3, 1].sum(dtype=np.int32) == 2**FREQUENCY_BITS
    with pytest.raises(ModelError, match="does not add up"):
        replace(tables, latent=table)


@pytest.mark.parametrize("edges", [[0, 0], [-5, -5], [-(2**31), 2**31 - 1]])
def test_edges_that_are_allowed(tables, edges):
    replace(tables, edges=np.tile(np.array(edges, np.int32), (7, 1)))


def test_edges_in_ascending_order_far_apart(tables):
    """The difference of these wraps in 32 bits."""
    with pytest.raises(ModelError, match="ascending"):
        replace(tables, edges=np.tile(np.array([2**31 - 1, -(2**31)], np.int32), (7, 1)))


def test_a_distribution_is_made_once(make_frequencies):
    tables = make_frequencies(2)
    weights = tables.weight_models(np.array([0, 1, 64, 5000, 64]))
    latent = tables.latent_models(np.array([9, 0, 1, 20, 21]))
    assert weights[2] is weights[4]
    assert len({id(model) for model in weights + latent}) == 9
    assert tables.weight_models(np.array([5000, 2, 0]))[::2] == [weights[3], weights[0]]
    assert tables.latent_models(np.array([8, 9]))[1] is latent[0]


def test_rows_of_weights_are_passes_times_contexts_times_classes(make_frequencies):
    tables = make_frequencies(2)
    coded = np.arange(12, dtype=np.int32)
    num_contexts = tables.weights.shape[1]
    for place in ((0, 0, 0), (0, num_contexts - 1, 63), (1, 0, 0), (6, 2, 17)):
        writer, expected = Writer(), Writer()
        row = (place[0] * num_contexts + place[1]) * 64 + place[2]
        writer.code(tables.weight_models(np.array([row]))[0], coded)
        expected.code(distribution(tables.weights[place], FREQUENCY_BITS), coded)
        assert writer.finish() == expected.finish()


def test_rows_of_the_latent_are_whole_qualities_times_channels(make_frequencies):
    tables = make_frequencies(2)
    coded = np.arange(12, dtype=np.int32)
    for knot in (0, 4, 10):
        for channel in (0, 1):
            writer, expected = Writer(), Writer()
            writer.code(tables.latent_models(np.array([2 * knot + channel]))[0], coded)
            expected.code(distribution(tables.latent[knot, channel], FREQUENCY_BITS), coded)
            assert writer.finish() == expected.finish()


def test_tables_do_not_share_their_distributions(make_frequencies):
    first, second = make_frequencies(2), make_frequencies(2)
    assert first.weight_models(np.array([0])) != second.weight_models(np.array([0]))
