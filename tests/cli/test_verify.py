import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.container import ContainerReader


@pytest.fixture
def long_path(run, tiny_model_path, tmp_path) -> Path:
    """Twelve seconds of noise at 8 kHz: two chunks."""
    sound, path = tmp_path / "long.wav", tmp_path / "long.hsnd"
    soundfile.write(sound, np.random.default_rng(1).uniform(-0.5, 0.5, 96_000), 8_000)
    result = run("encode", "-q", "--model", tiny_model_path, "--device", "cpu", sound, path)
    assert result.exit_code == 0, result.output
    return path


def flip_in_chunk(path: Path, index: int) -> None:
    with path.open("rb") as file:
        entry = ContainerReader(file).chunks[index]
    data = bytearray(path.read_bytes())
    data[entry.stop_offset - 8] ^= 1
    path.write_bytes(data)


def test_a_whole_file_is_ok(run, long_path):
    result = run("verify", long_path)
    assert (result.exit_code, result.stdout) == (0, f"{long_path}: OK (2 chunks)\n")


def test_damage_is_located_in_seconds(run, long_path):
    flip_in_chunk(long_path, 0)
    result = run("verify", long_path)
    assert result.exit_code == 1
    first, *rest = result.stdout.splitlines()
    assert first.startswith(f"{long_path}: FAILED (")
    assert any(line.startswith("  [0.00 s, 5.00 s): ") for line in rest), rest


def test_a_file_cut_short_fails(run, long_path):
    long_path.write_bytes(long_path.read_bytes()[:-300])
    result = run("verify", long_path)
    assert result.exit_code == 1
    assert "cut short or damaged" in result.stdout
    assert "12.00 s): the end is missing" in result.stdout


def test_every_file_is_checked(run, long_path, tone_path, tmp_path):
    missing = tmp_path / "missing.hsnd"
    result = run("verify", tone_path, missing, long_path)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{tone_path}: FAILED: not a .hsnd file",
        f"{missing}: FAILED: no such file",
        f"{long_path}: OK (2 chunks)",
    ]


def test_a_model_that_is_not_installed_is_a_failure(run, make_container):
    result = run("verify", make_container(model_id=b"\xff" * 16))
    assert result.exit_code == 1
    assert f"the model with id {'ff' * 16}, which is not installed" in result.stdout


def test_standard_input(run, long_path):
    result = run("verify", "-", stdin=long_path.read_bytes())
    assert (result.exit_code, result.stdout) == (0, "standard input: OK (2 chunks)\n")


def test_torch_is_not_loaded(long_path):
    code = (
        "import json, sys\n"
        "from hscodec.cli.main import main\n"
        "try: main(['verify', sys.argv[1]])\n"
        "except SystemExit as error: assert error.code == 0\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, str(long_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert {"torch", "rich", "soundfile"} & set(json.loads(result.stderr)) == set()
