import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from benchmarks import fuzz, fuzz_case, fuzz_mutations, tiny
from benchmarks.fuzz_layout import parse
from hscodec.codec.symbols import LayeredReader, open_symbols
from hscodec.coding import layered, payload
from hscodec.coding.order import Order
from hscodec.coding.rotations import SILENT
from hscodec.container import ChunkOrder, ContainerReader
from hscodec.container import format as fmt
from hscodec.errors import FormatError

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_atheris.py"


@pytest.fixture(autouse=True)
def models(monkeypatch):
    """The fuzzer says where models are; let that be forgotten again."""
    monkeypatch.setenv("HSCODEC_MODELS", os.environ.get("HSCODEC_MODELS", ""))


@pytest.fixture
def model(tmp_path):
    return tiny.make_model(tmp_path)


@pytest.fixture
def corpus(model):
    return fuzz_mutations.Corpus(tiny.valid_files(model), model)


def run(*arguments):
    return CliRunner().invoke(fuzz.main, [str(argument) for argument in arguments])


def test_300_cases_run_clean_and_get_everywhere(tmp_path):
    done = run("--cases", 300, "--seed", 1, "--out", tmp_path / "fuzz.json")
    assert done.exit_code == 0, done.output
    assert "0 failed" in done.output
    written = json.loads((tmp_path / "fuzz.json").read_text())
    assert written["failures"] == []
    assert written["provenance"]["cpu"]
    assert set(written["kinds"]) == set(fuzz_mutations.BY_BYTES) | set(fuzz_mutations.BY_PARTS)
    assert sum(row["cases"] for row in written["kinds"].values()) == 300
    reached = {stage for row in written["kinds"].values() for stage in row["reached"]}
    assert reached == {stage.name.lower() for stage in fuzz_case.Stage}
    shares = list(written["got_past"].values())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.6 and shares[3] > 0.4


def test_a_case_depends_on_seed_and_number_only(tmp_path, model):
    whole = fuzz.Fuzzer(tmp_path, seed=3).run(range(30))
    parts = fuzz.Fuzzer(tmp_path, seed=3).run(range(20))
    parts.add(fuzz.Fuzzer(tmp_path, seed=3).run(range(20, 30)))
    assert whole.inputs_sha256 == parts.inputs_sha256
    assert whole.reached == parts.reached
    assert whole.inputs_sha256 != fuzz.Fuzzer(tmp_path, seed=4).run(range(30)).inputs_sha256


@pytest.fixture
def planted(tmp_path, model, monkeypatch):
    """Plant a bug that valid files do not show: values that are not theirs."""
    original = payload.from_runs
    known = set()

    def note(runs, values, num_symbols):
        known.add(values.tobytes())
        return original(runs, values, num_symbols)

    def fail(runs, values, num_symbols):
        if values.tobytes() not in known:
            raise ValueError("planted")
        return original(runs, values, num_symbols)

    monkeypatch.setattr(payload, "from_runs", note)
    fuzz.Fuzzer(tmp_path, seed=0)
    monkeypatch.setattr(payload, "from_runs", fail)


def test_a_planted_bug_is_found_and_its_cases_are_kept(tmp_path, planted):
    done = run("--first", 200, "--cases", 150, "--keep", tmp_path / "kept", "--out", tmp_path / "fuzz.json")
    assert done.exit_code == 1
    failures = json.loads((tmp_path / "fuzz.json").read_text())["failures"]
    assert {failure["what"] for failure in failures} == {"ValueError: planted"}
    assert f"{len(failures)} failed" in done.output
    kept = {f"0-{failure['number']}-{failure['kind']}.hsnd" for failure in failures}
    assert {path.name for path in (tmp_path / "kept").iterdir()} == kept
    again = run("--first", failures[0]["number"], "--cases", 1)
    assert again.exit_code == 1 and "1 failed" in again.output


@pytest.mark.parametrize(("limit", "value", "unit"), [("MAX_SECONDS", 0, "s"), ("MAX_BYTES", -1, "MB")])
def test_limits_are_held(limit, value, unit, monkeypatch):
    monkeypatch.setattr(fuzz, limit, value)
    done = run("--cases", 3)
    assert done.exit_code == 1
    assert "3 failed" in done.output
    assert f" {unit}\n" in done.output


def test_readers_that_disagree_are_a_failure(tmp_path, model, monkeypatch):
    checker = fuzz_case.Checker(model, tmp_path / "case.hsnd")
    whole = tiny.valid_files(model)["chunks"]
    assert checker.check(whole).stage is fuzz_case.Stage.WHOLE
    monkeypatch.setattr(fuzz_case, "iter_chunks", lambda source: iter([source.read()][:0]))
    with pytest.raises(AssertionError, match="not its"):
        checker.check(whole)


def test_valid_files_use_all_orders_and_join_again(corpus):
    orders = set()
    for data in corpus.files.values():
        assert parse(data).join() == data
        container = ContainerReader(io.BytesIO(data))
        orders |= {container.read_chunk(index).header.order for index in range(len(container.chunks))}
    assert orders == set(ChunkOrder)


def test_valid_files_have_rotations_with_and_without_a_rest(corpus):
    seen = set()
    for data in corpus.files.values():
        container = ContainerReader(io.BytesIO(data))
        symbols = open_symbols(container, corpus.model)
        if isinstance(symbols, LayeredReader):
            continue
        for index in range(len(container.chunks)):
            order = container.read_chunk(index).header.order
            seen |= {(order, reduction == SILENT) for reduction in symbols.read(index).rotations[:, 1].tolist()}
    assert seen >= {
        (order, silent) for order in (ChunkOrder.BY_CLASS, ChunkOrder.BY_CONTEXT) for silent in (False, True)
    }


def test_valid_files_have_bandwidths(corpus):
    seen = set()
    for data in corpus.files.values():
        container = ContainerReader(io.BytesIO(data))
        headers = [container.read_chunk(index).header for index in range(len(container.chunks))]
        seen |= {(header.order, header.has_rotations) for header in headers if header.has_bandwidth}
    assert seen >= {(ChunkOrder.BY_CLASS, False), (ChunkOrder.BY_CONTEXT, False), (ChunkOrder.BY_CONTEXT, True)}


def test_mutations_of_rotations_are_read_or_refused(corpus, monkeypatch):
    outcomes = Counter()

    def counting(*arguments, **options):
        try:
            symbols = payload.unpack(*arguments, **options)
        except FormatError as error:
            outcomes[str(error)] += 1
            raise
        outcomes["read with them" if len(symbols.rotations) else "read without"] += 1
        return symbols

    monkeypatch.setattr(fuzz_mutations, "unpack", counting)
    for kind in ("rotations", "symbols"):
        for number in range(60):
            for name in ("rotated", "context-rotated-five", "stereo", "mono"):
                fuzz_mutations.BY_PARTS[kind](Random(number), parse(corpus.files[name]), corpus)
    expected = {
        "read with them",
        "read without",
        "payload announces rotations and has none",
        "payload does not end with its last symbol",
        "payload ends within its rotations",
        "payload: runs of zeros do not fit the number of symbols",
    }
    assert min(outcomes[what] for what in expected) >= 3


def test_mutations_of_couplings_are_read_or_refused(corpus, monkeypatch):
    outcomes = Counter()

    def counting(content, order, *arguments, **options):
        try:
            symbols = payload.unpack(content, order, *arguments, **options)
        except FormatError as error:
            outcomes[re.sub(r"\d+", "N", str(error))] += 1
            raise
        outcomes["read", order] += 1
        return symbols

    monkeypatch.setattr(fuzz_mutations, "unpack", counting)
    for kind in ("couplings", "symbols"):
        for number in range(80):
            for name in ("pair", "pair-five", "context-stereo"):
                fuzz_mutations.BY_PARTS[kind](Random(number), parse(corpus.files[name]), corpus)
    expected = {
        ("read", Order.BY_PAIR),
        ("read", Order.BY_CONTEXT),
        "payload announces couplings and has none",
        "payload ends within its couplings",
        "payload does not end with its last symbol",
        "channel N is coupled, and nothing is stored of it",
        "a coupling has N parts of loudness in N",
    }
    assert min(outcomes[what] for what in expected) >= 3, outcomes


def test_mutations_get_everywhere_in_order_by_context(corpus, monkeypatch):
    outcomes = Counter()

    def counting(content, order, *arguments, **options):
        try:
            symbols = payload.unpack(content, order, *arguments, **options)
        except FormatError as error:
            outcomes[order, str(error)] += 1
            raise
        outcomes[order, "read"] += 1
        return symbols

    monkeypatch.setattr(fuzz_mutations, "unpack", counting)
    for kind in ("content", "symbols"):
        for number in range(150):
            for name in ("context", "context-stereo"):
                fuzz_mutations.BY_PARTS[kind](Random(number), parse(corpus.files[name]), corpus)
    by_context = {what: count for (order, what), count in outcomes.items() if order is Order.BY_CONTEXT}
    assert set(by_context) == {
        "read",
        "payload is empty, or ends with a zero byte",
        "payload does not end with its last symbol",
        "payload writes out a magnitude that has a token",
        "payload holds a symbol beyond 32 bits",
    }
    assert min(by_context.values()) >= 3


def test_mutations_of_groups_are_read_or_refused(corpus, monkeypatch):
    outcomes = Counter()
    unpack = layered.unpack

    def counting(*arguments, **options):
        try:
            symbols = unpack(*arguments, **options)
        except FormatError as error:
            outcomes[re.sub("[0-9]+", "N", str(error))] += 1
            raise
        outcomes["read"] += 1
        return symbols

    monkeypatch.setattr(layered, "unpack", counting)
    for kind in ("groups", "content", "frame"):
        for number in range(100):
            for name in ("layered-fmlp", "layered-siren"):
                fuzz_mutations.BY_PARTS[kind](Random(number), parse(corpus.files[name]), corpus)
    expected = {
        "read",
        "symbols of N bits; N to N are possible",
        "a symbol is beyond N bits",
        "a scale is negative or not finite",
        "payload: N symbols in groups are not the N of a segment",
        "payload does not announce the N bytes that its chunk has",
        "payload: bits are set behind the last symbol of a group",
    }
    assert not {what: outcomes[what] for what in expected if outcomes[what] < 2}


@pytest.mark.parametrize("kind", fuzz_mutations.BY_PARTS)
def test_mutations_of_parts_have_checksums_that_hold(corpus, kind):
    for number in range(20):
        for data in corpus.files.values():
            parts = parse(data)
            fuzz_mutations.BY_PARTS[kind](Random(number), parts, corpus)
            header = parts.join()[: fmt.HEADER.size + len(parts.tags) + fmt.CHECKSUM.size]
            assert zlib.crc32(header[:-4]).to_bytes(4, "little") == header[-4:]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs hscodec[fuzz]")
def test_the_coverage_guided_target_runs(tmp_path):
    command = [sys.executable, str(SCRIPT), "-runs=60", "-seed=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "cases ended at: header" in done.stderr
    assert list(tmp_path.iterdir()) == []
