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
