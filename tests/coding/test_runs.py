import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.coding.runs import from_runs, runs_byte_length, to_runs
from hscodec.errors import FormatError


@st.composite
def sparse(draw):
    """Return symbols with long runs of zeros, some of them multiples of 255."""
    pieces = []
    for _ in range(draw(st.integers(0, 8))):
        pieces.append(np.zeros(draw(st.sampled_from([0, 1, 2, 254, 255, 256, 510, 700])), np.int32))
        pieces.append(np.array(draw(st.lists(st.integers(-3, 300), max_size=3)), np.int32))
    return np.concatenate([np.zeros(0, np.int32), *pieces])


@given(sparse(), st.binary(max_size=5))
def test_round_trip(symbols, following):
    runs, values = to_runs(symbols)
    content = np.frombuffer(runs.tobytes() + following, np.uint8)
    assert runs_byte_length(content, len(symbols)) == (len(runs), len(values))
    np.testing.assert_array_equal(from_runs(runs, values, len(symbols)), symbols)


def test_bytes_of_runs():
    symbols = np.zeros(260, np.int32)
    symbols[[0, 2]] = [7, -9]
    runs, values = to_runs(symbols)
    assert runs.tolist() == [0, 1, 255, 2]
    assert values.tolist() == [7, -9]


@pytest.mark.parametrize("content", [[], [255], [3], [1, 1], [255, 255], [200, 3]])
def test_runs_must_end_where_the_symbols_do(content):
    with pytest.raises(FormatError, match="runs of zeros"):
        runs_byte_length(np.array(content, np.uint8), 2)


def test_values_must_not_be_zero():
    with pytest.raises(FormatError, match="is zero"):
        from_runs(np.array([1, 1], np.uint8), np.array([0], np.int32), 3)


def test_content_behind_the_runs_costs_no_memory():
    """A frame may be six times as long as its symbols are many."""
    content = np.zeros(6_000_001, np.uint8)
    tracemalloc.start()
    try:
        assert runs_byte_length(content, 1_000_000) == (1_000_001, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
