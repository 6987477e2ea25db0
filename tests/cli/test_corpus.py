import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.errors import CorpusError
from hscodec.training import corpus_fetch
from hscodec.training.corpus_prepare import load_manifest

CONFIG = """
[[source]]
name = "voices"
registry = "folder"
path = "/nowhere"
glob = ["*.wav"]
kind = "speech"
role = "train"
licence = "CC0"

[[source]]
name = "package"
registry = "debian"
package = "some-sounds"
glob = ["*.wav"]
kind = "effects"
role = "train"
licence = "CC0"
"""


@pytest.fixture
def config_path(tmp_path) -> Path:
    path = tmp_path / "corpus.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Two seconds of a prepared corpus."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    samples = np.random.default_rng(1).integers(-8000, 8000, 96_000).astype(np.int16)
    np.save(folder / "voices.npy", samples)
    entry = {"name": "voices", "kind": "speech", "role": "train", "num_samples": 96_000, "clips": [[0, 96_000, 8000]]}
    manifest = {"version": 1, "sample_rate": 48_000, "shards": [entry], "eval": []}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def voices(tmp_path) -> Path:
    folder = tmp_path / "voices"
    folder.mkdir()
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 36_000)
    soundfile.write(folder / "one.wav", noise, 16_000)
    return folder


def test_prepare_writes_shards_and_sums_them_up(run, config_path, voices, tmp_path):
    out = tmp_path / "out"
    result = run("corpus", "prepare", config_path, "--only", "voices", "--folder", f"voices={voices}", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == f"{out}: 0.00 h in 1 training shard, 0 evaluation clips"
    (shard,) = load_manifest(out)["shards"]
    assert shard["name"] == "voices"


def test_quiet_prints_warnings_only(run, config_path, voices, tmp_path):
    arguments = ("--only", "voices", "--out", tmp_path / "out", "-q")
    result = run("corpus", "prepare", config_path, "--folder", f"voices={voices}", *arguments)
    assert (result.exit_code, result.output) == (0, "")
    result = run("corpus", "prepare", config_path, *arguments)
    assert result.exit_code == 0
    assert result.stderr.startswith("hscodec: warning: voices: no folder")


def test_prepare_names_what_was_not_fetched(run, config_path, tmp_path):
    options = ("--only", "package", "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    result = run("corpus", "prepare", config_path, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("hscodec: error: package: ")


def test_fetch_takes_the_cache_and_the_sources(run, config_path, tmp_path, monkeypatch):
    unpacked = []
    monkeypatch.setattr(corpus_fetch, "_unpack", lambda package, cache: unpacked.append((package, cache)))
    result = run("corpus", "fetch", config_path, "--cache", tmp_path / "cache")
    assert result.exit_code == 0, result.output
    assert unpacked == [("some-sounds", tmp_path / "cache")]
    unpacked.clear()
    assert run("corpus", "fetch", "--only", "voices", config_path, "--cache", tmp_path / "cache").exit_code == 0
    assert unpacked == []


def test_fetch_says_what_failed(fails, config_path, tmp_path, monkeypatch):
    def unpack(package: str, cache: Path) -> None:
        raise CorpusError("apt-get is not installed")

    monkeypatch.setattr(corpus_fetch, "_unpack", unpack)
    assert fails("corpus", "fetch", config_path, "--cache", tmp_path / "cache") == "apt-get is not installed"


@pytest.mark.parametrize("command", ["fetch", "prepare"])
def test_an_unknown_source_is_named(fails, config_path, tmp_path, command):
    options = ("--cache", tmp_path / "cache")
    options += ("--out", tmp_path / "out") if command == "prepare" else ()
    assert fails("corpus", command, config_path, "--only", "nothing", *options) == "no source is named 'nothing'"


@pytest.mark.parametrize("codec", ["flac", "opus"])
def test_what_is_packed_can_be_unpacked(run, corpus, tmp_path, codec):
    parts, out = tmp_path / "parts", tmp_path / "out"
    result = run("corpus", "pack", corpus, "--out", parts, "--part-mb", 1, "--codec", codec)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    mib = sum(path.stat().st_size for path in parts.iterdir()) / 2**20
    assert result.stderr == f"{parts}: 2 parts, {mib:.1f} MiB; 0.00 h in 1 training shard\n"
    result = run("corpus", "unpack", parts, "--out", out)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{out}: 0.00 h in 1 training shard\n"
    samples = np.load(out / "voices.npy")
    assert samples.shape == (96_000,)
    if codec == "flac":
        np.testing.assert_array_equal(samples, np.load(corpus / "voices.npy"))


def test_parts_and_corpora_are_replaced_with_force_only(run, fails, corpus, tmp_path):
    parts, out = tmp_path / "parts", tmp_path / "out"
    assert (run("corpus", "pack", corpus, "--out", parts, "-q").output) == ""
    assert fails("corpus", "pack", corpus, "--out", parts).endswith("use -f to overwrite")
    assert run("corpus", "pack", corpus, "--out", parts, "-f").exit_code == 0
    assert (run("corpus", "unpack", parts, "--out", out, "-q").output) == ""
    assert run("corpus", "unpack", parts, "--out", out).exit_code == 0
    (out / "manifest.json").write_text("{}")
    assert fails("corpus", "unpack", parts, "--out", out).endswith("use -f to overwrite")
    assert run("corpus", "unpack", parts, "--out", out, "--force").exit_code == 0
    assert load_manifest(out)["shards"] == load_manifest(corpus)["shards"]


def test_pack_and_unpack_say_what_is_missing(fails, corpus, tmp_path):
    assert "manifest.json: not a corpus manifest" in fails("corpus", "pack", tmp_path, "--out", tmp_path / "parts")
    (corpus / "voices.npy").unlink()
    assert "voices.npy: cannot be read" in fails("corpus", "pack", corpus, "--out", tmp_path / "parts")
    message = fails("corpus", "unpack", tmp_path / "parts", "--out", tmp_path / "out")
    assert message.startswith(f"{tmp_path / 'parts' / 'part-000.zip'} is missing")


@pytest.mark.parametrize("size", ["0", "1025", "half"])
def test_impossible_sizes_of_parts_are_wrong_usage(run, corpus, tmp_path, size):
    assert run("corpus", "pack", corpus, "--out", tmp_path / "parts", "--part-mb", size).exit_code == 2
