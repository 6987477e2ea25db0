import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hscodec.coding.tokens import (
    ESCAPE_MAGNITUDE,
    ESCAPE_TOKEN,
    NUM_TOKENS,
    lowest_magnitudes,
    raw_bits,
    tokens_of,
)

EDGES = sorted({2**power + near for power in range(32) for near in (-1, 0)})
MAGNITUDES = st.one_of(st.integers(0, 2**31), st.integers(0, 2**17), st.sampled_from(EDGES))


def from_the_page(magnitude):
    """Return (token, raw bits, their value) as the table in docs/format.md has them."""
    if magnitude >= 2**16:
        return 60, 0, 0
    for token in range(60):
        bits = (token - 8) // 4 + 1 if token >= 8 else 0
        lowest = (4 + (token - 8) % 4) * 2**bits if token >= 8 else token
        if lowest <= magnitude < lowest + 2**bits:
            return token, bits, magnitude - lowest
    raise AssertionError(magnitude)


def of(magnitude):
    """Return (token, raw bits, their value) as the program has them."""
    tokens = tokens_of(np.array([magnitude], np.uint32))
    lowest = int(lowest_magnitudes(tokens)[0])
    (token,) = tokens.tolist()
    return token, int(raw_bits(tokens)[0]), 0 if token == ESCAPE_TOKEN else magnitude - lowest


@given(MAGNITUDES)
def test_tokens_are_those_of_the_page(magnitude):
    assert of(magnitude) == from_the_page(magnitude)


def test_tokens_of_all_edges():
    assert [of(magnitude) for magnitude in EDGES] == [from_the_page(magnitude) for magnitude in EDGES]


def test_every_magnitude_below_the_escape_has_a_place_of_its_own():
    magnitudes = np.arange(ESCAPE_MAGNITUDE, dtype=np.uint32)
    tokens = tokens_of(magnitudes)
    assert tokens.dtype == np.int32
    behind = magnitudes - lowest_magnitudes(tokens)
    assert (behind < 2 ** raw_bits(tokens)).all()
    assert set(np.diff(tokens).tolist()) == {0, 1}
    assert np.bincount(tokens, minlength=NUM_TOKENS).tolist() == [
        *(2 ** raw_bits(np.arange(ESCAPE_TOKEN))).tolist(),
        0,
    ]


@given(st.lists(MAGNITUDES, min_size=2, max_size=30))
def test_louder_symbols_have_no_lower_tokens(magnitudes):
    tokens = tokens_of(np.array(sorted(magnitudes), np.uint32))
    assert (np.diff(tokens) >= 0).all()


def test_every_token_stands_for_its_lowest_magnitude():
    tokens = np.arange(NUM_TOKENS)
    np.testing.assert_array_equal(tokens_of(lowest_magnitudes(tokens)), tokens)
    np.testing.assert_array_equal(tokens_of(lowest_magnitudes(tokens[1:]) - 1), tokens[:-1])


def test_sizes():
    assert NUM_TOKENS == ESCAPE_TOKEN + 1 == 61
    assert raw_bits(np.arange(NUM_TOKENS)).max() == 13
    assert tokens_of(np.array([ESCAPE_MAGNITUDE - 1, ESCAPE_MAGNITUDE, 2**31], np.uint32)).tolist() == [59, 60, 60]


def test_nothing_has_no_tokens():
    assert tokens_of(np.zeros(0, np.uint32)).shape == (0,)
