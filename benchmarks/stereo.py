"""What one stereo file saves against two mono files: their rates at equal SI-SDR, for one model.

Run `python benchmarks/stereo.py FOLDER...`. Beside the clips there is made-up material of each: both channels the same,
one channel silent, and the left of one clip with the right of the next, which have nothing to do with each other.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from benchmarks.clips import corpus_sha256, find_clips, read_clip
from benchmarks.contenders import Hscodec, Samples
from benchmarks.curves import Curve, bd_rate_percent, delta_log_rate
from benchmarks.options import ListOf
from hscodec.errors import HscodecError
from hscodec.metrics.waveform import si_sdr_db
from hscodec.registry import DEFAULT_MODEL

Row = dict[str, Any]
MATERIALS = ("stereo", "dual mono", "one silent", "unrelated")


def material(kind: str, samples: Samples, other: Samples) -> Samples:
    """Return two channels of one kind of material.

    Args:
        kind: One of `MATERIALS`.
        samples: A clip.
        other: Another one of the same rate.

    Shape:
        samples: [2, T]
        other: [2, T']
        returns: [2, T''], T'' at most T
    """
    left = samples[:1]
    if kind == "stereo":
        return samples
    if kind == "dual mono":
        return np.concatenate([left, left])
    if kind == "one silent":
        return np.concatenate([left, np.zeros_like(left)])
    length = min(samples.shape[1], other.shape[1])
    return np.concatenate([left[:, :length], other[1:, :length]])


def measure(codec: Hscodec, samples: Samples, sample_rate: int, quality: float) -> Row:
    """Encode two channels as one file and as two, and return sizes (bytes) and mean SI-SDR (dB) of both.

    A channel that is silent has no SI-SDR and does not count; where the decoder returns silence for one that is not,
    the row has none.

    Shape:
        samples: [2, T]
    """
    row: Row = {"quality": quality, "num_samples": samples.shape[1], "sample_rate": sample_rate}
    for name, parts in (("one", [samples]), ("two", [samples[:1], samples[1:]])):
        encoded = [codec.encode(part, sample_rate, quality) for part in parts]
        decoded = np.concatenate([codec.decode(part) for part in encoded])
        scores = [si_sdr_db(*pair) for pair in zip(samples, decoded, strict=True) if pair[0].any()]
        row[f"{name}_bytes"] = sum(part.file_bytes for part in encoded)
        mean = float(np.mean(scores)) if scores else math.nan
        row[f"{name}_si_sdr"] = round(mean, 3) if math.isfinite(mean) else None
    return row


def rows_of(codec: Hscodec, clips: Sequence[tuple[str, Samples, int]], kinds: Sequence[str]) -> Iterator[Row]:
    """Yield what was measured, clip by clip; `clips` are names, samples [2, T] and rates (Hz)."""
    for index, (name, samples, rate) in enumerate(clips):
        # The next clip of the same rate, round the end; a clip that is alone is its own, backwards.
        others = [other for _, other, other_rate in [*clips[index + 1 :], *clips[:index]] if other_rate == rate]
        other = others[0] if others else np.ascontiguousarray(samples[:, ::-1])
        for kind in kinds:
            for quality in codec.settings:
                about = {"clip": name, "material": kind}
                yield about | measure(codec, material(kind, samples, other), rate, quality)


def changes(rows: Sequence[Row], kind: str) -> dict[str, float]:
    """Return log2 of the rate of one file over that of two at equal SI-SDR, by clip."""
    deltas = {}
    for clip in dict.fromkeys(row["clip"] for row in rows if row["material"] == kind):
        own = [row for row in rows if (row["clip"], row["material"]) == (clip, kind)]
        one, two = (
            Curve.from_points((row[f"{name}_bytes"], row[f"{name}_si_sdr"]) for row in own) for name in ("one", "two")
        )
        deltas[clip] = delta_log_rate(two, one)
    return deltas


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the change of rate (%) of each material: the mean over the clips that count, their number, each clip's."""
    result = {}
    for kind in dict.fromkeys(row["material"] for row in rows):
        deltas = changes(rows, kind)
        mean, count = bd_rate_percent(deltas.values())
        each = {clip: _rounded(bd_rate_percent([delta])[0]) for clip, delta in deltas.items()}
        result[kind] = {"mean_percent": _rounded(mean), "clips": count, "percent": each}
    return result


def _rounded(percent: float) -> float | None:
    return round(percent, 1) if math.isfinite(percent) else None


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or path of the model.")
@click.option("--device", default="cpu", show_default=True, help="Where the networks run.")
@click.option("--qualities", type=ListOf(), default="2,4,6,8", show_default=True)
@click.option("--materials", type=ListOf(MATERIALS), default=",".join(MATERIALS), show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Take the first so many of each clip.")
@click.option("--limit", type=click.IntRange(min=1), help="Take the first so many files of each folder.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON file to write.")
def main(
    folders: tuple[Path, ...],
    model: str,
    device: str,
    qualities: tuple[float, ...],
    materials: tuple[str, ...],
    seconds: float | None,
    limit: int | None,
    out: Path,
) -> None:
    """Compare one stereo file with two mono files on the stereo clips below FOLDERS."""
    try:
        codec = Hscodec(qualities, model=model, device=device)
        found = find_clips(folders, limit=limit, channels="stereo")
        clips = [(clip.name, *read_clip(clip, seconds)) for clip in found]
        about = provenance.collect(
            codecs={codec.name: codec.version()}, corpus={"clips": len(clips), "sha256": corpus_sha256(found)}
        )
        rows = []
        for row in rows_of(codec, clips, materials):
            rows.append(row)
            click.echo(f"{row['clip']} {row['material']} {row['quality']:g}", err=True)
    except HscodecError as error:
        raise click.ClickException(str(error)) from error
    result = summary(rows)
    content = {
        "schema": 1,
        "options": {"seconds": seconds, "model": codec.name},
        "provenance": about,
        "summary": result,
    }
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    head = json.dumps({**content, "rows": []}, indent=1)
    out.write_text(head.replace('"rows": []', f'"rows": [\n{lines}\n ]') + "\n")
    for kind, values in result.items():
        click.echo(f"{kind}: {values['mean_percent']} % ({values['clips']} clips)")


if __name__ == "__main__":
    main()
