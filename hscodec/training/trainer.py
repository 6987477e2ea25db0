"""Training the flagship: latent, weights and refinement at random qualities, against distortion and rate."""

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch

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
from hscodec.training.loop import Outcome, TrainingLoop
from hscodec.training.scale_fit import fit_scale_network
from hscodec.training.schedule import learning_rate

SAMPLES_PER_HOP = SAMPLE_RATE // 50
_QUALITY_TABLES = ("prior.log_step", "prior.log_scale", "scale.enter_bias", "scale.leave_bias")


class Trainer(TrainingLoop[TrainingConfig, Hypernetwork, Batch]):
    """Trains one model of the flagship family.

    Args:
        config: The run.
        folder: Where the checkpoint and the log go.
        device: A torch device.
    """

    def __init__(self, config: TrainingConfig, folder: Path, *, device: torch.device) -> None:
        super().__init__(config, folder, device=device)
        self.distortion = Distortion(config.loss, SAMPLE_RATE).to(device)
        self.adversary = Adversary(config.adversarial, device) if config.adversarial.weight else None
        self.target = LappedSiren(config.hypernetwork.num_weights)
        self.frequencies: FrequencyTables | None = None

    def _make_network(self) -> Hypernetwork:
        return Hypernetwork(self.config.hypernetwork)

    def _adapted(self, state: dict[str, Any], path: Path) -> dict[str, torch.Tensor]:
        """Return the averaged weights of a checkpoint, with this network's blocks and at this network's levels.

        A refinement network of more blocks than the checkpoint's is grown: new blocks are the identity before training.
        Where qualities mean other levels, tables over quality are interpolated at the level of each quality, and
        extrapolated beyond the levels that the checkpoint knows.
        """
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

    def _finish(self, batches: Iterator[Batch], log: TextIO) -> None:
        """Fit the averaged model's scale network, then its statistics; the live weights stay as they are."""
        steps = self.config.optimizer.scale_steps
        if not steps:
            return
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

    def _more_state(self) -> dict[str, Any]:
        return {
            "adversary": self.adversary.state() if self.adversary else None,
            "frequencies": _as_tensors(self.frequencies),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        if self.adversary and state.get("adversary"):  # they may join a run that began without them
            self.adversary.load(state["adversary"])
        self.frequencies = stored_frequencies(state)

    def _batches(self) -> Generator[Batch, None, None]:
        data = self.config.data
        sampler = CropSampler(
            load_shards(Path(data.corpus)),
            batch_size=data.batch_size,
            crop_samples=(data.crop_segments + 1) * SAMPLES_PER_HOP,
            kind_weights=data.kind_weights,
            source_weights=data.source_weights,
            max_attenuation_db=data.max_attenuation_db,
            augment=self.config.augment,
            seed=self.config.seed + self.step,  # a resumed run draws fresh crops
        )
        return sampler.prefetch()

    def _learning_rate(self) -> float:
        optimizer = self.config.optimizer
        return learning_rate(optimizer.learning_rate, self.step, self.fraction, warmup_steps=optimizer.warmup_steps)

    def _outcome(self, batch: Batch) -> Outcome:
        reference, estimate, rate, figures = self._forward(batch)
        distortion, terms = self._distortion(reference, estimate, batch)
        afterwards = partial(self._teach, self.adversary, reference, estimate) if self.adversary else None
        return Outcome(distortion + rate, {**terms, **figures}, afterwards)

    def _teach(self, adversary: Adversary, reference: torch.Tensor, estimate: torch.Tensor) -> dict[str, torch.Tensor]:
        with self._autocast():
            return {"hinge": adversary.learn(reference, estimate)}

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
