import json

from click.testing import CliRunner

from benchmarks import roundtrip


def run(folder, tiny_model_path, out):
    options = [str(folder), "--qualities", "3,7", "--model", str(tiny_model_path), "--out", str(out)]
    return CliRunner().invoke(roundtrip.main, options)


def test_round_trip_of_a_folder(corpus, tiny_model_path, tmp_path):
    out = tmp_path / "roundtrip.json"
    outcome = run(corpus[1], tiny_model_path, out)
    assert outcome.exit_code == 0, outcome.output
    written = json.loads(out.read_text())
    assert (written["files"], written["failed"]) == (1, 0)
    assert [row["quality"] for row in written["rows"]] == [3, 7]
    assert all(row["ok"] and row["file_bytes"] > 0 for row in written["rows"])


def test_a_loss_is_a_failure(corpus, tiny_model_path, tmp_path, monkeypatch):
    monkeypatch.setattr(roundtrip, "check", lambda *_: {"quality": 3.0, "file_bytes": 1, "seconds": 1.0, "ok": False})
    assert run(corpus[0], tiny_model_path, tmp_path / "out.json").exit_code == 1
