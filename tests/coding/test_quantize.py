import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hscodec.coding.quantize import ESCAPE, from_bytes, to_bytes
from hscodec.errors import FormatError

SYMBOLS = hnp.arrays(
    np.int32, st.integers(0, 50), elements=st.integers(-(2**31), 2**31 - 1) | st.integers(-300, 300)
)


@given(SYMBOLS)
def test_round_trip(symbols):
    small, escaped = to_bytes(symbols)
    assert small.dtype == np.uint8
    assert escaped.dtype == np.int32
    assert small.shape == symbols.shape
    assert len(escaped) == np.count_nonzero(np.abs(symbols.astype(np.int64)) > 127)
    np.testing.assert_array_equal(from_bytes(small, escaped), symbols)


def test_bytes_and_escapes():
    symbols = np.array([0, -1, 127, -127, 128, -128, 2**31 - 1, -(2**31)], np.int32)
    small, escaped = to_bytes(symbols)
    assert small.tolist() == [0, 2, 253, 254, ESCAPE, ESCAPE, ESCAPE, ESCAPE]
    assert escaped.tolist() == [128, -128, 2**31 - 1, -(2**31)]


@pytest.mark.parametrize("escaped", [[], [200, 300]])
def test_the_number_of_escapes_must_fit(escaped):
    with pytest.raises(FormatError, match="escaped values"):
        from_bytes(np.array([1, ESCAPE], np.uint8), np.array(escaped, np.int32))


@pytest.mark.parametrize("value", [0, 127, -127])
def test_what_fits_into_a_byte_must_not_be_escaped(value):
    with pytest.raises(FormatError, match="fits into a byte"):
        from_bytes(np.array([ESCAPE], np.uint8), np.array([value], np.int32))
