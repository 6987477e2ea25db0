"""Training the HyperSound family: from a segment to the weights of a network, and to what that network renders."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hscodec.hypernet.hypersound import HyperSound
from hscodec.inr.weight_modes import WeightStart
from hscodec.training.hypersound_config import HyperSoundTrainingConfig
from hscodec.training.hypersound_data import segment_sampler
from hscodec.training.hypersound_loss import HyperSoundLoss
from hscodec.training.loop import Outcome, TrainingLoop
from hscodec.training.schedule import one_cycle


class HyperSoundTrainer(TrainingLoop[HyperSoundTrainingConfig, HyperSound, np.ndarray]):
    """Trains one model of the HyperSound family.

    Args:
        config: The run.
        folder: Where the checkpoint and the log go.
        device: A torch device.
    """

    def __init__(self, config: HyperSoundTrainingConfig, folder: Path, *, device: torch.device) -> None:
        super().__init__(config, folder, device=device)
        shape = config.hypernetwork
        self.loss = HyperSoundLoss(config.loss, shape.sample_rate).to(device)
        self.coordinates = segment_grid(shape.segment_samples).to(device)

    def _make_network(self) -> HyperSound:
        return HyperSound(self.config.hypernetwork, start=WeightStart(self.config.start))

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Let all weights decay but the target network's frequencies: none is better for being lower."""
        frequencies = {id(parameter) for parameter in self.network.mlp.parameters()}
        decaying = [weight for weight in self.network.parameters() if id(weight) not in frequencies]
        groups: list[dict[str, Any]] = [{"params": decaying}]
        if frequencies:
            groups.append({"params": list(self.network.mlp.parameters()), "weight_decay": 0.0})
        return groups

    def _batches(self) -> Generator[np.ndarray, None, None]:
        # A resumed run draws fresh crops.
        return segment_sampler(self.config, seed=self.config.seed + self.step).prefetch()

    def _learning_rate(self) -> float:
        optimizer = self.config.optimizer
        return one_cycle(
            optimizer.learning_rate,
            self.fraction,
            initial=optimizer.initial_learning_rate,
            rising_share=optimizer.rising_share,
        )

    def _outcome(self, batch: np.ndarray) -> Outcome:
        # All of the grid, since the spectral loss compares whole crops. In single precision throughout: a target
        # network's phases run to thousands of radians.
        samples = torch.from_numpy(batch).to(self.device)
        segments = samples.reshape(-1, self.config.hypernetwork.segment_samples)
        estimate = self.network(segments, self.coordinates).reshape(samples.shape)
        loss, terms = self.loss(samples, estimate, self.fraction)
        return Outcome(loss, {**terms, "snr_db": _mean_snr_db(samples, estimate.detach())})


def segment_grid(num_samples: int) -> torch.Tensor:
    """Return the coordinates [T] of a segment's samples: sample n sits at 2 (n + 1/2) / T - 1."""
    return ((2 * torch.arange(num_samples, dtype=torch.float64) + 1) / num_samples - 1).float()


def _mean_snr_db(reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
    """Return the mean signal-to-noise ratio of the items (dB), for the log."""
    error = (reference - estimate).square().mean(1)
    return 10 * torch.log10(reference.square().mean(1) / error.clamp_min(1e-12)).mean()
