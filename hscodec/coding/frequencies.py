"""How often each token stands where: the statistics behind order `by-context`, part of the model file."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from hscodec.coding.context import PASSES
from hscodec.coding.fixedpoint import NUM_QUALITY_KNOTS
from hscodec.coding.order import NUM_FINE_CLASSES
from hscodec.coding.rans import Distribution, distribution
from hscodec.coding.tokens import NUM_TOKENS
from hscodec.errors import ModelError

FREQUENCY_BITS = 20
"""The frequencies of a table add up to 2^20."""
MAX_CONTEXTS = 64
MAX_UNIT = 2**16


@dataclass(frozen=True, eq=False)
class FrequencyTables:
    """Tables of frequencies, and what decides which of them applies.

    All arrays are int32. P = 7 passes, X contexts, Q = 11 whole qualities, Z channels of the latent, 64 fine scale
    classes, 61 tokens.

    Attributes:
        unit: What a magnitude of 1 counts in the context, by the fine scale class that it was expected in, [64].
        edges: Where one context ends and the next begins, ascending, for each pass, [P, X - 1].
        weights: Frequencies of the tokens of weight symbols, [P, X, 64, 61].
        latent: Frequencies of the tokens of latent residuals, [Q, Z, 61].

    Raises:
        ModelError: A table has the wrong type, shape or values.
    """

    unit: np.ndarray
    edges: np.ndarray
    weights: np.ndarray
    latent: np.ndarray

    def __post_init__(self) -> None:
        num_contexts = self.edges.shape[-1] + 1 if self.edges.ndim == 2 else 0
        latent_channels = self.latent.shape[1] if self.latent.ndim == 3 else 0
        expected = {
            "unit": (NUM_FINE_CLASSES,),
            "edges": (len(PASSES), num_contexts - 1),
            "weights": (len(PASSES), num_contexts, NUM_FINE_CLASSES, NUM_TOKENS),
            "latent": (NUM_QUALITY_KNOTS, latent_channels, NUM_TOKENS),
        }
        for name, shape in expected.items():
            table = getattr(self, name)
            if table.dtype != np.int32 or table.shape != shape or latent_channels == 0:
                raise ModelError(f"frequency table {name} is {table.dtype} {table.shape}, not int32 {shape}")
        if not 1 <= num_contexts <= MAX_CONTEXTS:
            raise ModelError(f"frequency tables of {num_contexts} contexts, not 1 to {MAX_CONTEXTS}")
        if self.unit.min() < 0 or self.unit.max() > MAX_UNIT:
            raise ModelError(f"frequency table unit holds values outside 0 to {MAX_UNIT}")
        if (self.edges[:, 1:] < self.edges[:, :-1]).any():
            raise ModelError("frequency table edges is not in ascending order")
        for name in ("weights", "latent"):
            table = getattr(self, name)
            if table.min() < 1 or (table.sum(-1, dtype=np.int64) != 2**FREQUENCY_BITS).any():
                raise ModelError(f"frequency table {name} holds zeros, or does not add up to 2^{FREQUENCY_BITS}")

    @property
    def latent_channels(self) -> int:
        """Z."""
        return self.latent.shape[1]

    @cached_property
    def weight_bits(self) -> np.ndarray:
        """Length of each token of weight symbols (bits), float32 as `weights`; for decisions of the encoder only."""
        return _lengths(self.weights)

    @cached_property
    def latent_bits(self) -> np.ndarray:
        """Length of each token of latent residuals (bits), float32 as `latent`; for decisions of the encoder only."""
        return _lengths(self.latent)

    def weight_models(self, rows: np.ndarray) -> list[Distribution]:
        """Return the coder's models of tokens in rows [N] of `weights`, through all passes, contexts and classes."""
        return _made(self._weight_models, self.weights, rows)

    def latent_models(self, rows: np.ndarray) -> list[Distribution]:
        """Return the coder's models of tokens in rows [N] of `latent`: the whole quality times Z plus z."""
        return _made(self._latent_models, self.latent, rows)

    @cached_property
    def _weight_models(self) -> np.ndarray:
        return np.full(self.weights[..., 0].size, None)

    @cached_property
    def _latent_models(self) -> np.ndarray:
        return np.full(self.latent[..., 0].size, None)


def _made(models: np.ndarray, table: np.ndarray, rows: np.ndarray) -> list[Distribution]:
    """Return the models of some rows of a table, and make those that are still None: most are never asked for."""
    chosen = models[rows].tolist()  # two thousand in a chunk
    if None in chosen:
        for row in rows.tolist():
            if models[row] is None:
                models[row] = distribution(table.reshape(-1, NUM_TOKENS)[row], FREQUENCY_BITS)
        chosen = models[rows].tolist()
    return chosen


def _lengths(table: np.ndarray) -> np.ndarray:
    return FREQUENCY_BITS - np.log2(table.astype(np.float32))


TABLE_NAMES = tuple(field.name for field in fields(FrequencyTables))
"""The tables by name, as in a model file."""
