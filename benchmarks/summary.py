"""Measured rows arranged as curves, and the means over clips that tables and plots show."""

from typing import Any

import numpy as np

from benchmarks.curves import Curve, bd_rate_percent, delta_log_rate
from benchmarks.scores import METRICS
from hscodec.errors import HscodecError


class Summary:
    """All curves of one or several results files.

    Args:
        contents: The files, as `results.load` returns them; rows of a later file replace equal ones of an earlier.
        counted: `"payload"` or `"file"`: which bytes make the rate.

    Attributes:
        clips: Names of all clips, sorted.
        codecs: Names of all codecs, sorted.
        metrics: Names of all metrics that were measured, in the order of `scores.METRICS`.
        runs: Where the rows come from.

    Raises:
        HscodecError: The files were not measured with the same options, or hold no rows.
    """

    def __init__(self, contents: list[dict[str, Any]], *, counted: str = "payload") -> None:
        self.options: dict[str, Any] = contents[0]["options"]
        if any(content["options"] != self.options for content in contents):
            raise HscodecError("these results were measured with different options and cannot be compared")
        self.counted = counted
        self.runs = [run for content in contents for run in content["runs"]]
        rows = {(row["clip"], row["codec"], row["setting"]): row for content in contents for row in content["rows"]}
        if not rows:
            raise HscodecError("these results hold no rows")
        self.clips = sorted({clip for clip, _, _ in rows})
        self.codecs = sorted({codec for _, codec, _ in rows})
        self.metrics = [name for name in METRICS if any(name in row["scores"] for row in rows.values())]
        points: dict[tuple[str, str, str], list[tuple[float, float | None]]] = {}
        for (clip, codec, _), row in rows.items():
            for metric, value in row["scores"].items():
                points.setdefault((codec, metric, clip), []).append((row[f"{counted}_kbps"], value))
        self._curves = {key: Curve.from_points(some) for key, some in points.items()}

    def curve(self, codec: str, metric: str, clip: str) -> Curve:
        """Return one clip's curve, empty where it was not measured."""
        return self._curves.get((codec, metric, clip), Curve.from_points([]))

    def mean_at(self, codec: str, metric: str, rate_kbps: float) -> tuple[float, int]:
        """Return the mean over the clips whose curve reaches a rate, and how many do; `nan` and 0 where none does."""
        values = np.array([self.curve(codec, metric, clip).at(rate_kbps) for clip in self.clips])
        reached = values[~np.isnan(values)]
        return (float(reached.mean()) if reached.size else float("nan")), reached.size

    def bd_rate_percent(self, codec: str, metric: str, *, anchor: str) -> tuple[float, int]:
        """Return the BD-rate against `anchor` (%, negative is better), clip by clip, and how many clips count."""
        higher_is_better = METRICS[metric].higher_is_better
        return bd_rate_percent(
            delta_log_rate(
                self.curve(anchor, metric, clip), self.curve(codec, metric, clip), higher_is_better=higher_is_better
            )
            for clip in self.clips
        )

    def rates_of_all_clips(self, codec: str, metric: str) -> tuple[float, float] | None:
        """Return the lowest and highest rate (kbit/s) that every clip's curve reaches, None where there is none."""
        curves = [self.curve(codec, metric, clip) for clip in self.clips]
        if any(curve.log_rates.size == 0 for curve in curves):
            return None
        low = max(curve.log_rates[0] for curve in curves)
        high = min(curve.log_rates[-1] for curve in curves)
        return (float(2**low), float(2**high)) if low < high else None
