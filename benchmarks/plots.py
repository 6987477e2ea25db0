"""The plot of a rate-distortion measurement."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scores import METRICS
from benchmarks.summary import Summary
from hscodec.errors import HscodecError

_POINTS = 60


def draw(summary: Summary, path: Path) -> None:
    """Write an SVG with one panel for each metric: the mean over all clips against the rate.

    A line covers the rates that the curve of every clip reaches; elsewhere the mean would be one of other clips. The
    same results give the same bytes.

    Args:
        summary: The curves.
        path: The SVG file; an existing one is replaced.

    Raises:
        HscodecError: matplotlib is not installed.
    """
    try:
        matplotlib = importlib.import_module("matplotlib")
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise HscodecError("plots need matplotlib: pip install 'hscodec[bench]'") from error
    columns = min(2, len(summary.metrics))
    rows = math.ceil(len(summary.metrics) / columns)
    with matplotlib.rc_context({"svg.hashsalt": "hscodec", "svg.fonttype": "none"}):
        figure = figures.Figure(figsize=(5.2 * columns, 3.6 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, metric in zip(axes, summary.metrics, strict=False):
            _draw_metric(axis, summary, metric)
        for axis in axes[len(summary.metrics) :]:
            axis.set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw_metric(axis: Any, summary: Summary, metric: str) -> None:
    for index, codec in enumerate(summary.codecs):
        span = summary.rates_of_all_clips(codec, metric)
        if span is None:
            continue
        # Powers can leave the measured range by a rounding error, where there is no value.
        rates = np.geomspace(span[0] * (1 + 1e-9), span[1] * (1 - 1e-9), _POINTS)
        means = [summary.mean_at(codec, metric, rate_kbps)[0] for rate_kbps in rates]
        axis.plot(rates, means, label=codec, color=f"C{index}", linewidth=1.8)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("kbit/s")
    axis.set_ylabel(METRICS[metric].title)
    if not METRICS[metric].higher_is_better:
        axis.invert_yaxis()  # up is better in every panel
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend()
