import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.coding.low_bits import pack_low_bits, packed_bytes, unpack_low_bits
from hscodec.errors import FormatError


@given(st.lists(st.integers(0, 2**16 - 1), max_size=50), st.integers(0, 8))
def test_low_bits_come_back(values, width):
    packed = pack_low_bits(np.array(values, np.int32), width)
    assert len(packed) == packed_bytes(len(values), width)
    found = unpack_low_bits(np.frombuffer(packed, np.uint8), len(values), width)
    assert found.tolist() == [value % 2**width for value in values]


def test_the_lowest_bit_of_the_first_number_comes_first():
    assert pack_low_bits(np.array([1, 4, 3]), 3) == bytes([0b11_100_001, 0])
    assert pack_low_bits(np.array([1, 4, 7]), 3) == bytes([0b11_100_001, 1])


def test_bytes_are_filled_up_with_zeros():
    for bit in range(1, 8):
        with pytest.raises(FormatError, match="behind the last symbol"):
            unpack_low_bits(np.array([0b11_100_001, 1 << bit], np.uint8), 3, 3)
