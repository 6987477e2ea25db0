import json
import sys

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from benchmarks import speed
from hscodec.errors import HscodecError


def test_a_file_is_resampled_and_repeated_to_length(tmp_path, speech):
    soundfile.write(tmp_path / "clip.wav", speech(16_000, 0.5), 16_000, subtype="FLOAT")
    samples = speed.tiled(tmp_path / "clip.wav", 48_000, 1.2)
    assert samples.shape == (1, 57_600) and samples.dtype == np.float32
    np.testing.assert_array_equal(samples[:, 24_000:48_000], samples[:, :24_000])


def row(codec, encode, decode, **values):
    about = {"codec": codec, "kbps": 12.0, "sample_rate": 48_000, "threads": 1}
    return about | {"encode_times_real_time": encode, "decode_times_real_time": decode} | values


def test_the_report_has_speeds_and_ratios():
    rows = [row("hsc-1", 20.0, 40.0, threads=2), row("opus", 100.0, 400.0, peer=True), row("dac", 0.5, 0.2, peer=True)]
    lines = speed.report(rows, {"info": [0.4, 0.25], "first_sample": [2.0]}).splitlines()
    assert lines[:3] == [
        "hsc-1 at 48 kHz, 12.0 kbit/s, 2 threads:",
        "  encode 20.0 x real time (0.2 of opus, 40 of dac)",
        "  decode 40.0 x real time (0.1 of opus, 200 of dac)",
    ]
    assert lines[3:5] == ["opus at 48 kHz, 12.0 kbit/s, 1 thread:", "  encode 100.0 x real time"]
    assert lines[-1] == "from the start of a process: info 0.25 s, first sample 2.00 s"


def test_a_command_is_timed_until_it_says_something():
    command = [sys.executable, "-c", "import time; print('a', end='', flush=True); time.sleep(0.5); print('b')"]
    assert speed._seconds_to_output(command, skip=1) >= 0.5
    with pytest.raises(HscodecError, match="failed"):
        speed._seconds_to_output([sys.executable, "-c", "print()"], skip=1)


def test_peers_that_are_not_installed_are_left_out(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "encodec", None)
    assert list(speed._neural_peers(("encodec", "opus"))) == []
    assert "encodec is left out" in capsys.readouterr().err


def test_neural_peers_turn_sound_into_codes_and_back():
    pytest.importorskip("einops")
    for peer in speed._neural_peers(("encodec",)):
        sound = np.zeros((1, peer.sample_rate // 5), np.float32)
        measured = speed.measure_peer(peer, sound, repeats=1, threads=1)
        assert measured["seconds"] == 0.2 and measured["decode_times_real_time"] > 0


def test_the_command_measures_and_writes_json(tmp_path, speech):
    pytest.importorskip("av")
    soundfile.write(tmp_path / "clip.wav", speech(16_000, 0.5), 16_000)
    arguments = [str(tmp_path / "clip.wav"), "--codecs", "opus", "--seconds", "1", "--repeats", "2"]
    done = CliRunner().invoke(speed.main, [*arguments, "--out", str(tmp_path / "speed.json")])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("opus at 48 kHz, ")
    content = json.loads((tmp_path / "speed.json").read_text())
    assert content["options"] == {"source": "clip.wav", "sample_rate": 48_000, "seconds": 1.0, "device": "cpu"}
    assert content["provenance"]["cpu"]
    (row,) = content["rows"]
    assert len(row["encode_seconds"]) == len(row["decode_seconds"]) == 2
    assert row["encode_times_real_time"] > 0 and row["decode_times_real_time"] > 0
