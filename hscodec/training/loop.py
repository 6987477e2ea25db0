"""The training loop of all families: resumable, logged as JSON lines, averaged weights kept beside the live ones."""

import contextlib
import json
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

import torch
from torch import nn

from hscodec.errors import ModelError
from hscodec.training.run_config import RunConfig
from hscodec.training.schedule import WeightAverage

logger = logging.getLogger(__name__)
_SMOOTHING = 0.98
_CHECKPOINT_KEYS = {"config", "network", "optimizer", "average", "step", "seconds", "figures", "random"}

ConfigT = TypeVar("ConfigT", bound=RunConfig)
NetworkT = TypeVar("NetworkT", bound=nn.Module)
BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: Steps done.
        minutes: Training time over all parts of the run.
        fraction: Share of the run that is done.
        figures: Smoothed loss terms and rates (kbit/s).
    """

    step: int
    minutes: float
    fraction: float
    figures: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a batch came to.

    Attributes:
        loss: What the network is to minimise.
        figures: What else is to be logged, by name.
        afterwards: What is to be done once the weights have moved; returns further figures. Left out with a step that
            is skipped.
    """

    loss: torch.Tensor
    figures: dict[str, torch.Tensor]
    afterwards: Callable[[], dict[str, torch.Tensor]] | None = None


class TrainingLoop(ABC, Generic[ConfigT, NetworkT, BatchT]):
    """Trains one model. A family says what its network, batches, loss and learning rate are.

    Args:
        config: The run.
        folder: Where the checkpoint and the log go.
        device: A torch device.
    """

    def __init__(self, config: ConfigT, folder: Path, *, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.folder = folder
        self.device = device
        self.network = self._make_network().to(device)
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(),
            config.optimizer.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=config.optimizer.weight_decay,
            fused=True,
        )
        self.average = WeightAverage(self.network, config.optimizer.average_decay)
        self.step = 0
        self.seconds = 0.0
        self.is_finished = False
        self.figures: dict[str, float] = {}

    @abstractmethod
    def _make_network(self) -> NetworkT:
        """Return the network before training."""

    @abstractmethod
    def _batches(self) -> Generator[BatchT, None, None]:
        """Return batches without end, from the present step on."""

    @abstractmethod
    def _learning_rate(self) -> float:
        """Return the learning rate of the coming step."""

    @abstractmethod
    def _outcome(self, batch: BatchT) -> Outcome:
        """Return the loss of a batch."""

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Return what is trained, as AdamW takes it."""
        return [{"params": list(self.network.parameters())}]

    def _finish(self, batches: Iterator[BatchT], log: TextIO) -> None:  # noqa: B027 - few families have a last stage
        """Do what comes after the last step."""

    def _adapted(self, state: dict[str, Any], path: Path) -> dict[str, torch.Tensor]:
        """Return the averaged weights of another run's checkpoint as this network's.

        Raises:
            ModelError: It holds a network of another shape.
        """
        self._check_shape(state, path)
        return state["average"]["weights"]

    def _more_state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold beyond what every checkpoint does."""
        return {}

    def _restore(self, state: dict[str, Any]) -> None:  # noqa: B027 - see `_more_state`
        """Restore what `_more_state` returned; checkpoints of earlier versions may lack it."""

    @property
    def checkpoint_path(self) -> Path:
        """Where the resumable state lies."""
        return self.folder / "checkpoint.pt"

    @property
    def fraction(self) -> float:
        """Share of the run that is done."""
        optimizer = self.config.optimizer
        return self.step / optimizer.steps if optimizer.steps else self.seconds / 60 / optimizer.minutes

    def start_from(self, *paths: Path) -> None:
        """Take averaged weights of other runs' checkpoints as first weights; a checkpoint of this run goes first.

        Weights of several checkpoints are averaged, which is good for runs that started from the same weights and saw
        different crops (Wortsman et al., "Model soups", 2022).

        Raises:
            ModelError: One is not a checkpoint, or of a network of another shape.
        """
        found = [self._adapted(load_checkpoint(path, self.device), path) for path in paths]
        mean = {name: torch.stack([weights[name] for weights in found]).mean(0) for name in found[0]}
        self.network.load_state_dict(mean)
        self.average = WeightAverage(self.network, self.config.optimizer.average_decay)

    def run(self, report: Callable[[Progress], None] | None = None, *, finish: bool = False) -> None:
        """Train to the end of the run, from the checkpoint if there is one; `finish` goes to the last stage at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        last_save = self.seconds
        self.network.train()
        with contextlib.closing(self._batches()) as batches, (self.folder / "log.jsonl").open("a") as log:
            while self.fraction < 1 and not finish:
                started = time.perf_counter()
                self._train_step(next(batches))
                self.seconds += time.perf_counter() - started
                if self.step % self.config.log_steps == 0:
                    progress = self.progress()
                    record = {"step": progress.step, "minutes": round(progress.minutes, 3), **progress.figures}
                    log.write(json.dumps(record) + "\n")
                    log.flush()
                    if report:
                        report(progress)
                if self.seconds - last_save > 60 * self.config.checkpoint_minutes:
                    self.save()
                    last_save = self.seconds
            if not self.is_finished:
                self._finish(batches, log)
                self.is_finished = True
        self.save()

    def progress(self) -> Progress:
        """Return where the run stands."""
        correction = 1 - _SMOOTHING ** max(self.step, 1)
        figures = {name: round(value / correction, 4) for name, value in self.figures.items()}
        return Progress(self.step, self.seconds / 60, min(self.fraction, 1.0), figures)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state(),
            "step": self.step,
            "seconds": self.seconds,
            "is_finished": self.is_finished,
            "figures": self.figures,
            "random": torch.get_rng_state(),
            **self._more_state(),
        }
        partial = self.checkpoint_path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint_path)

    def resume(self) -> bool:
        """Restore the checkpoint if there is one; return whether there was.

        Raises:
            ModelError: The checkpoint belongs to a network of another shape.
        """
        if not self.checkpoint_path.exists():
            return False
        state = load_checkpoint(self.checkpoint_path, self.device)
        self._check_shape(state, self.checkpoint_path)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])
        self.step, self.seconds, self.figures = state["step"], state["seconds"], state["figures"]
        self.is_finished = state.get("is_finished", False)
        self._restore(state)
        torch.set_rng_state(state["random"].cpu())
        logger.info("resumed at step %d, %.1f minutes", self.step, self.seconds / 60)
        return True

    def _check_shape(self, state: dict[str, Any], path: Path) -> None:
        if state["config"]["hypernetwork"] != asdict(self.config)["hypernetwork"]:
            raise ModelError(f"{path} holds a network of another shape than the configuration")

    def _train_step(self, batch: BatchT) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        outcome = self._outcome(batch)
        figures = {"loss": outcome.loss, **outcome.figures}
        self.optimizer.zero_grad(set_to_none=True)
        outcome.loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimizer.max_gradient_norm)
        self.step += 1
        self.is_finished = False  # a finished run that is made longer needs its last stage again
        if not torch.isfinite(norm):
            logger.warning("step %d skipped: the gradient is not finite", self.step)
            return
        self.optimizer.step()
        self.average.update(self.network)
        if outcome.afterwards:
            figures |= outcome.afterwards()
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0.0) * _SMOOTHING + (1 - _SMOOTHING) * value.item()


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint without running code from it.

    Raises:
        ModelError: The file is missing or not a checkpoint.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file
        raise ModelError(f"{path} is not a readable checkpoint: {error}") from error
    if not isinstance(state, dict) or not _CHECKPOINT_KEYS <= state.keys():
        raise ModelError(f"{path} is not a checkpoint of a training run")
    return state
