"""What the comparison of the HyperSound family trains: every variant, and one of them with one part left out."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import safe_open

from hscodec.training.config import load_training_config
from hscodec.training.hypersound_config import HyperSoundTrainingConfig

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
KINDS = ("fmlp", "siren")
MODES = ("standard", "shared", "additive", "multiplicative")
ABLATED = "fmlp-standard"
ABLATIONS = ("no-stft-loss", "no-frequency-weighting", "no-augmentation", "hyperfan-start", "plain-start")


@dataclass(frozen=True)
class TrainingRun:
    """One model to train.

    Attributes:
        name: What it is called in tables.
        config: How it is trained.
    """

    name: str
    config: HyperSoundTrainingConfig

    def model_path(self, folder: Path) -> Path:
        """Return where the model file lies once it is trained."""
        return folder / f"{self.name}.safetensors"


def planned_runs(*, minutes: float, corpus: Path) -> list[TrainingRun]:
    """Return all runs: eight variants, then the ablations of one of them, with one budget and one corpus."""
    runs = [_run(f"{kind}-{mode}", minutes, corpus) for kind in KINDS for mode in MODES]
    complete = _run(ABLATED, minutes, corpus)
    return runs + [TrainingRun(f"{ABLATED}-{name}", _ablated(complete.config, name)) for name in ABLATIONS]


def train(run: TrainingRun, folder: Path) -> Path:
    """Train a model unless that is done, going on where an earlier call was cut off; return its file.

    Raises:
        HscodecError: The corpus is missing, or the folder cannot be written.
    """
    import torch

    from hscodec.training.export import export_checkpoint
    from hscodec.training.families import make_trainer

    path = run.model_path(folder)
    if not path.exists():
        trainer = make_trainer(run.config, folder / run.name, device=torch.device("cpu"))
        trainer.run()
        export_checkpoint(trainer.checkpoint_path, path)
    return path


def training_records(folder: Path) -> dict[str, dict[str, float]]:
    """Return minutes and steps of each model that is there, as its file says."""
    records = {}
    for run in planned_runs(minutes=1, corpus=Path()):
        if (path := run.model_path(folder)).exists():
            with safe_open(path, "numpy") as file:
                record = json.loads(file.metadata()["training"])
            records[run.name] = {"minutes": record["minutes"], "steps": record["steps"]}
    return records


def _run(name: str, minutes: float, corpus: Path) -> TrainingRun:
    config = load_training_config(CONFIGS / f"hypersound-{name}-small.toml")
    assert isinstance(config, HyperSoundTrainingConfig)
    return TrainingRun(
        name,
        replace(
            config,
            name=name,
            data=replace(config.data, corpus=str(corpus)),
            optimizer=replace(config.optimizer, minutes=minutes, steps=0),
        ),
    )


def _ablated(config: HyperSoundTrainingConfig, name: str) -> HyperSoundTrainingConfig:
    if name == "no-stft-loss":
        return replace(config, loss=replace(config.loss, spectral=0.0))
    if name == "no-frequency-weighting":
        return replace(config, loss=replace(config.loss, frequency_power=0.0))
    if name == "no-augmentation":
        return replace(config, augment=replace(config.augment, phase_share=0.0, dequantize=False))
    return replace(config, start="hyperfan" if name == "hyperfan-start" else "plain")
