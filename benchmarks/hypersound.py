"""The HyperSound family beside per-file networks and the flagship: trained in one run, measured on the same clips.

Run `python benchmarks/hypersound.py train --corpus data/corpus --runs runs/comparison`, then `measure` with folders of
held-out speech, then `report`. Each step goes on where it was cut off.
"""

import os
import sys
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from benchmarks.clips import corpus_sha256, find_clips, read_clip
from benchmarks.contenders import Samples
from benchmarks.hypersound_codecs import FileCodec, fitted, flagship, generated
from benchmarks.hypersound_runs import ABLATED, KINDS, planned_runs, train, training_records
from benchmarks.hypersound_tables import markdown
from benchmarks.results import Results, Row, load
from hscodec.audio.resample import resample
from hscodec.codec.fit import LEARNING_RATES, SEGMENT_SECONDS, FitConfig, suggested_network
from hscodec.container.codes import Storage
from hscodec.errors import HscodecError
from hscodec.metrics.comparison import compare
from hscodec.registry import DEFAULT_MODEL

CLIP_SAMPLES, SAMPLE_RATE = 32_768, 22_050
"""A segment of the paper."""
CLIP_START_S = 0.5
"""Recordings begin with silence."""
METRICS = ("mse", "l1", "lsd", "si_snr", "pesq", "stoi", "cdpam")
SHIPPED = "hypersound-fmlp"
FLAGSHIP_QUALITIES = (2.0, 5.0, 8.0)


@click.group()
def main() -> None:
    """Train, measure and report the HyperSound family."""


@main.command("train")
@click.option("--corpus", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where models go.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=20.0, show_default=True)
@click.option("--only", multiple=True, help="Name of a run; may be repeated.")
def train_command(corpus: Path, runs: Path, minutes: float, only: tuple[str, ...]) -> None:
    """Train all variants and ablations, one after the other, each for MINUTES of training time."""
    try:
        for run in planned_runs(minutes=minutes, corpus=corpus):
            if not only or run.name in only:
                click.echo(f"{run.name}: {train(run, runs)}")
    except HscodecError as error:
        raise click.ClickException(str(error)) from error


@main.command("measure")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--runs", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--per-folder", type=click.IntRange(min=1), default=2, show_default=True, help="Files of each folder.")
@click.option("--fit-steps", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON file to write.")
def measure_command(folders: tuple[Path, ...], runs: Path, per_folder: int, fit_steps: int, out: Path) -> None:
    """Encode, decode and score clips of all files below FOLDERS with every codec."""
    try:
        clips = find_clips(folders, limit=per_folder, channels="mono")
        codecs = _codecs(runs, fit_steps)
        options = {"clip_samples": CLIP_SAMPLES, "sample_rate": SAMPLE_RATE, "start_s": CLIP_START_S, "stereo": False}
        results = Results(out, options)
        facts = {"corpus_sha256": corpus_sha256(clips), "training": training_records(runs)}
        results.start_run(provenance.collect(**facts))
        for clip in clips:
            samples = _cut(*read_clip(clip), clip.name)
            for codec in codecs:
                if results.has(clip.name, codec.name, codec.setting, version=codec.version, metrics=METRICS):
                    continue
                results.add([measure(codec, samples, clip.name)])
            click.echo(f"{clip.name}: done")
    except HscodecError as error:
        raise click.ClickException(str(error)) from error


@main.command("report")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--table", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Markdown to write.")
def report_command(path: Path, table: Path) -> None:
    """Write the tables of what `measure` wrote to PATH."""
    table.write_text(markdown(load(path)))
    click.echo(f"{table}: written")


def measure(codec: FileCodec, samples: Samples, clip: str) -> Row:
    """Return one row: rate, times and scores of a clip [1, T]."""
    started = time.perf_counter()
    encoded = codec.encode(samples, SAMPLE_RATE)
    encoded_at = time.perf_counter()
    decoded, num_stored = codec.decode(encoded)
    decoded_at = time.perf_counter()
    scores = compare(samples, decoded, SAMPLE_RATE, METRICS, device="cpu")
    return {
        "clip": clip,
        "codec": codec.name,
        "setting": codec.setting,
        "version": codec.version,
        "num_stored": num_stored,
        "file_bytes": encoded.file_bytes,
        "kbps": round(encoded.kbps(encoded.file_bytes), 3),
        "encode_seconds": round(encoded_at - started, 4),
        "decode_seconds": round(decoded_at - encoded_at, 4),
        "scores": {name: round(score.mean, 6) for name, score in scores.items()},
    }


def _codecs(runs: Path, fit_steps: int) -> list[FileCodec]:
    """Return all contenders; models that are not trained yet are left out."""
    codecs = []
    for run in planned_runs(minutes=1, corpus=Path()):
        path = run.model_path(runs)
        if not path.exists():
            continue
        codecs.append(generated(run.name, path, Storage.BOTTLENECK, 8))
        if not run.name.startswith(f"{ABLATED}-"):
            codecs.append(generated(run.name, path, Storage.WEIGHTS, 8))
        if run.name == ABLATED:
            codecs += [generated(run.name, path, Storage.BOTTLENECK, bits) for bits in (4, 6)]
            codecs += [generated(run.name, path, Storage.WEIGHTS, bits) for bits in (4, 16)]
    codecs += [generated(SHIPPED, SHIPPED, Storage.BOTTLENECK, bits) for bits in (6, 8)]
    codecs.append(generated(SHIPPED, SHIPPED, Storage.WEIGHTS, 8))
    for kind in KINDS:
        network = suggested_network(kind, SEGMENT_SECONDS)
        codecs.append(fitted(f"{kind} fitted", FitConfig(network, steps=fit_steps, learning_rate=LEARNING_RATES[kind])))
    codecs += [flagship(DEFAULT_MODEL, quality) for quality in FLAGSHIP_QUALITIES]
    return codecs


def _cut(samples: Samples, sample_rate: int, name: str) -> Samples:
    """Return the clip [1, T] at the rate and of the length of the comparison."""
    start = round(CLIP_START_S * SAMPLE_RATE)
    clip = resample(samples, sample_rate, SAMPLE_RATE)[:, start : start + CLIP_SAMPLES]
    if clip.shape[1] < CLIP_SAMPLES:
        raise HscodecError(f"{name} is shorter than {CLIP_START_S + CLIP_SAMPLES / SAMPLE_RATE:.2f} s")
    return np.ascontiguousarray(clip)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
