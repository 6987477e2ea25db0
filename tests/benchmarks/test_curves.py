import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.curves import Curve, bd_rate_percent, delta_log_rate

RATES = (4.0, 8.0, 16.0, 32.0)
VALUES = (1.0, 2.0, 3.0, 3.5)
CURVE = Curve.from_points(zip(RATES, VALUES, strict=True))


def scaled(factor, values=VALUES):
    return Curve.from_points((rate * factor, value) for rate, value in zip(RATES, values, strict=True))


def test_values_are_read_along_the_logarithm_of_the_rate():
    assert [CURVE.at(rate) for rate in RATES] == pytest.approx(VALUES)
    assert CURVE.at(math.sqrt(4 * 8)) == pytest.approx(1.5)


@pytest.mark.parametrize("rate_kbps", [1, 3.99, 32.01, 1000])
def test_nothing_is_extrapolated(rate_kbps):
    assert math.isnan(CURVE.at(rate_kbps))


def test_order_missing_values_and_equal_rates():
    curve = Curve.from_points([(16, 3.0), (8, 1.0), (4, None), (8, 2.0)])
    assert curve.at(8) == 1.5 and curve.at(16) == 3.0 and math.isnan(curve.at(4))
    assert math.isnan(Curve.from_points([]).at(8))
    assert math.isnan(Curve.from_points([(8, None)]).at(8))


def test_a_curve_does_not_differ_from_itself():
    assert delta_log_rate(CURVE, CURVE) == 0


@given(st.floats(0.1, 10))
def test_a_codec_that_needs_a_factor_more_everywhere_is_that_factor_worse(factor):
    assert delta_log_rate(CURVE, scaled(factor)) == pytest.approx(math.log2(factor), abs=1e-9)
    assert delta_log_rate(scaled(factor), CURVE) == pytest.approx(-math.log2(factor), abs=1e-9)


def test_only_shared_qualities_count():
    # From 2.5 to 3.5 the second codec needs half the rate; what the first does below 2.5 does not matter.
    test = Curve.from_points([(math.sqrt(8 * 16) / 2, 2.5), (8, 3.0), (16, 3.5), (400, 4.5)])
    assert delta_log_rate(CURVE, test) == pytest.approx(-1)


def test_curves_that_share_too_little_quality_have_no_difference():
    above = scaled(1, [value + 2.4 for value in VALUES])
    assert math.isnan(delta_log_rate(CURVE, above))
    assert math.isnan(delta_log_rate(CURVE, scaled(1, [value + 100 for value in VALUES])))
    assert math.isnan(delta_log_rate(CURVE, Curve.from_points([(8, 2.0)])))
    assert math.isnan(delta_log_rate(Curve.from_points([]), CURVE))


def test_where_less_is_better():
    fewer = [-value for value in VALUES]
    assert delta_log_rate(scaled(1, fewer), scaled(2, fewer), higher_is_better=False) == pytest.approx(1)


def test_points_that_cost_more_for_less_are_passed_over():
    dented = Curve.from_points([*zip(RATES, VALUES, strict=True), (10.0, 1.5), (20.0, 3.0)])
    assert delta_log_rate(CURVE, dented) == pytest.approx(0)


def test_a_crossing_cancels():
    steep = Curve(np.array([2.5, 3.5]), np.array([1.0, 3.0]))
    flat = Curve(np.array([2.0, 4.0]), np.array([1.0, 3.0]))
    assert delta_log_rate(flat, steep) == pytest.approx(0)


def test_percent_is_the_geometric_mean_of_clips_that_count():
    assert bd_rate_percent([1.0, -1.0, math.nan]) == (pytest.approx(0), 2)
    assert bd_rate_percent([-1.0]) == (pytest.approx(-50), 1)
    percent, count = bd_rate_percent([math.nan])
    assert math.isnan(percent) and count == 0
