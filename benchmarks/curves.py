"""Arithmetic on rate-distortion curves of single clips: values at a common rate, and Bjontegaard's delta rate.

Codecs spread their bits over clips differently, so rates are matched clip by clip: each clip's own curve is read at the
rate in question, and only then is the mean taken.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MIN_OVERLAP = 0.25


@dataclass(frozen=True)
class Curve:
    """One clip, codec and metric: a polygon over the logarithm of the rate.

    Args:
        log_rates: log2 of the rates in kbit/s, ascending.
        values: The metric at each of them.

    Shape:
        log_rates, values: [points]
    """

    log_rates: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def from_points(cls, points: Iterable[tuple[float, float | None]]) -> "Curve":
        """Return the curve through points (kbit/s, value) in any order.

        Values that are None are left out; points of equal rate (two settings that gave the same file) become their
        mean.
        """
        known = [(rate_kbps, value) for rate_kbps, value in points if value is not None]
        rates = np.unique([rate_kbps for rate_kbps, _ in known])
        values = [np.mean([value for other, value in known if other == rate_kbps]) for rate_kbps in rates]
        return cls(np.log2(rates), np.array(values, dtype=np.float64))

    def at(self, rate_kbps: float) -> float:
        """Return the value at a rate, `nan` outside the measured rates: nothing is extrapolated."""
        if not self.log_rates.size:
            return math.nan
        return float(np.interp(math.log2(rate_kbps), self.log_rates, self.values, left=math.nan, right=math.nan))

    def inverse(self, *, higher_is_better: bool = True) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return log2 rate as a function of quality, a polygon of strictly ascending qualities.

        Points that are no better than one of lower rate are left out: nobody needs to pay for them.

        Args:
            higher_is_better: Where it is False, quality is the negative of the value.

        Shape:
            returns: qualities [useful points], log2 rates [useful points]
        """
        qualities = self.values if higher_is_better else -self.values
        best_before = np.concatenate([[-np.inf], np.maximum.accumulate(qualities)[:-1]])
        useful = qualities > best_before
        return qualities[useful], self.log_rates[useful]


def delta_log_rate(anchor: Curve, test: Curve, *, higher_is_better: bool = True) -> float:
    """Return by how much log2 of the rate of `test` lies above that of `anchor`, averaged over equal quality.

    Bjontegaard's measure (VCEG-M33, 2001) with polygons in place of his cubic polynomials, which swing between few
    points: the area between the two curves over the qualities that both reach, divided by their range.

    Args:
        anchor: The codec to compare with.
        test: The other codec, on the same clip.
        higher_is_better: Which way the metric goes.

    Returns:
        The difference, 0 for equal curves, -1 where `test` needs half the rate; `nan` where the curves share less
        than a quarter of the smaller range of qualities.
    """
    curves = [curve.inverse(higher_is_better=higher_is_better) for curve in (anchor, test)]
    if any(qualities.size < 2 for qualities, _ in curves):
        return math.nan
    low = max(qualities[0] for qualities, _ in curves)
    high = min(qualities[-1] for qualities, _ in curves)
    if high - low < _MIN_OVERLAP * min(qualities[-1] - qualities[0] for qualities, _ in curves):
        return math.nan
    corners = np.unique(np.clip(np.concatenate([qualities for qualities, _ in curves]), low, high))
    anchor_rates, test_rates = (np.interp(corners, *curve) for curve in curves)
    difference = test_rates - anchor_rates
    return float(np.sum(np.diff(corners) * (difference[1:] + difference[:-1]) / 2) / (high - low))


def bd_rate_percent(deltas: Iterable[float]) -> tuple[float, int]:
    """Return the mean BD-rate of several clips, and how many of them count.

    Args:
        deltas: `delta_log_rate` of each clip; those that are `nan` do not count.

    Returns:
        The change of rate at equal quality (%, negative is better than the anchor), the geometric mean over clips, and
        the number of clips. `nan` and 0 where no clip counts.
    """
    known = [delta for delta in deltas if not math.isnan(delta)]
    return (100 * (2 ** (sum(known) / len(known)) - 1) if known else math.nan), len(known)
