from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.inr.coordinates import first_sample_of_hop, hop_phases

GRIDS = st.fractions(min_value=Fraction(1, 20), max_value=200, max_denominator=40)


@settings(max_examples=50, deadline=None)
@given(GRIDS)
def test_every_sample_is_in_exactly_one_hop(grid):
    num_hops = 3 * grid.denominator
    found = {}
    for phase in hop_phases(grid):
        for repeat in range(3):
            hop = phase.phase + repeat * grid.denominator
            for index, position in enumerate(phase.positions):
                sample = phase.first_sample + repeat * phase.samples_per_period + index
                assert sample not in found
                found[sample] = hop + position
    assert sorted(found) == list(range(first_sample_of_hop(num_hops, grid)))
    for sample, time in found.items():
        assert time == pytest.approx(float((sample + Fraction(1, 2)) / grid))


@settings(max_examples=50, deadline=None)
@given(GRIDS)
def test_families_cover_a_period(grid):
    phases = hop_phases(grid)
    assert [phase.phase for phase in phases] == list(range(grid.denominator))
    assert sum(len(phase.positions) for phase in phases) == grid.numerator
    assert {phase.samples_per_period for phase in phases} == {grid.numerator}
    assert all(0 <= position < 1 for phase in phases for position in phase.positions)


@settings(max_examples=100, deadline=None)
@given(GRIDS, st.integers(0, 10**9))
def test_first_sample_of_hop(grid, hop):
    sample = first_sample_of_hop(hop, grid)
    assert (sample + Fraction(1, 2)) / grid >= hop
    assert (sample - Fraction(1, 2)) / grid < hop


def test_a_whole_grid_has_one_family():
    (phase,) = hop_phases(Fraction(4))
    assert phase.positions == (0.125, 0.375, 0.625, 0.875)
    assert (phase.phase, phase.first_sample, phase.samples_per_period) == (0, 0, 4)


def test_a_sample_on_the_joint_of_two_hops_belongs_to_the_later_one():
    # 2.5 samples a hop: sample 2 sits at 2.5 / 2.5 = 1.
    first, second = hop_phases(Fraction(5, 2))
    assert first.positions == (0.2, 0.6)
    assert second.positions == (0.0, 0.4, 0.8)
    assert second.first_sample == 2
