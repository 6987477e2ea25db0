import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.coding.context import MAX_MAGNITUDE, PASSES, Neighbourhood, on_grid

PAGE = [  # s0, k0, d', d, time, frequency, corner: the table in docs/format.md
    (0, 0, 4, 0, 0, 0, 0),
    (2, 2, 4, 2, 0, 0, 4),
    (0, 2, 4, 2, 4, 4, 0),
    (2, 0, 4, 2, 3, 3, 1),
    (1, 1, 2, 1, 0, 0, 4),
    (0, 1, 2, 1, 4, 4, 0),
    (1, 0, 2, 1, 3, 3, 1),
]
SHAPES = [(1, 2, 1), (1, 2, 3), (2, 2, 2), (1, 4, 5), (3, 6, 7), (2, 8, 8), (1, 10, 1), (2, 12, 21), (1, 20, 50)]


def pass_of(shape):
    """Return the number of each symbol's pass, [C, S, K]."""
    passes = np.full(shape, -1)
    for index, grid in enumerate(PASSES):
        assert (passes[on_grid(grid)] == -1).all()
        passes[on_grid(grid)] = index
    return passes


def slow_contexts(magnitudes, fine_classes, unit, edges, index):
    """Return the contexts of one pass, in the order channel, segment, weight, as the page has them."""
    first_segment, first_weight, stride, distance, time, frequency, corner = PAGE[index]
    channels, segments, weights = magnitudes.shape
    contexts = []
    for channel in range(channels):

        def loudness(segment, weight, channel=channel):
            if not (0 <= segment < segments and 0 <= weight < weights):
                return 0
            place = channel, segment, weight
            return min(int(magnitudes[place]), 40) * int(unit[fine_classes[place]])

        for s in range(first_segment, segments, stride):
            for k in range(first_weight, weights, stride):
                value = time * (loudness(s - distance, k) + loudness(s + distance, k))
                value += frequency * (loudness(s, k - distance) + loudness(s, k + distance))
                for ds in (-distance, distance):
                    value += corner * (loudness(s + ds, k - distance) + loudness(s + ds, k + distance))
                contexts.append(sum(edge <= value for edge in edges[index].tolist()))
    return contexts


def all_contexts(magnitudes, fine_classes, unit, edges):
    """Return the contexts of each pass as a coder meets them: each pass is shown once it is coded."""
    neighbourhood = Neighbourhood(fine_classes, unit)
    found = []
    for index, grid in enumerate(PASSES):
        contexts = neighbourhood.contexts(grid, edges[index])
        assert contexts.shape == magnitudes[on_grid(grid)].shape
        found.append(contexts.reshape(-1).tolist())
        neighbourhood.show(grid, magnitudes[on_grid(grid)])
    return found


def test_passes_are_those_of_the_page():
    assert [(p.segment, p.weight, p.stride, p.distance, p.time, p.frequency, p.corner) for p in PASSES] == PAGE


@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 40))
def test_every_symbol_is_in_one_pass(channels, pairs, weights):
    assert (pass_of((channels, 2 * pairs, weights)) >= 0).all()


def test_neighbours_were_coded_in_earlier_passes():
    passes = pass_of((1, 24, 24))[0]
    for index, (_, _, _, distance, time, frequency, corner) in enumerate(PAGE):
        steps = []
        if time:
            steps += [(-distance, 0), (distance, 0)]
        if frequency:
            steps += [(0, -distance), (0, distance)]
        if corner:
            steps += [(-distance, -distance), (-distance, distance), (distance, -distance), (distance, distance)]
        for segment, weight in np.argwhere(passes[4:-4, 4:-4] == index) + 4:
            assert all(passes[segment + ds, weight + dk] < index for ds, dk in steps)


def test_neighbours_count_alike_in_all_passes():
    assert [2 * (time + frequency) + 4 * corner for *_, time, frequency, corner in PAGE] == [0] + 6 * [16]


@pytest.mark.parametrize("shape", SHAPES)
def test_contexts_are_those_of_a_slow_loop(shape):
    random = np.random.default_rng(sum(shape))
    magnitudes = np.floor(random.exponential(8, shape)).astype(np.uint32)
    magnitudes.flat[:: random.integers(3, 9)] = random.choice([39, 40, 41, 1000, 2**31])
    fine_classes = random.integers(0, 64, shape, dtype=np.uint8)
    unit = random.integers(0, 2**16, 64, endpoint=True, dtype=np.int32)
    edges = np.sort(random.integers(0, 40 * 16 * 2**14, (7, 11), dtype=np.int32), -1)
    edges[:, 3] = edges[:, 4]  # an empty context
    found = all_contexts(magnitudes, fine_classes, unit, edges)
    for index in range(len(PASSES)):
        assert found[index] == slow_contexts(magnitudes, fine_classes, unit, edges, index)
    assert found[0] == [0] * len(found[0]) or (edges[0, 0] == 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_contexts_by_chance(data):
    shape = data.draw(st.tuples(st.integers(1, 3), st.sampled_from(range(2, 21, 2)), st.integers(1, 20)))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    magnitudes = random.integers(0, 5, shape).astype(np.uint32)
    fine_classes = random.integers(0, 64, shape, dtype=np.uint8)
    unit = random.integers(0, 3, 64, dtype=np.int32)
    edges = np.sort(random.integers(0, 100, (7, data.draw(st.integers(0, 5))), dtype=np.int32), -1)
    found = all_contexts(magnitudes, fine_classes, unit, edges)
    assert found == [slow_contexts(magnitudes, fine_classes, unit, edges, index) for index in range(len(PASSES))]


def test_sums_of_the_largest_values_do_not_overflow():
    """16 neighbours' shares of 40 times 2^16 are below 2^31."""
    shape = (1, 8, 8)
    magnitudes = np.full(shape, 2**31, np.uint32)
    unit = np.full(64, 2**16, np.int32)
    largest = MAX_MAGNITUDE * 2**16 * 16
    edges = np.tile(np.array([largest // 2, largest, largest + 1, 2**31 - 1], np.int32), (7, 1))
    found = all_contexts(magnitudes, np.zeros(shape, np.uint8), unit, edges)
    assert max(found[4]) == max(found[6]) == 2  # in the middle of the chunk all neighbours are there
    assert found[6] == slow_contexts(magnitudes, np.zeros(shape, np.uint8), unit, edges, 6)


def test_larger_magnitudes_count_as_40():
    shape = (1, 6, 6)
    unit, edges = np.ones(64, np.int32), np.tile(np.arange(1, 64, dtype=np.int32) * 10, (7, 1))
    classes = np.zeros(shape, np.uint8)
    found = [all_contexts(np.full(shape, value, np.uint32), classes, unit, edges) for value in (39, 40, 41, 2**31)]
    assert found[0] != found[1]
    assert found[1] == found[2] == found[3]


def test_symbols_of_other_channels_do_not_count():
    magnitudes = np.zeros((2, 8, 8), np.uint32)
    magnitudes[1] = 20
    edges = np.tile(np.array([1], np.int32), (7, 1))
    neighbourhood = Neighbourhood(np.zeros(magnitudes.shape, np.uint8), np.ones(64, np.int32))
    for index, grid in enumerate(PASSES):
        contexts = neighbourhood.contexts(grid, edges[index])
        assert not contexts[0].any()
        assert contexts[1].any() == (index > 0)
        neighbourhood.show(grid, magnitudes[on_grid(grid)])
