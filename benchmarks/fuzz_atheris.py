"""The cases of `fuzz.py`, chosen by coverage: libFuzzer keeps what reaches new code, through atheris.

Run `python benchmarks/fuzz_atheris.py -runs=20000`. It needs `pip install hscodec[fuzz]`. All options are libFuzzer's;
folders are corpora, the first of which grows, and a file is checked once. A failing input is saved as `crash-*`.

Checksums, lengths and digests are put right after each mutation, or coverage would end at the first of them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

atheris: Any = import_module("atheris")  # has no types, and wheels for some systems only

with atheris.instrument_imports(include=["hscodec.container", "hscodec.coding", "hscodec.codec.symbols"]):
    from benchmarks import fuzz_frames as frames
    from benchmarks import tiny
    from benchmarks.fuzz_case import MAX_BYTES, MAX_SECONDS, Checker, Memory, Stage, use_model
    from benchmarks.fuzz_layout import CHUNK_FIELDS, FileParts, parse
    from benchmarks.fuzz_mutations import BY_PARTS, Corpus, fix_digest, split_payload

DEFAULTS = ("-max_len=8192", "-timeout=20", "-rss_limit_mb=0", "-len_control=0", "-mutate_depth=2")
"""atheris itself loses some 30 kB a case, so it is not the whole process whose memory is limited."""

_FOLDER_VARIABLE = "HSCODEC_FUZZ_FOLDER"
_STAGES_FILE = "stages.json"
_RAW_SHARE = 0.05
_STRUCTURED_SHARE = 0.4


class Target:
    """What libFuzzer calls.

    Args:
        folder: For the model and the file that is being checked.
    """

    def __init__(self, folder: Path) -> None:
        use_model(folder)
        model = tiny.make_model(folder)
        self.corpus = Corpus(tiny.valid_files(model), model)
        self._checker = Checker(model, folder / "case.hsnd")
        self._stages: Counter[str] = Counter()
        self._stages_path = folder / _STAGES_FILE

    def check(self, data: bytes) -> None:
        """Raise whatever is no HscodecError, TimeoutError for what takes long twice, and MemoryError for a bomb."""
        # Twice, because the machine may have been busy.
        if self._seconds(data) > MAX_SECONDS and (seconds := self._seconds(data)) > MAX_SECONDS:
            raise TimeoutError(f"{seconds:.1f} s")

    def _seconds(self, data: bytes) -> float:
        memory = Memory()
        start = time.perf_counter()
        outcome = self._checker.check(data)
        seconds = time.perf_counter() - start
        if memory.growth_bytes() > MAX_BYTES:
            raise MemoryError(f"{memory.growth_bytes() / 1e6:.0f} MB")
        self._stages[outcome.stage.name.lower()] += 1
        if self._stages.total() % 20 == 0:
            self._stages_path.write_text(json.dumps(self._stages))
        return seconds

    def mutate(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Return a mutation of at most `max_size` bytes, mostly with everything put right that a writer would."""
        random = Random(seed)
        try:
            parts = parse(data)
        except ValueError:
            return atheris.Mutate(data, max_size)
        if random.random() < _RAW_SHARE:
            return atheris.Mutate(data, max_size)
        if random.random() < _STRUCTURED_SHARE:
            BY_PARTS[random.choice(list(BY_PARTS))](random, parts, self.corpus)
        else:
            self._mutate_part(random, parts)
        changed = parts.join()
        return changed if len(changed) <= max_size else data[:max_size]

    def _mutate_part(self, random: Random, parts: FileParts) -> None:
        """Let libFuzzer change one record, or what a frame holds."""
        chunk = random.choice(parts.chunks) if parts.chunks else None
        if chunk is None or random.random() < 0.15:
            record = random.choice((parts.fixed, parts.tags))
            size = len(record) if record is parts.fixed else 2 * len(record) + 40
            changed = atheris.Mutate(bytes(record), size)
            record[:] = changed.ljust(len(record), b"\0") if record is parts.fixed else changed
            return
        what = random.choice(("head", "payload", "content", "content", "content"))
        if what == "head":
            size = len(chunk.head)
            chunk.head[:] = atheris.Mutate(bytes(chunk.head), size).ljust(size, b"\0")
            chunk.fix_length = random.random() < 0.8
            return
        in_front, symbols = split_payload(parts, chunk)
        content = frames.decompress(symbols) if what == "content" else None
        if content is None:
            chunk.payload = atheris.Mutate(chunk.payload, len(chunk.payload) + 100)
        else:
            chunk.payload = in_front + frames.compress(atheris.Mutate(content, len(content) + 200))
        if random.random() < 0.3:
            chunk.head[CHUNK_FIELDS["order"][0]] = random.randrange(3)
        fix_digest(parts, chunk, self.corpus.model)


def fuzz(folder: Path, arguments: list[str]) -> None:
    """Run libFuzzer, which ends this process."""
    torch.set_num_threads(1)
    target = Target(folder)
    seeds = folder / "seeds"
    seeds.mkdir()
    for name, data in target.corpus.files.items():
        (seeds / f"{name}.hsnd").write_bytes(data)
    is_replay = any(Path(argument).is_file() for argument in arguments)
    folders = [] if is_replay else [str(seeds)]
    atheris.Setup([sys.argv[0], *DEFAULTS, *arguments, *folders], target.check, custom_mutator=target.mutate)
    atheris.Fuzz()


def main() -> None:
    """Fuzz in a process of its own, and tidy up behind it; print how far its cases got."""
    if _FOLDER_VARIABLE in os.environ:
        fuzz(Path(os.environ[_FOLDER_VARIABLE]), sys.argv[1:])
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        command = [sys.executable, __file__, *sys.argv[1:]]
        status = subprocess.call(command, env={**os.environ, _FOLDER_VARIABLE: folder})
        stages_path = Path(folder, _STAGES_FILE)
        if stages_path.exists():
            stages = Counter(json.loads(stages_path.read_text()))
            shares = (
                f"{stage.name.lower()} {100 * stages[stage.name.lower()] / stages.total():.1f} %" for stage in Stage
            )
            print(f"cases ended at: {', '.join(shares)}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
