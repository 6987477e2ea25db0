"""The Markdown table of a rate-distortion measurement."""

import math
from pathlib import Path
from typing import Any

from benchmarks.scores import METRICS
from benchmarks.summary import Summary
from hscodec.errors import HscodecError

BEGIN = "<!-- quality-table: written by benchmarks/report.py --insert -->"
END = "<!-- /quality-table -->"
HEADLINE = ("pesq", "visqol", "stoi", "si_sdr")
"""Metrics for a README."""


def markdown(summary: Summary, *, at_kbps: tuple[float, ...], anchor: str) -> str:
    """Return one table for each metric, and below them where the numbers come from.

    Args:
        summary: The curves.
        at_kbps: Rates to show, one column each.
        anchor: Codec that the BD-rate compares with.
    """
    blocks = [_introduction(summary, anchor)]
    blocks += [_table(summary, metric, at_kbps, anchor) for metric in summary.metrics]
    blocks.append("\n".join(["### Provenance", "", *(_run(run) for run in summary.runs)]))
    return "\n\n".join(blocks) + "\n"


def insert(summary: Summary, document: Path, *, at_kbps: tuple[float, ...], anchor: str) -> None:
    """Replace what stands between the marks of a document by the tables of the headline metrics.

    Raises:
        HscodecError: The document has no such marks.
    """
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise HscodecError(f"{document} does not hold {BEGIN} and {END}")
    blocks = [_introduction(summary, anchor)]
    blocks += [_table(summary, metric, at_kbps, anchor) for metric in HEADLINE if metric in summary.metrics]
    document.write_text("\n\n".join([before + begin, *blocks, end + after]))


def _introduction(summary: Summary, anchor: str) -> str:
    seconds, stereo = summary.options["seconds"], summary.options["stereo"]
    clips = f"{len(summary.clips)} stereo clips" if stereo else f"{len(summary.clips)} clips"
    length = f"the first {seconds:g} s of each" if seconds else "whole files"
    channels = "rates are of both channels together, scores the mean of the two; " if stereo else ""
    counted = "container bytes not counted for peers" if summary.counted == "payload" else "whole files counted"
    return (
        f"{clips} ({summary.options['kind']}, {length}); mean over clips, each clip's own curve read at the rate in "
        f"question; {channels}{counted}. A number in brackets tells how many clips reach that rate, where not all do. "
        f"BD-rate: change of rate at equal quality against {anchor}, clip by clip, negative is better."
    )


def _table(summary: Summary, metric: str, at_kbps: tuple[float, ...], anchor: str) -> str:
    presented = METRICS[metric]
    direction = "higher" if presented.higher_is_better else "lower"
    rates = [f"{rate_kbps:g} kbit/s" for rate_kbps in at_kbps]
    lines = [
        f"### {presented.title}, {direction} is better",
        "",
        "| codec | " + " | ".join([*rates, "BD-rate"]) + " |",
        "|---|" + "---:|" * (len(rates) + 1),
    ]
    for codec in summary.codecs:
        cells = []
        for rate_kbps in at_kbps:
            mean, count = summary.mean_at(codec, metric, rate_kbps)
            cells.append(_cell(f"{mean:.{presented.digits}f}", count, len(summary.clips)))
        percent, count = summary.bd_rate_percent(codec, metric, anchor=anchor)
        known = codec != anchor and not math.isnan(percent)
        cells.append(_cell(f"{percent:+.1f} %", count, len(summary.clips)) if known else "-")
        if any(cell != "-" for cell in cells):  # not every codec was measured with every metric
            lines.append(f"| {codec} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(text: str, count: int, num_clips: int) -> str:
    if count == 0:
        return "-"
    return text if count == num_clips else f"{text} ({count})"


def _run(run: dict[str, Any]) -> str:
    codecs = ", ".join(f"{name} = {version}" for name, version in run.get("codecs", {}).items())
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    corpus = run.get("corpus", {})
    return (
        f"* {run['date'][:10]}, commit {(run['commit'] or 'unknown')[:10]}, {run['cpu']}, Python {run['python']}; "
        f"{codecs}; {packages}; {corpus.get('clips')} clips, sha256 {corpus.get('sha256', 'unknown')[:16]}"
    )
