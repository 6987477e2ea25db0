"""`train` and `export` hand on what the user said; what they call is tested where it lives."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hscodec.training import export, trainer
from hscodec.training.loop import Progress

CONFIG = """
name = "small"
[optimizer]
steps = 2
"""


class FakeTrainer:
    made: "list[FakeTrainer]"

    def __init__(self, config, folder: Path, *, device: torch.device) -> None:
        self.config, self.folder, self.device = config, folder, device
        self.num_threads = torch.get_num_threads()
        self.made.append(self)

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    def start_from(self, *paths: Path) -> None:
        self.inits = paths

    def run(self, report, *, finish: bool) -> None:
        self.report, self.finish = report, finish
        if report:
            report(Progress(1, 0.5, 0.5, {"loss": 1.25}))

    def progress(self) -> SimpleNamespace:
        return SimpleNamespace(step=2)


@pytest.fixture
def fake_trainer(monkeypatch):
    monkeypatch.setattr(FakeTrainer, "made", [], raising=False)
    monkeypatch.setattr(trainer, "Trainer", FakeTrainer)
    num_threads = torch.get_num_threads()
    yield FakeTrainer
    torch.set_num_threads(num_threads)


@pytest.fixture
def config_path(tmp_path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(CONFIG)
    return path


def test_train_runs_in_a_folder_named_after_the_configuration(run, fake_trainer, config_path):
    result = run("train", config_path, "--device", "cpu")
    assert result.exit_code == 0, result.output
    (made,) = fake_trainer.made
    assert (made.config.name, made.folder, made.device) == ("small", Path("runs/small"), torch.device("cpu"))
    assert result.stdout == ""
    step, done = result.stderr.splitlines()
    assert step.split() == ["step", "1", "0.5", "min", "50.0", "%", "loss", "1.250"]
    assert done == f"{Path('runs/small/checkpoint.pt')}: step 2"


def test_train_starts_from_several_checkpoints(run, fake_trainer, config_path):
    options = ("--init", "a.pt", "--init", "b.pt", "--finish", "--seed", 7, "--device", "cpu")
    assert run("train", "-q", *options, config_path).exit_code == 0
    (made,) = fake_trainer.made
    assert (made.inits, made.finish, made.config.seed) == ((Path("a.pt"), Path("b.pt")), True, 7)


def test_train_options(run, fake_trainer, config_path, tmp_path):
    result = run("train", "-q", "--out", tmp_path / "run", "--threads", 1, "--device", "cpu", config_path)
    assert (result.exit_code, result.output) == (0, "")
    (made,) = fake_trainer.made
    assert (made.folder, made.num_threads, made.report) == (tmp_path / "run", 1, None)


def test_train_names_an_unknown_key(fails, config_path):
    config_path.write_text(CONFIG + "stepps = 3\n")
    assert "unknown key 'stepps'" in fails("train", config_path)


def test_train_names_a_missing_configuration(fails, tmp_path):
    assert fails("train", tmp_path / "missing.toml") == f"{tmp_path / 'missing.toml'}: No such file or directory"


def test_export_prints_the_manifest_entry(run, monkeypatch, tmp_path):
    def export_checkpoint(checkpoint: Path, target: Path):
        target.write_bytes(checkpoint.read_bytes())
        return export.ManifestEntry(name="small", file=target.name, sha256="00" * 32)

    monkeypatch.setattr(export, "export_checkpoint", export_checkpoint)
    checkpoint, target = tmp_path / "checkpoint.pt", tmp_path / "small.safetensors"
    checkpoint.write_bytes(b"state")
    result = run("export", checkpoint, target)
    assert result.exit_code == 0, result.output
    entry = json.loads(result.stdout)
    assert (entry["name"], entry["file"], entry["sha256"]) == ("small", "small.safetensors", "00" * 32)
    assert run("export", checkpoint, target).stderr == f"hscodec: error: {target} exists; use -f to overwrite\n"
    assert run("export", "-f", checkpoint, target).exit_code == 0


def test_export_names_what_is_no_checkpoint(fails, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    assert fails("export", checkpoint, tmp_path / "a.safetensors") == f"{checkpoint}: no such file"
    checkpoint.write_bytes(b"not a checkpoint")
    line = fails("export", checkpoint, tmp_path / "a.safetensors")
    assert line.startswith(f"{checkpoint} is not a readable checkpoint")
    assert not (tmp_path / "a.safetensors").exists()
