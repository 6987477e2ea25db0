from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.inr.coordinates import first_sample_of_hop

GRIDS = st.fractions(min_value=Fraction(1, 20), max_value=200, max_denominator=40)


@settings(max_examples=100, deadline=None)
@given(GRIDS, st.integers(-(10**9), 10**9))
def test_first_sample_of_hop(grid, hop):
    sample = first_sample_of_hop(hop, grid)
    assert (sample + Fraction(1, 2)) / grid >= hop
    assert (sample - Fraction(1, 2)) / grid < hop


def test_a_sample_on_the_joint_of_two_hops_belongs_to_the_later_one():
    # 2.5 samples a hop: sample 2 sits at 2.5 / 2.5 = 1.
    assert [first_sample_of_hop(hop, Fraction(5, 2)) for hop in range(4)] == [0, 2, 5, 7]
