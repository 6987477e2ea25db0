import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from benchmarks import speed


def test_a_file_is_resampled_and_repeated_to_length(tmp_path, speech):
    soundfile.write(tmp_path / "clip.wav", speech(16_000, 0.5), 16_000, subtype="FLOAT")
    samples = speed.tiled(tmp_path / "clip.wav", 48_000, 1.2)
    assert samples.shape == (1, 57_600) and samples.dtype == np.float32
    np.testing.assert_array_equal(samples[:, 24_000:48_000], samples[:, :24_000])


def test_the_report_has_speeds_and_ratios():
    rows = [
        {"codec": "hsc-1", "kbps": 12.0, "encode_times_real_time": 20.0, "decode_times_real_time": 40.0},
        {"codec": "opus", "kbps": 24.0, "encode_times_real_time": 100.0, "decode_times_real_time": 400.0},
    ]
    first, second = speed.report(rows).splitlines()
    assert first == (
        "hsc-1 at 12.0 kbit/s: encode 20.0 x real time (0.2000 of opus), decode 40.0 x real time (0.1000 of opus)"
    )
    assert second.startswith("opus at 24.0 kbit/s: encode 100.0 x real time (1.0000 of opus)")


def test_the_command_measures_and_writes_json(tmp_path, speech):
    pytest.importorskip("av")
    soundfile.write(tmp_path / "clip.wav", speech(16_000, 0.5), 16_000)
    arguments = [str(tmp_path / "clip.wav"), "--codecs", "opus", "--seconds", "1", "--repeats", "2"]
    done = CliRunner().invoke(speed.main, [*arguments, "--out", str(tmp_path / "speed.json")])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("opus at ")
    content = json.loads((tmp_path / "speed.json").read_text())
    assert content["options"] == {"source": "clip.wav", "sample_rate": 48_000, "seconds": 1.0, "device": "cpu"}
    assert content["provenance"]["cpu"]
    (row,) = content["rows"]
    assert len(row["encode_seconds"]) == len(row["decode_seconds"]) == 2
    assert row["encode_times_real_time"] > 0 and row["decode_times_real_time"] > 0
