"""How long chunks may be, and that no file gets one that the format does not hold."""

from fractions import Fraction

import pytest

from hscodec.codec.chunk_length import check_chunk_seconds, most_segments, segments_of_chunk
from hscodec.codec.constants import CHUNK_SEGMENTS, MAX_CHUNK_SECONDS
from hscodec.container.format import MAX_CHUNK_SEGMENTS, MAX_CHUNK_SYMBOLS
from hscodec.errors import HscodecError
from hscodec.rates import HOP_SECONDS, MAX_CHANNELS


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, CHUNK_SEGMENTS), (1, 50), (0.5, 24), (Fraction(2, 3), 34), (20, 1000), (1.03, 52)]
)
def test_segments_are_even_and_nearest(seconds, expected):
    assert segments_of_chunk(seconds, HOP_SECONDS, most=1000) == expected


def test_segments_that_are_longer_than_a_chunk_still_come_in_pairs():
    assert segments_of_chunk(1, Fraction(3, 2), most=40) == 2


@pytest.mark.parametrize("seconds", [0, 0.49, 20.1, -1, float("nan"), float("inf")])
def test_lengths_out_of_range_are_refused(seconds):
    with pytest.raises(HscodecError, match="must last between"):
        check_chunk_seconds(seconds)


@pytest.mark.parametrize("channels", range(1, MAX_CHANNELS + 1))
@pytest.mark.parametrize("num_weights", [160, 441, 960])
def test_the_last_chunk_fits_the_format(channels, num_weights):
    most = most_segments(channels * num_weights)
    assert most % 2 == 0 and most >= CHUNK_SEGMENTS
    last = 2 * most - 2
    assert last <= MAX_CHUNK_SEGMENTS and last * channels * num_weights <= MAX_CHUNK_SYMBOLS
    longer = last + 4
    assert longer > MAX_CHUNK_SEGMENTS or longer * channels * num_weights > MAX_CHUNK_SYMBOLS


def test_mono_may_have_the_longest():
    assert most_segments(960) * HOP_SECONDS == MAX_CHUNK_SECONDS


def test_a_chunk_that_would_hold_too_much_is_refused():
    with pytest.raises(HscodecError, match="at most 5.48 s"):
        segments_of_chunk(20, HOP_SECONDS, most=most_segments(MAX_CHANNELS * 960))
