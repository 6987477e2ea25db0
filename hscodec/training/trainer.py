"""The training loop of the flagship: resumable, logged as JSON lines, averaged weights kept beside the live ones."""

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import nn

from hscodec.coding.frequencies import TABLE_NAMES, FrequencyTables
from hscodec.errors import ModelError
from hscodec.hypernet.blocks import interpolate_knots
from hscodec.hypernet.config import PIVOT_QUALITY, QUALITY_KNOTS, HypernetworkConfig
from hscodec.inr.lapped import LappedSiren
from hscodec.model import Hypernetwork
from hscodec.training.adversarial import Adversary
from hscodec.training.config import TrainingConfig
from hscodec.training.data import SAMPLE_RATE, Batch, CropSampler, load_shards
from hscodec.training.distortion import Distortion
from hscodec.training.fixed_point import fixed_point_tables
from hscodec.training.frequency_fit import fit_frequencies
from hscodec.training.scale_fit import fit_scale_network
from hscodec.training.schedule import WeightAverage, learning_rate

logger = logging.getLogger(__name__)
SAMPLES_PER_HOP = SAMPLE_RATE // 50
_SMOOTHING = 0.98
_QUALITY_TABLES = ("prior.log_step", "prior.log_scale", "scale.enter_bias", "scale.leave_bias")
_CHECKPOINT_KEYS = {"config", "network", "optimizer", "average", "step", "seconds", "figures", "random"}


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


class Trainer:
    """Trains one model.

    Args:
        config: The run.
        folder: Where the checkpoint and the log go.
        device: A torch device.
    """

    def __init__(self, config: TrainingConfig, folder: Path, *, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.folder = folder
        self.device = device
        self.network = Hypernetwork(config.hypernetwork).to(device)
        self.distortion = Distortion(config.loss, SAMPLE_RATE).to(device)
        self.adversary = Adversary(config.adversarial, device) if config.adversarial.weight else None
        self.target = LappedSiren(config.hypernetwork.num_weights)
        optimizer = config.optimizer
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            optimizer.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=optimizer.weight_decay,
            fused=True,
        )
        self.average = WeightAverage(self.network, optimizer.average_decay)
        self.step = 0
        self.seconds = 0.0
        self.is_finished = False
        self.figures: dict[str, float] = {}
        self.frequencies: FrequencyTables | None = None

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
        different crops (Wortsman et al., "Model soups", 2022). A refinement network of more blocks than a checkpoint's
        is grown: new blocks are the identity before training. Where qualities mean other levels, tables over quality
        are interpolated at the level of each quality, and extrapolated beyond the levels that a checkpoint knows.

        Raises:
            ModelError: One is not a checkpoint, or of a network of another shape.
        """
        found = [self._adapted(path) for path in paths]
        mean = {name: torch.stack([weights[name] for weights in found]).mean(0) for name in found[0]}
        self.network.load_state_dict(mean)
        self.average = WeightAverage(self.network, self.config.optimizer.average_decay)

    def _adapted(self, path: Path) -> dict[str, torch.Tensor]:
        """Return the averaged weights of a checkpoint, with this network's blocks and at this network's levels."""
        state = load_checkpoint(path, self.device)
        found, wanted = state["config"]["hypernetwork"], self.config.hypernetwork
        may_differ = {"refine_blocks": wanted.refine_blocks, "level_ratio_above": wanted.level_ratio_above}
        if found | may_differ != asdict(wanted) or found["refine_blocks"] > wanted.refine_blocks:
            raise ModelError(f"{path} holds a network of another shape than the configuration")
        weights = state["average"]["weights"]
        known = HypernetworkConfig(**found)
        qualities = torch.tensor([known.quality(wanted.level(knot)) for knot in range(QUALITY_KNOTS)])
        tables = {name: interpolate_knots(weights[name], qualities.to(self.device))[:, 0] for name in _QUALITY_TABLES}
        new_blocks = {
            name: value
            for index in range(known.refine_blocks, wanted.refine_blocks)
            for name, value in self.network.state_dict().items()
            if name.startswith(f"refinement.blocks.{index}.")
        }
        return weights | tables | new_blocks

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
        self.save()

    def _finish(self, batches: Iterator[Batch], log: TextIO) -> None:
        """Fit the averaged model's scale network, then its statistics; the live weights stay as they are."""
        steps = self.config.optimizer.scale_steps
        if steps:
            self.save()
            network = Hypernetwork(self.config.hypernetwork).to(self.device)
            network.load_state_dict(self.average.weights)
            started = time.perf_counter()
            rate_kbps = fit_scale_network(network, batches, steps=steps)
            minutes = (time.perf_counter() - started) / 60
            self.average.weights = network.state_dict()
            self.frequencies = fit_frequencies(
                network, fixed_point_tables(network), batches, num_batches=self.config.optimizer.frequency_batches
            )
            log.write(json.dumps({"scale_steps": steps, "minutes": round(minutes, 3), "weight_kbps": rate_kbps}) + "\n")
        self.is_finished = True

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
            "adversary": self.adversary.state() if self.adversary else None,
            "step": self.step,
            "seconds": self.seconds,
            "is_finished": self.is_finished,
            "frequencies": _as_tensors(self.frequencies),
            "figures": self.figures,
            "random": torch.get_rng_state(),
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
        if state["config"]["hypernetwork"] != asdict(self.config)["hypernetwork"]:
            raise ModelError(f"{self.checkpoint_path} holds a network of another shape than the configuration")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])
        if self.adversary and state.get("adversary"):  # they may join a run that began without them
            self.adversary.load(state["adversary"])
        self.step, self.seconds, self.figures = state["step"], state["seconds"], state["figures"]
        self.is_finished = state.get("is_finished", False)
        self.frequencies = stored_frequencies(state)
        torch.set_rng_state(state["random"].cpu())
        logger.info("resumed at step %d, %.1f minutes", self.step, self.seconds / 60)
        return True

    def _batches(self) -> Generator[Batch, None, None]:
        data = self.config.data
        sampler = CropSampler(
            load_shards(Path(data.corpus)),
            batch_size=data.batch_size,
            crop_samples=(data.crop_segments + 1) * SAMPLES_PER_HOP,
            kind_weights={"speech": data.speech, "music": data.music, "effects": data.effects},
            source_weights=data.source_weights,
            max_attenuation_db=data.max_attenuation_db,
            augment=self.config.augment,
            seed=self.config.seed + self.step,  # a resumed run draws fresh crops
        )
        return sampler.prefetch()

    def _train_step(self, batch: Batch) -> None:
        optimizer = self.config.optimizer
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                optimizer.learning_rate, self.step, self.fraction, warmup_steps=optimizer.warmup_steps
            )
        reference, estimate, rate, figures = self._forward(batch)
        distortion, terms = self._distortion(reference, estimate, batch)
        loss = distortion + rate
        figures = {"loss": loss, **terms, **figures}
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), optimizer.max_gradient_norm)
        self.step += 1
        self.is_finished = False  # a finished run that is made longer needs its last stage again
        if not torch.isfinite(norm):
            logger.warning("step %d skipped: the gradient is not finite", self.step)
            return
        self.optimizer.step()
        self.average.update(self.network)
        if self.adversary:
            with self._autocast():
                figures["hinge"] = self.adversary.learn(reference, estimate)
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0.0) * _SMOOTHING + (1 - _SMOOTHING) * value.item()

    def _forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Return the batch as it can be compared, what comes back of it, the price of its rate, and rates to report."""
        weights = self.config.loss
        samples = torch.from_numpy(batch.samples).to(self.device)
        counts = torch.from_numpy(batch.num_weights).to(self.device)
        quality = torch.rand(len(samples), device=self.device) * 10
        mask = (torch.arange(self.target.num_weights, device=self.device) < counts[:, None])[:, None, :].float()

        theta = self.target.analyze(samples, SAMPLES_PER_HOP)
        with self._autocast():
            output = self.network(theta, quality, mask)
        estimate = self.target.synthesize(output.theta, SAMPLES_PER_HOP)
        reference = samples[:, SAMPLES_PER_HOP:-SAMPLES_PER_HOP]

        seconds = theta.shape[1] / 50
        latent_kbps = output.latent_bits / seconds / 1000
        weight_kbps = output.weight_bits / seconds / 1000
        hypernetwork = self.config.hypernetwork
        above = hypernetwork.level(quality) - hypernetwork.level(PIVOT_QUALITY)
        slope = torch.where(above > 0, weights.rate_slope_above, weights.rate_slope)
        price = weights.rate * torch.exp(-slope * above)
        rate = (price * (latent_kbps + weight_kbps)).mean()
        figures = {"weight_kbps": weight_kbps.mean(), "latent_kbps": latent_kbps.mean()}
        return reference, estimate, rate, figures

    def _distortion(
        self, reference: torch.Tensor, estimate: torch.Tensor, batch: Batch
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        is_speech = torch.from_numpy(batch.is_speech).to(self.device)
        total, terms = self.distortion(reference, estimate, is_speech)
        if self.adversary and self.step >= self.config.adversarial.start_step:
            with self._autocast():
                deception, more_terms = self.adversary.distortion(reference, estimate)
            total, terms = total + deception, terms | more_terms
        return total, terms

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=_has_fast_bfloat16(self.device))


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


def stored_frequencies(state: dict[str, Any]) -> FrequencyTables | None:
    """Return the statistics in a checkpoint, if its run has come so far.

    Raises:
        ModelError: They are damaged.
    """
    tables = state.get("frequencies")
    if not tables:
        return None
    if missing := set(TABLE_NAMES) - tables.keys():
        raise ModelError(f"the checkpoint lacks the frequency table {min(missing)!r}")
    return FrequencyTables(**{name: tables[name].cpu().numpy() for name in TABLE_NAMES})


def _as_tensors(frequencies: FrequencyTables | None) -> dict[str, torch.Tensor] | None:
    return {name: torch.from_numpy(getattr(frequencies, name)) for name in TABLE_NAMES} if frequencies else None


def _has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 arithmetic is native here; emulated, it would be slower than float32."""
    if device.type == "cpu":
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
