import json

import pytest
import soundfile
from click.testing import CliRunner

from benchmarks import fits


@pytest.mark.parametrize("trial", fits.TRIALS)
def test_the_command_fits_and_reports(tmp_path, speech, trial):
    soundfile.write(tmp_path / "clip.wav", speech(8_000, 0.1), 8_000)
    arguments = [str(tmp_path / "clip.wav"), "--trial", trial, "--start", "0", "--seconds", "0.1", "--steps", "1"]
    done = CliRunner().invoke(
        fits.main,
        [*arguments, "--only", "4 x" if trial == "shapes" else "8 bits", "--out", str(tmp_path / "fits.json")],
    )
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "fits.json").read_text())
    assert content["options"]["trial"] == trial
    names = [row["network"] for row in content["rows"]]
    assert any(name.startswith("fmlp") for name in names) and any(name.startswith("siren") for name in names)
    assert all(row["bytes"] > 1_000 and row["steps"] == 1 for row in content["rows"])
    assert all(name in done.output for name in names)
