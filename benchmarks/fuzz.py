"""Mutated valid files against all that reads `.hsnd`: only `HscodecError` may escape, quickly and in little memory.

Run `python benchmarks/fuzz.py --cases 100000 --out fuzz.json`. Case I of seed S is always the same bytes on one
machine, so `--seed S --first I --cases 1` repeats it. Exit status 1 if a case fails; `--keep` is where it is saved.
"""

import contextlib
import faulthandler
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance, tiny
from benchmarks.fuzz_case import MAX_BYTES, MAX_SECONDS, Checker, Memory, Outcome, Stage, use_model
from benchmarks.fuzz_mutations import Corpus, make_case
from hscodec.registry import load_flagship

HANG_SECONDS = 30
GUARD_BYTES = 4 << 30
"""An allocation that would take the process this far is refused, so that a bomb ends the case and not the machine."""

BATCH = 200
_PASSES = {
    "header": Stage.CHECKSUM,
    "checksum": Stage.FRAME,
    "frame": Stage.SYMBOLS,
    "symbols": Stage.DECODER,
    "everything": Stage.WHOLE,
}


@dataclass(frozen=True)
class Failure:
    """A case that must not happen.

    Attributes:
        number: Of the case.
        kind: Of its mutation.
        what: What escaped, or which limit was passed.
        where: Innermost line of the package that an exception passed.
    """

    number: int
    kind: str
    what: str
    where: str = ""


@dataclass
class Tally:
    """What became of consecutive cases.

    Attributes:
        digests: Of the bytes of each case, in order.
        reached: Cases by kind and stage.
        refusals: Kind and refusal, and how many cases had it.
        failures: Cases that failed.
        slowest: (seconds, number of the case).
        largest: (bytes of memory, number of the case).
    """

    digests: list[bytes] = field(default_factory=list)
    reached: Counter[tuple[str, int]] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    largest: tuple[int, int] = (0, 0)

    def add(self, other: "Tally") -> None:
        """Append what came behind."""
        self.digests += other.digests
        self.reached += other.reached
        self.refusals += other.refusals
        self.failures += other.failures
        self.slowest, self.largest = max(self.slowest, other.slowest), max(self.largest, other.largest)

    @property
    def inputs_sha256(self) -> str:
        """One digest of all cases."""
        return hashlib.sha256(b"".join(self.digests)).hexdigest()

    def shares(self) -> dict[str, float]:
        """Return which share of the cases got past each hurdle."""
        return {name: round(self._share(stage), 4) for name, stage in _PASSES.items()}

    def _share(self, stage: Stage) -> float:
        passed = sum(count for (_, reached), count in self.reached.items() if reached >= stage)
        return passed / max(sum(self.reached.values()), 1)

    def kinds(self) -> dict[str, dict[str, Any]]:
        """Return for each kind of mutation how far its cases got and who refused them."""
        rows: dict[str, dict[str, Any]] = {}
        for (kind, stage), count in sorted(self.reached.items()):
            row = rows.setdefault(kind, {"cases": 0, "reached": {}, "refusals": {}})
            row["cases"] += count
            row["reached"][Stage(stage).name.lower()] = count
        for (kind, refusal), count in sorted(self.refusals.items()):
            rows.setdefault(kind, {"cases": 0, "reached": {}, "refusals": {}})["refusals"][refusal] = count
        return rows


class Fuzzer:
    """Makes cases and checks them in this process.

    Args:
        folder: Holds the model and takes the file that is being checked.
        seed: Of the mutations.
        keep: Where to save failing cases.
    """

    def __init__(self, folder: Path, *, seed: int, keep: Path | None = None) -> None:
        use_model(folder)
        model = load_flagship(folder / f"{tiny.NAME}.safetensors")
        self._corpus = Corpus(tiny.valid_files(model), model)
        self._checker = Checker(model, folder / f"case-{os.getpid()}.hsnd")
        self._seed = seed
        self._keep = keep
        for name, data in self._corpus.files.items():
            if self._checker.check(data).stage is not Stage.WHOLE:
                raise ValueError(f"the valid file {name!r} is refused")
        self._memory = Memory()

    def run(self, numbers: range) -> Tally:
        """Run the cases of these numbers."""
        tally = Tally()
        with _guarded():
            for number in numbers:
                kind, data = make_case(self._corpus, self._seed, number)
                tally.digests.append(hashlib.blake2b(data, digest_size=8).digest())
                failure = self._run(number, kind, data, tally)
                if failure is not None:
                    tally.failures.append(failure)
                    if self._keep is not None:
                        (self._keep / f"{self._seed}-{number}-{kind}.hsnd").write_bytes(data)
        return tally

    def _run(self, number: int, kind: str, data: bytes, tally: Tally) -> Failure | None:
        try:
            outcome, seconds, num_bytes = self._measure(data)
            if seconds > MAX_SECONDS:  # the machine may have been busy
                seconds = min(seconds, self._measure(data)[1])
        except Exception as error:
            return Failure(number, kind, f"{type(error).__name__}: {error}"[:300], _innermost(error))
        tally.reached[kind, int(outcome.stage)] += 1
        tally.refusals.update((kind, refusal) for refusal in set(outcome.refusals))
        tally.slowest = max(tally.slowest, (round(seconds, 3), number))
        tally.largest = max(tally.largest, (num_bytes, number))
        if seconds > MAX_SECONDS:
            return Failure(number, kind, f"{seconds:.1f} s")
        return Failure(number, kind, f"{num_bytes / 1e6:.0f} MB") if num_bytes > MAX_BYTES else None

    def _measure(self, data: bytes) -> tuple[Outcome, float, int]:
        self._memory.forget()
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
        try:
            start = time.perf_counter()
            outcome = self._checker.check(data)
            seconds = time.perf_counter() - start
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return outcome, seconds, self._memory.growth_bytes()


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Turn hangs into TimeoutError and absurd allocations into MemoryError."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {HANG_SECONDS} s")

    limits = resource.getrlimit(resource.RLIMIT_DATA)
    handler = signal.signal(signal.SIGALRM, stop)
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + GUARD_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
        signal.signal(signal.SIGALRM, handler)


def _innermost(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}hscodec{os.sep}" in frame.filename] or list(frames)
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}"


def _prepare_process() -> None:
    faulthandler.enable()
    torch.set_num_threads(1)  # networks as small as these only wait for each other


_fuzzer: Fuzzer | None = None


def _start_worker(folder: Path, seed: int, keep: Path | None) -> None:
    global _fuzzer
    _prepare_process()
    _fuzzer = Fuzzer(folder, seed=seed, keep=keep)


def _run_in_worker(numbers: range) -> Tally:
    assert _fuzzer is not None
    return _fuzzer.run(numbers)


def _tallies(folder: Path, batches: list[range], *, seed: int, jobs: int, keep: Path | None) -> Iterator[Tally]:
    """Yield what became of each batch, in order."""
    if jobs == 1:
        yield from map(Fuzzer(folder, seed=seed, keep=keep).run, batches)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start_worker, (folder, seed, keep)) as pool:
        yield from pool.map(_run_in_worker, batches)


def report(tally: Tally, seconds: float) -> str:
    """Return the outcome as lines of text."""
    cases = len(tally.digests)
    lines = [f"{'kind':<11} {'cases':>7} {' '.join(f'{stage.name.lower():>8}' for stage in Stage)}"]
    for kind, row in tally.kinds().items():
        cells = " ".join(f"{row['reached'].get(stage.name.lower(), 0):>8}" for stage in Stage)
        lines.append(f"{kind:<11} {row['cases']:>7} {cells}")
    passed = ", ".join(f"{name} {100 * share:.1f} %" for name, share in tally.shares().items())
    lines.append(f"got past: {passed}")
    lines.append(
        f"{cases} cases, {cases / seconds:.0f} per second; slowest {tally.slowest[0]:.3f} s (case {tally.slowest[1]}); "
        f"most memory {tally.largest[0] / 1e6:.0f} MB (case {tally.largest[1]}); inputs {tally.inputs_sha256[:16]}"
    )
    for failure in tally.failures[:20]:
        lines.append(f"FAILED: case {failure.number} ({failure.kind}): {failure.what} {failure.where}".rstrip())
    lines.append(f"{len(tally.failures)} failed")
    return "\n".join(lines)


@click.command()
@click.option("--cases", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Folder for the files that fail.")
def main(cases: int, seed: int, first: int, jobs: int, out: Path | None, keep: Path | None) -> None:
    """Check that hostile files do nothing worse than raise HscodecError."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    numbers = range(first, first + cases)
    batches = [numbers[start : start + BATCH] for start in range(0, cases, BATCH)]
    tally = Tally()
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        tiny.make_model(Path(name))
        start = told = time.perf_counter()
        try:
            for part in _tallies(Path(name), batches, seed=seed, jobs=jobs, keep=keep):
                tally.add(part)
                if time.perf_counter() - told > 10:
                    told = time.perf_counter()
                    done = len(tally.digests)
                    speed = done / (told - start)
                    click.echo(f"{done} of {cases}, {speed:.0f} per second, {len(tally.failures)} failed", err=True)
        except BrokenProcessPool:
            for path in Path(name).glob("case-*.hsnd") if keep is not None else ():
                shutil.copy(path, keep or path.parent)
            tally.failures.append(Failure(len(tally.digests) + first, "unknown", "a process died; see the case-* kept"))
        seconds = time.perf_counter() - start
    click.echo(report(tally, seconds))
    if out is not None:
        content = {
            "schema": 1,
            "options": {"cases": cases, "seed": seed, "first": first, "jobs": jobs},
            "limits": {"seconds": MAX_SECONDS, "bytes": MAX_BYTES},
            "provenance": provenance.collect(),
            "cases_per_second": round(len(tally.digests) / seconds, 1),
            "inputs_sha256": tally.inputs_sha256,
            "slowest": {"seconds": tally.slowest[0], "case": tally.slowest[1]},
            "most_memory": {"bytes": tally.largest[0], "case": tally.largest[1]},
            "got_past": tally.shares(),
            "kinds": tally.kinds(),
            "failures": [asdict(failure) for failure in tally.failures],
        }
        out.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(1 if tally.failures else 0)


if __name__ == "__main__":
    _prepare_process()
    main()
