"""The loop of a rate-distortion measurement: every clip through every codec at every setting."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal

from benchmarks.alignment import align
from benchmarks.clips import Clip, read_clip
from benchmarks.contenders import Contender, Hscodec, Samples
from benchmarks.peers import Aac, Mp3, Opus
from benchmarks.results import Results, Row
from benchmarks.scores import score
from hscodec.registry import DEFAULT_MODEL

CODECS = ("hscodec", "opus", "mp3", "aac")


@dataclass(frozen=True)
class Plan:
    """What to measure on every clip.

    Args:
        codecs: Names out of `CODECS`, with the settings of each.
        metrics: Names out of `scores.METRICS`.
        kind: What the encoders and ViSQOL are told to expect.
        seconds: How much of each clip to take, None for all.
        model: Model of hscodec.
        device: Where its networks run.
    """

    codecs: tuple[tuple[str, tuple[float, ...]], ...]
    metrics: tuple[str, ...]
    kind: Literal["speech", "music"]
    seconds: float | None
    model: str = DEFAULT_MODEL
    device: str = "cpu"


@cache
def contenders(plan: Plan) -> tuple[Contender, ...]:
    """Return the codecs of a plan, ready to use; a process loads a model once."""
    made: list[Contender] = []
    for name, settings in plan.codecs:
        if name == "hscodec":
            made.append(Hscodec(settings, model=plan.model, device=plan.device))
        elif name == "opus":
            made.append(Opus(settings, kind=plan.kind))
        else:
            made.append({"mp3": Mp3, "aac": Aac}[name](settings))
    return tuple(made)


def measure(plan: Plan, clip: Clip, points: tuple[tuple[str, float], ...]) -> list[Row]:
    """Return the rows of one clip.

    Args:
        plan: How to measure.
        clip: The clip.
        points: Names of codecs and settings to measure.
    """
    samples, sample_rate = read_clip(clip, plan.seconds)
    return [
        {"clip": clip.name, **_measure_point(plan, codec, setting, samples, sample_rate)}
        for codec in contenders(plan)
        for setting in codec.settings
        if (codec.name, setting) in points
    ]


def _measure_point(plan: Plan, codec: Contender, setting: float, samples: Samples, sample_rate: int) -> Row:
    start = time.perf_counter()
    encoded = codec.encode(samples, sample_rate, setting)
    middle = time.perf_counter()
    decoded = codec.decode(encoded)
    end = time.perf_counter()
    decoded, delay_seconds = align(samples, decoded, sample_rate)
    return {
        "codec": codec.name,
        "version": codec.version(),
        "setting": setting,
        "sample_rate": sample_rate,
        "num_samples": samples.shape[1],
        "file_bytes": encoded.file_bytes,
        "payload_bytes": encoded.payload_bytes,
        "file_kbps": round(encoded.kbps(encoded.file_bytes), 4),
        "payload_kbps": round(encoded.kbps(encoded.payload_bytes), 4),
        "encode_seconds": round(middle - start, 4),
        "decode_seconds": round(end - middle, 4),
        "delay_us": round(delay_seconds * 1e6, 1),
        "scores": {name: score(name, samples, decoded, sample_rate, kind=plan.kind) for name in plan.metrics},
    }


def run(plan: Plan, clips: list[Clip], results: Results, *, jobs: int = 1) -> Iterator[str]:
    """Measure what is missing and write it clip by clip.

    Args:
        plan: What to measure.
        clips: Where.
        results: What was measured already; it is added to.
        jobs: How many processes to use.

    Yields:
        The name of each clip, when it is done.
    """
    missing = {clip: _missing_points(plan, clip, results) for clip in clips}
    todo = [(clip, points) for clip, points in missing.items() if points]
    yield from (clip.name for clip, points in missing.items() if not points)
    if jobs == 1:
        for clip, points in todo:
            results.add(measure(plan, clip, points))
            yield clip.name
        return
    # Not forked: torch and the metrics' packages have threads of their own.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [(clip, pool.submit(measure, plan, clip, points)) for clip, points in todo]
        for clip, future in futures:
            results.add(future.result())
            yield clip.name


def _missing_points(plan: Plan, clip: Clip, results: Results) -> tuple[tuple[str, float], ...]:
    return tuple(
        (codec.name, setting)
        for codec in contenders(plan)
        for setting in codec.settings
        if not results.has(clip.name, codec.name, setting, version=codec.version(), metrics=plan.metrics)
    )
