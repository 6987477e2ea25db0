import json

import soundfile
from click.testing import CliRunner

from benchmarks import sampling


def test_the_command_measures_and_writes_json(tmp_path, speech):
    soundfile.write(tmp_path / "clip.wav", speech(16_000, 0.5), 16_000)
    arguments = [str(tmp_path / "clip.wav"), "--minutes", "0.02", "--rate", "16000"]
    done = CliRunner().invoke(sampling.main, [*arguments, "--out", str(tmp_path / "sampling.json")])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("0.02 min, 0.0 million times: in order ")
    (row,) = json.loads((tmp_path / "sampling.json").read_text())["rows"]
    assert row["num_times"] == 19_200
    assert row["largest_difference"] < 3e-6
