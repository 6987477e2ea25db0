"""The statistics of order `by-context`, counted in what a finished model stores of training crops."""

from collections.abc import Iterator

import numpy as np
import torch

from hscodec.coding.by_context import walk
from hscodec.coding.context import PASSES
from hscodec.coding.fixedpoint import NUM_QUALITY_KNOTS, FixedPointTables, latent_residuals
from hscodec.coding.frequencies import FREQUENCY_BITS, FrequencyTables
from hscodec.coding.order import NUM_FINE_CLASSES
from hscodec.coding.rans import Coder
from hscodec.coding.tokens import NUM_TOKENS
from hscodec.hypernet.scale import MAX_LOG_SCALE, MIN_LOG_SCALE
from hscodec.model import Hypernetwork
from hscodec.training.coded import coded_crops
from hscodec.training.data import Batch

_UNIT = 256
_SCALE_FLOOR = 0.2
_EDGES = (0.0, 0.05, 0.1, 0.16, 0.23, 0.31, 0.41, 0.53, 0.7, 0.95, 1.4)
"""Where contexts end, in the mean of neighbours' magnitudes over their expected scales; the first is for silence."""
_CORNER_EDGE = 2.0
"""Corners alone say less: their contexts are this much wider."""
_TOTAL_WEIGHT = 16
_PRIOR_COUNT = 30
"""A context's own counts weigh as much as those of its class once it has so many."""
_CLASS_DECAY = 0.25


class Counts(Coder):
    """Counts of tokens, in the place of frequency tables and of a coder when `walk` goes through symbols.

    Args:
        latent_channels: Z.
    """

    def __init__(self, latent_channels: int) -> None:
        centres = (np.arange(NUM_FINE_CLASSES) + 0.5) / NUM_FINE_CLASSES
        scales = np.exp(MIN_LOG_SCALE + (MAX_LOG_SCALE - MIN_LOG_SCALE) * centres)
        self.unit = np.round(_UNIT / (scales + _SCALE_FLOOR)).astype(np.int32)
        edges = np.outer([1.0 if grid.time else _CORNER_EDGE for grid in PASSES], _EDGES)
        self.edges = np.maximum(np.ceil(_UNIT * _TOTAL_WEIGHT * edges), 1).astype(np.int32)
        self.weights = np.zeros((len(PASSES), len(_EDGES) + 1, NUM_FINE_CLASSES, NUM_TOKENS), np.int64)
        self.latent = np.zeros((NUM_QUALITY_KNOTS, latent_channels, NUM_TOKENS), np.int64)

    def weight_models(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the counts [61] of each row, as `FrequencyTables.weight_models` returns distributions."""
        return list(map(self.weights.reshape(-1, NUM_TOKENS).__getitem__, rows.tolist()))  # views

    def latent_models(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the counts [61] of each row, as `FrequencyTables.latent_models` returns distributions."""
        return list(map(self.latent.reshape(-1, NUM_TOKENS).__getitem__, rows.tolist()))

    def code(self, model: object, symbols: np.ndarray) -> np.ndarray:
        """Count symbols, [N]; return them. What has no counts, because it is as likely as not, is let pass."""
        if isinstance(model, np.ndarray):
            model += np.bincount(symbols, minlength=NUM_TOKENS)
        return symbols

    def frequencies(self) -> FrequencyTables:
        """Return tables in which what was never seen is rare, and not impossible."""
        distance = np.abs(np.arange(NUM_FINE_CLASSES)[:, None] - np.arange(NUM_FINE_CLASSES))
        # Where a class was hardly seen, its neighbours say what to expect.
        of_class = np.einsum("cd,pdt->pct", _CLASS_DECAY**distance, self.weights.sum(1).astype(np.float64))
        weights = self.weights + _PRIOR_COUNT * _shares(of_class)[:, None]
        latent = self.latent + _shares(self.latent.sum(1, keepdims=True))
        return FrequencyTables(self.unit, self.edges, _frequencies(weights), _frequencies(latent))


def _shares(counts: np.ndarray) -> np.ndarray:
    """Return counts [..., 61] as shares of 1, none of them 0: the more so, the larger the token."""
    rare = 0.01 * 0.5 ** np.arange(counts.shape[-1])
    return (counts + rare) / (counts + rare).sum(-1, keepdims=True)


def _frequencies(counts: np.ndarray) -> np.ndarray:
    """Return integers of at least 1 that add up to 2^20 over the last axis."""
    shares = counts / counts.sum(-1, keepdims=True)
    frequencies = np.floor(shares * (2**FREQUENCY_BITS - counts.shape[-1])).astype(np.int32) + 1
    missing = 2**FREQUENCY_BITS - frequencies.sum(-1, keepdims=True)
    most = frequencies.argmax(-1, keepdims=True)
    np.put_along_axis(frequencies, most, np.take_along_axis(frequencies, most, -1) + missing, -1)
    return frequencies


def fit_frequencies(
    network: Hypernetwork, tables: FixedPointTables, batches: Iterator[Batch], *, num_batches: int
) -> FrequencyTables:
    """Count what a finished model stores.

    Args:
        network: The model, its scale network fitted.
        tables: Its integers.
        batches: Training crops.
        num_batches: How many of them to count; each crop is coded at a quality of its own.
    """
    network.eval()
    counts = Counts(tables.latent_channels)
    random = np.random.default_rng(0)
    for _ in range(num_batches):
        batch = next(batches)
        qualities = random.integers(0, 1001, len(batch.samples))
        for item, (latent, weights) in enumerate(_symbols(network, batch, qualities)):
            quality = int(qualities[item])
            walk(counts, latent_residuals(latent, tables.prediction), weights, tables, counts, quality)
    return counts.frequencies()


def _symbols(network: Hypernetwork, batch: Batch, qualities: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield latent [1, S/2, Z] and weight symbols [1, S, K] of each item."""
    quality = torch.from_numpy((qualities / 100).astype(np.float32)).to(next(network.parameters()).device)
    latent, symbols, _ = (coded.cpu().numpy() for coded in coded_crops(network, batch, quality))
    for item, count in enumerate(batch.num_weights.tolist()):
        # Half of the items as files of their own rate, half as files of 48 kHz that hold nothing above.
        num_weights = count if item % 2 else network.config.num_weights
        yield latent[item : item + 1], symbols[item : item + 1, :, :num_weights]
