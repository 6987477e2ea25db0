import json
from fractions import Fraction

import pytest

from hscodec.cli.info import describe
from hscodec.container.format import HEADER_PREFIX

MODEL_ID = bytes(range(16))


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder whose manifest names the model MODEL_ID; the model itself is not there."""
    folder = tmp_path / "models"
    folder.mkdir()
    entry = {"name": "known", "file": "known.safetensors", "sha256": (MODEL_ID + bytes(16)).hex()}
    (folder / "manifest.json").write_text(json.dumps({"models": [entry]}))
    monkeypatch.setenv("HSCODEC_MODELS", str(folder))


def test_json_says_everything(run, make_container, models):
    path = make_container(model_id=MODEL_ID, tags=(("title", "one"), ("title", "two")))
    result = run("info", "--json", path)
    assert result.exit_code == 0
    file_bytes = path.stat().st_size
    assert json.loads(result.stdout) == [
        {
            "file": str(path),
            "format_version": "1.5",
            "target_network": "lapped-siren",
            "model_id": MODEL_ID.hex(),
            "model_name": "known",
            "sample_rate_hz": 16_000,
            "num_channels": 2,
            "num_samples": 48_000,
            "declared_num_samples": 48_000,
            "duration_s": 3.0,
            "sample_format": None,
            "quality": 6.5,
            "hop_s": 0.02,
            "bandwidth_hz": 8000.0,
            "network": None,
            "gain": 0.5,
            "num_chunks": 2,
            "file_bytes": file_bytes,
            "bitrate_kbps": pytest.approx(file_bytes * 8 / 3 / 1000),
            "tags": [["title", "one"], ["title", "two"]],
            "index_was_rebuilt": False,
        }
    ]


def test_text_says_the_same(run, make_container, models):
    path = make_container(model_id=MODEL_ID, tags=(("title", "one"),))
    kbps = path.stat().st_size * 8 / 3 / 1000
    result = run("info", path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == str(path)
    rows = dict(line.split(maxsplit=1) for line in lines[1:])
    assert rows == {
        "format": "1.5, lapped-siren",
        "model": f"known (id {MODEL_ID.hex()})",
        "sound": "16000 Hz, 2 channels",
        "samples": "not noted",
        "duration": "3.000 s, 48,000 samples",
        "quality": "6.50",
        "hop": "20 ms",
        "bandwidth": "8000 Hz",
        "gain": "0.5",
        "chunks": "2",
        "size": f"{path.stat().st_size} bytes, {kbps:.2f} kbit/s",
        "tag": "title=one",
    }


def test_a_model_that_is_not_installed_is_no_error(run, make_container):
    result = run("info", make_container(model_id=b"\xff" * 16))
    assert result.exit_code == 0
    assert f"not installed (id {'ff' * 16})" in result.stdout


def test_a_file_may_need_no_model(make_container):
    about = describe(make_container())
    assert about["model_id"] is about["model_name"] is None


def test_another_hop_has_another_bandwidth(make_container):
    about = describe(make_container(hop_seconds=Fraction(1, 25), num_weights=320))
    assert (about["hop_s"], about["bandwidth_hz"]) == (0.04, 4000.0)


def test_an_empty_sound_has_no_bitrate(run, make_container):
    path = make_container(num_samples=0)
    assert describe(path)["bitrate_kbps"] is None
    assert "kbit/s" not in run("info", path).stdout


def test_a_file_cut_short_says_so(run, make_container):
    path = make_container()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 60])
    about = describe(path)
    assert about["index_was_rebuilt"]
    assert about["num_chunks"] == 1
    assert about["num_samples"] < about["declared_num_samples"] == 48_000
    assert "hscodec verify" in run("info", path).stdout


def test_tags_cannot_drive_the_terminal(run, make_container):
    result = run("info", make_container(tags=(("title", "\x1b]0;owned\x07\u202e"),)))
    assert "title=\\x1b]0;owned\\x07\\u202e" in result.stdout


def test_other_files_are_still_printed(run, make_container, tmp_path):
    first, second, missing = make_container("a.hsnd"), make_container("b.hsnd"), tmp_path / "missing.hsnd"
    result = run("info", "--json", first, missing, second)
    assert result.exit_code == 1
    assert [about["file"] for about in json.loads(result.stdout)] == [str(first), str(second)]
    assert result.stderr == f"hscodec: error: {missing}: no such file\n"


def test_standard_input(run, make_container):
    path = make_container()
    result = run("info", "--json", "-", stdin=path.read_bytes())
    assert json.loads(result.stdout) == [{"file": "standard input", **describe(path)}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a .hsnd file: it is empty"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "not a .hsnd file"),
        (b"\x89HSND", "truncated: the file ends inside its header"),
    ],
)
def test_other_files_are_refused(fails, tmp_path, data, message):
    path = tmp_path / "other.hsnd"
    path.write_bytes(data)
    assert fails("info", path) == f"{path}: {message}"


def test_a_newer_format_is_refused(fails, make_container):
    path = make_container()
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    assert HEADER_PREFIX.unpack_from(data)[1] == 2
    assert fails("info", path).startswith(f"{path}: made by a newer version: it has format 2.5")
