"""Random crops from a prepared corpus: balanced over kinds of sound, at random level and polarity."""

import json
import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hscodec.errors import CorpusError
from hscodec.rates import num_weights
from hscodec.training.augment import Augmentation
from hscodec.training.config import AugmentConfig

SAMPLE_RATE = 48_000
_SILENCE_PEAK = 0.01
_MAX_REDRAWS = 100

DrawnT = TypeVar("DrawnT")


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        samples: Audio, float32 [B, T], 48 kHz.
        num_weights: Features within each item's bandwidth, int [B].
        is_speech: Whether each item is speech, bool [B]; music and all other sounds are not.
    """

    samples: np.ndarray
    num_weights: np.ndarray
    is_speech: np.ndarray


@dataclass(frozen=True)
class Shard:
    """Prepared audio of one source: int16 samples and the bandwidth of each stretch of them."""

    name: str
    kind: str
    samples: np.ndarray
    clip_stops: np.ndarray
    clip_bandwidths_hz: np.ndarray

    def bandwidth_hz(self, position: int) -> float:
        """Return the bandwidth (Hz) of the clip that holds `position`."""
        clip = min(int(np.searchsorted(self.clip_stops, position, side="right")), len(self.clip_stops) - 1)
        return float(self.clip_bandwidths_hz[clip])


def load_shards(folder: Path) -> list[Shard]:
    """Open the training shards of a prepared corpus, memory-mapped.

    Raises:
        CorpusError: The folder holds no manifest or no training shard, or a shard is missing.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        shards = [
            _open_shard(folder, entry)
            for entry in manifest["shards"]
            if entry["role"] == "train" and entry["num_samples"] > 0
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"no usable corpus in {folder} ({error}): run `hscodec corpus prepare` first") from error
    if not shards:
        raise CorpusError(f"no training shards in {folder}")
    return shards


def _open_shard(folder: Path, entry: dict[str, Any]) -> Shard:
    clips = np.asarray(entry["clips"], dtype=np.float64).reshape(-1, 3)
    samples = np.load(folder / f"{entry['name']}.npy", mmap_mode="r")
    return Shard(entry["name"], entry["kind"], samples, clips[:, 1], clips[:, 2])


def shard_probabilities(
    shards: list[Shard],
    kind_weights: dict[str, float],
    *,
    source_weights: dict[str, float] | None = None,
    cap_hours: float = 0.5,
) -> np.ndarray:
    """Return how often each shard is drawn: kinds by weight, within a kind by hours, a shard's hours capped.

    The cap keeps one long source, often one speaker or one composer, from ruling its kind; a source weight (1 by
    default) raises a source of many speakers or lowers one that was coded hard before.
    """
    hours = np.array([len(shard.samples) / SAMPLE_RATE / 3600 for shard in shards])
    share = np.minimum(hours, cap_hours) * np.array([(source_weights or {}).get(shard.name, 1.0) for shard in shards])
    probabilities = np.zeros(len(shards))
    for kind, weight in kind_weights.items():
        chosen = np.array([shard.kind == kind for shard in shards], dtype=bool)
        if share[chosen].sum() > 0:
            probabilities[chosen] = weight * share[chosen] / share[chosen].sum()
    if probabilities.sum() <= 0:
        raise CorpusError(f"no shard of the kinds {', '.join(kind_weights)}")
    return probabilities / probabilities.sum()


class CropSampler:
    """Draws batches for ever; the same seed gives the same batches.

    Args:
        shards: From `load_shards`.
        batch_size: B.
        crop_samples: T.
        kind_weights: Share of each kind (speech, music, effects).
        source_weights: Weight of single sources within their kind.
        max_attenuation_db: Items are scaled to a peak between 0 and this far below 0.95.
        augment: Variations of crops.
        seed: Seed of the draw.
    """

    def __init__(
        self,
        shards: list[Shard],
        *,
        batch_size: int,
        crop_samples: int,
        kind_weights: dict[str, float],
        source_weights: dict[str, float] | None = None,
        max_attenuation_db: float = 20.0,
        augment: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        augment = augment or AugmentConfig()
        self.shards = [shard for shard in shards if len(shard.samples) > crop_samples * (1 + augment.speed) + 960]
        self.probabilities = shard_probabilities(self.shards, kind_weights, source_weights=source_weights)
        self.batch_size = batch_size
        self.crop_samples = crop_samples
        self.max_attenuation_db = max_attenuation_db
        self.random = np.random.default_rng(seed)
        self.augmentation = Augmentation(augment, SAMPLE_RATE, self.random)

    def _crop(self) -> tuple[np.ndarray, int, bool]:
        for _ in range(_MAX_REDRAWS):
            shard = self.shards[self.random.choice(len(self.shards), p=self.probabilities)]
            num_samples = self.augmentation.source_samples(self.crop_samples)
            start = int(self.random.integers(0, len(shard.samples) - num_samples))
            samples = np.asarray(shard.samples[start : start + num_samples], np.float32) / 32768
            # A crop over the joint of two clips takes the wider of their bandwidths, so that nothing in it is cut off.
            bandwidth_hz = max(shard.bandwidth_hz(start), shard.bandwidth_hz(start + num_samples - 1))
            samples, bandwidth_hz = self.augmentation.apply(samples, self.crop_samples, bandwidth_hz)
            peak = float(np.abs(samples).max())
            if peak >= _SILENCE_PEAK:
                break
        else:
            raise CorpusError("the corpus seems to be silence")
        level = 0.95 * 10 ** (-self.random.uniform(0, self.max_attenuation_db) / 20)
        polarity = self.random.choice((-1.0, 1.0))
        return samples * (level * polarity / peak), num_weights(int(bandwidth_hz)), shard.kind == "speech"

    def draw(self) -> Batch:
        """Return the next batch."""
        crops, counts, is_speech = zip(*(self._crop() for _ in range(self.batch_size)), strict=True)
        return Batch(np.stack(crops).astype(np.float32), np.array(counts), np.array(is_speech))

    def prefetch(self, depth: int = 4) -> Generator[Batch, None, None]:
        """Yield batches drawn ahead, see `drawn_ahead`."""
        return drawn_ahead(self.draw, depth)


def drawn_ahead(draw: Callable[[], DrawnT], depth: int = 4) -> Generator[DrawnT, None, None]:
    """Yield what `draw` returns, from a background thread, so that a training step never waits for data.

    The thread ends with the iterator. What goes wrong in it is raised here.

    Args:
        draw: Returns the next batch.
        depth: Batches that may wait.
    """
    ready: queue.Queue[DrawnT | Exception] = queue.Queue(depth)
    is_closed = threading.Event()

    def fill() -> None:
        while not is_closed.is_set():
            try:
                ready.put(draw())
            except Exception as error:
                ready.put(error)
                return

    threading.Thread(target=fill, daemon=True, name="crop-sampler").start()
    try:
        while True:
            batch = ready.get()
            if isinstance(batch, Exception):
                raise batch
            yield batch
    finally:
        is_closed.set()
        while not ready.empty():  # the thread may be waiting for room
            ready.get_nowait()
