import json

from click.testing import CliRunner

from benchmarks import roundtrip


def test_round_trip_of_a_folder(speech, tiny_model_path, tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "speech.flac").write_bytes(speech.read_bytes())
    out = tmp_path / "roundtrip.json"
    options = [str(folder), "--qualities", "3,7", "--model", str(tiny_model_path), "--out", str(out)]
    outcome = CliRunner().invoke(roundtrip.main, options)
    assert outcome.exit_code == 0, outcome.output
    written = json.loads(out.read_text())
    assert written["failed"] == 0
    assert [row["quality"] for row in written["rows"]] == [3, 7]
    assert all(row["ok"] and row["file_bytes"] > 0 for row in written["rows"])


def test_a_loss_is_a_failure(speech, tiny_model_path, tmp_path, monkeypatch):
    monkeypatch.setattr(roundtrip, "check", lambda *_: {"quality": 5.0, "file_bytes": 1, "seconds": 1.0, "ok": False})
    options = [str(speech.parent), "--qualities", "5", "--model", str(tiny_model_path), "--out", str(tmp_path / "o")]
    assert CliRunner().invoke(roundtrip.main, options).exit_code == 1
