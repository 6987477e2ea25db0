"""The Markdown tables of the HyperSound comparison."""

from collections import defaultdict
from statistics import mean, median
from typing import Any

from benchmarks.hypersound_runs import ABLATED, ABLATIONS, KINDS, MODES

_COLUMNS = (
    ("numbers/s", "per_second", "{:,.0f}"),
    ("kbit/s", "kbps", "{:.1f}"),
    ("MSE · 1000", "mse", "{:.2f}"),
    ("L1", "l1", "{:.4f}"),
    ("LSD", "lsd", "{:.2f}"),
    ("SI-SNR dB", "si_snr", "{:.1f}"),
    ("PESQ", "pesq", "{:.2f}"),
    ("STOI", "stoi", "{:.3f}"),
    ("CDPAM", "cdpam", "{:.3f}"),
    ("encode s", "encode_seconds", "{:.2f}"),
    ("decode s", "decode_seconds", "{:.2f}"),
)
_BUDGET_OF_THE_PAPER = "The paper trains each model for 2,500 epochs on a GPU"

Point = tuple[str, float]
"""Name of a codec and its setting."""


def markdown(content: dict[str, Any]) -> str:
    """Return the tables of a results file, over the clips that all codecs were measured on."""
    content = {**content, "rows": _complete(content["rows"])}
    points = _points(content)
    variants = [f"{kind}-{mode}" for kind in KINDS for mode in MODES]
    ablations = [ABLATED, *(f"{ABLATED}-{name}" for name in ABLATIONS)]
    generated = [(f"{name}, {stored}", 8.0) for name in variants for stored in ("latent", "weights")]
    bits = sorted(point for point in points if point[0].startswith(f"{ABLATED}, "))
    known = {*generated, *bits, *((f"{name}, latent", 8.0) for name in ablations)}
    others = [point for point in points if point not in known]
    training = content["runs"][-1]["training"]

    def with_steps(point: Point) -> str:
        steps = training[point[0].rpartition(", ")[0]]["steps"]
        return f"{point[0]} ({steps:,} steps)"

    return (
        "\n\n".join(
            [
                "# The HyperSound family, per-file networks and the flagship",
                _introduction(content),
                "## Target networks and weight modes",
                "What is stored: the bottleneck (latent) or the weights that it generates, 8 bits a number.",
                _table(points, generated, with_steps),
                "## Bits of a number",
                _table(points, bits, lambda point: f"{point[0]}, {point[1]:g} bits"),
                "## Without one part of the training",
                f"`{ABLATED}`, its bottleneck stored with 8 bits.",
                _table(points, [(f"{name}, latent", 8.0) for name in ablations], with_steps),
                "## Networks fitted to each clip, and the flagship",
                "Behind a fit stand its bits, behind the flagship its quality. A fit is trained while it encodes.",
                _table(points, others, lambda point: f"{point[0]}, {point[1]:g}"),
                "## Provenance",
                "\n".join(_provenance(run) for run in content["runs"]),
            ]
        )
        + "\n"
    )


def _complete(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of clips that have one for each codec and setting: a cut run would shift some means alone."""
    points = {(row["codec"], row["setting"]) for row in rows}
    measured: dict[str, set[Point]] = defaultdict(set)
    for row in rows:
        measured[row["clip"]].add((row["codec"], row["setting"]))
    return [row for row in rows if measured[row["clip"]] == points]


def _points(content: dict[str, Any]) -> dict[Point, dict[str, float]]:
    """Return all columns by codec and setting: means over clips, of times the median."""
    seconds = content["options"]["clip_samples"] / content["options"]["sample_rate"]
    rows: dict[Point, list[dict[str, float]]] = defaultdict(list)
    for row in content["rows"]:
        scores = {**row["scores"], "mse": 1000 * row["scores"]["mse"]}
        times = {name: row[name] for name in ("kbps", "encode_seconds", "decode_seconds")}
        rows[row["codec"], row["setting"]].append({**scores, **times, "per_second": row["num_stored"] / seconds})
    return {
        point: {
            # Other work on the machine only adds to a time, and now and then much.
            key: (median if key.endswith("_seconds") else mean)(value[key] for value in values)
            for _, key, _ in _COLUMNS
        }
        for point, values in rows.items()
    }


def _table(points: dict[Point, dict[str, float]], chosen: list[Point], label: Any) -> str:
    lines = ["| | " + " | ".join(title for title, _, _ in _COLUMNS) + " |", "|---" + "|---:" * len(_COLUMNS) + "|"]
    for point in chosen:
        if point in points:
            cells = [form.format(points[point][key]) for _, key, form in _COLUMNS]
            lines.append(f"| {label(point)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _introduction(content: dict[str, Any]) -> str:
    options = content["options"]
    clips = sorted({row["clip"] for row in content["rows"]})
    training = content["runs"][-1]["training"]
    minutes = sorted({round(run["minutes"], 1) for run in training.values()})
    steps = sorted(run["steps"] for run in training.values())
    spent = f"{minutes[0]:g}" if len(minutes) == 1 else f"{minutes[0]:g} to {minutes[-1]:g}"
    seconds = options["clip_samples"] / options["sample_rate"]
    return (
        f"{len(clips)} clips of held-out speech, {options['clip_samples']:,} samples at {options['sample_rate']:,} Hz "
        f"({seconds:.2f} s) each; means over clips. Rates are those of whole files, headers included: a clip of this "
        f"length has a header of some hundred bytes. Times are those of one clip on one core, the "
        f"median over clips; that of the very first codec also holds torch's first calls.\n\n"
        f"**Budgets are not the paper's.** {_BUDGET_OF_THE_PAPER}; here each had {spent} minutes of one CPU core, "
        f"{steps[0]:,} to {steps[-1]:,} steps, and a small network with segments of 23 ms (the paper's last 1.49 s). "
        f"The order of the variants may change with more training. Lower is better for MSE, L1, LSD and CDPAM."
    )


def _provenance(run: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    return f"* {run['date']}, commit {run['commit']}, {run['cpu']}, {run['python']}, {packages}"
