"""Which trainer a configuration needs."""

from pathlib import Path
from typing import TYPE_CHECKING

from hscodec.training.hypersound_config import HyperSoundTrainingConfig

if TYPE_CHECKING:
    import torch

    from hscodec.training.config import TrainingConfig
    from hscodec.training.hypersound_trainer import HyperSoundTrainer
    from hscodec.training.trainer import Trainer


def make_trainer(
    config: "TrainingConfig | HyperSoundTrainingConfig", folder: Path, *, device: "torch.device"
) -> "Trainer | HyperSoundTrainer":
    """Return the trainer of a run.

    Args:
        config: The run.
        folder: Where the checkpoint and the log go.
        device: A torch device.
    """
    # Imported here because each family brings much that the other does not need.
    if isinstance(config, HyperSoundTrainingConfig):
        from hscodec.training.hypersound_trainer import HyperSoundTrainer

        return HyperSoundTrainer(config, folder, device=device)
    from hscodec.training.trainer import Trainer

    return Trainer(config, folder, device=device)
