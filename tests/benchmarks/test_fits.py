import json

import pytest
import soundfile
from click.testing import CliRunner

from benchmarks import fits


@pytest.mark.parametrize(("trial", "only"), [("bits", "8 bits"), ("shapes", "4 x"), ("learning", "omega_0 250")])
def test_the_command_fits_and_reports(tmp_path, speech, trial, only):
    soundfile.write(tmp_path / "clip.wav", speech(8_000, 0.1), 8_000)
    arguments = [str(tmp_path / "clip.wav"), "--trial", trial, "--start", "0", "--seconds", "0.1", "--steps", "1"]
    done = CliRunner().invoke(
        fits.main,
        [*arguments, "--only", only, "--out", str(tmp_path / "fits.json")],
    )
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "fits.json").read_text())
    assert content["options"]["trial"] == trial
    names = [row["network"] for row in content["rows"]]
    assert names
    assert all(row["bytes"] > 1_000 and row["steps"] == 1 for row in content["rows"])
    assert all(name in done.output for name in names)
