"""Order `by-context`: each symbol by the statistics of its fine scale class and of its neighbours, without zstd.

The layout is normative in `docs/format.md`. Reading and writing are one walk through the symbols, see `coding.rans`.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from hscodec.coding.context import PASSES, Neighbourhood, on_grid
from hscodec.coding.fixedpoint import FixedPointTables, fine_scale_classes, latent_from_residuals, latent_residuals
from hscodec.coding.frequencies import FrequencyTables
from hscodec.coding.order import NUM_FINE_CLASSES
from hscodec.coding.rans import Coder, Distribution, Reader, Writer, code_bits, code_runs
from hscodec.coding.tokens import (
    ESCAPE_MAGNITUDE,
    ESCAPE_TOKEN,
    NUM_DIRECT,
    lowest_magnitudes,
    raw_bits,
    tokens_of,
)
from hscodec.errors import FormatError

_HALF_BITS = 16


class Statistics(Protocol):
    """What a walk asks of frequency tables, see `FrequencyTables`."""

    @property
    def unit(self) -> np.ndarray:
        """What a magnitude of 1 counts in the context, by fine scale class, [64]."""
        ...

    @property
    def edges(self) -> np.ndarray:
        """Where contexts end, for each pass, [P, X - 1]."""
        ...

    def weight_model(self, pass_index: int, row: int) -> Distribution:
        """Return the distribution of tokens in a pass and a row."""
        ...

    def latent_model(self, row: int) -> Distribution:
        """Return the distribution of tokens of one latent channel at one whole quality."""
        ...


def write(
    latent: np.ndarray,
    weights: np.ndarray,
    tables: FixedPointTables,
    frequencies: FrequencyTables,
    quality_hundredths: int | np.ndarray,
) -> bytes:
    """Return the bytes of a chunk's symbols; arguments as those of `read`.

    Shape:
        latent: [C, S/2, Z] int32
        weights: [C, S, K] int32
    """
    writer = Writer()
    residuals = latent_residuals(latent, tables.prediction)
    walk(writer, residuals, weights, tables, frequencies, quality_hundredths)
    return writer.finish()


def read(
    content: bytes,
    tables: FixedPointTables,
    frequencies: FrequencyTables,
    quality_hundredths: int | np.ndarray,
    *,
    shape: tuple[int, int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return latent [C, S/2, Z] and weight symbols [C, S, K], both int32.

    Args:
        content: What `write` returned.
        tables: The model's integers.
        frequencies: The model's statistics.
        quality_hundredths: Quality times 100, one for all channels or one for each, [C].
        shape: (C, S, K): channels, segments (even), weights of one segment.

    Raises:
        FormatError: The content is not that of such a chunk.
    """
    channels, segments, _ = shape
    reader = Reader(content)
    empty = np.zeros((channels, segments // 2, tables.latent_channels), np.int32), np.zeros(shape, np.int32)
    latent, weights = walk(reader, *empty, tables, frequencies, quality_hundredths)
    reader.check_end()
    return latent, weights


def walk(
    coder: Coder,
    residuals: np.ndarray,
    weights: np.ndarray,
    tables: FixedPointTables,
    frequencies: Statistics,
    quality_hundredths: int | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Let a coder write the symbols of a chunk, or read as many; return latent and weight symbols as it has seen them.

    Args:
        coder: A reader replaces the symbols that are given by those that it reads.
        residuals: Latent residuals.
        weights: Weight symbols.
        tables: The model's integers.
        frequencies: The model's statistics.
        quality_hundredths: Quality times 100, one for all channels or one for each.

    Shape:
        residuals: [C, S/2, Z] int32
        weights: [C, S, K] int32
        returns: [C, S/2, Z] int32 and [C, S, K] int32

    Raises:
        FormatError: A reader reads what no writer writes.
    """
    # One latent channel after the other, each with all channels of sound: [Z, C, S/2].
    ordered = residuals.transpose(2, 0, 1)
    knots = (np.broadcast_to(quality_hundredths, residuals.shape[:1]) + 50) // 100
    rows = len(ordered) * knots + np.arange(len(ordered))[:, None]
    rows = np.broadcast_to(rows[..., None], ordered.shape)
    magnitudes = _code_magnitudes(coder, frequencies.latent_model, rows, _magnitudes(ordered))
    residuals = _code_signs(coder, magnitudes, ordered).transpose(1, 2, 0)
    latent = latent_from_residuals(residuals, tables.prediction)

    fine_classes = fine_scale_classes(tables, latent, quality_hundredths, weights.shape[-1])
    neighbourhood = Neighbourhood(fine_classes, frequencies.unit)
    magnitudes = _magnitudes(weights)
    for index, grid in enumerate(PASSES):
        chosen = on_grid(grid)
        contexts = neighbourhood.contexts(grid, frequencies.edges[index])
        rows = contexts.astype(np.uint16) * NUM_FINE_CLASSES + fine_classes[chosen]  # of 16 bits, which sort fast
        models = partial(frequencies.weight_model, index)
        magnitudes[chosen] = _code_magnitudes(coder, models, rows, magnitudes[chosen])
        neighbourhood.show(grid, magnitudes[chosen])
    return latent, _code_signs(coder, magnitudes, weights)


def _magnitudes(symbols: np.ndarray) -> np.ndarray:
    return np.abs(symbols).view(np.uint32)  # the magnitude of -2^31 needs 32 bits


def _code_magnitudes(
    coder: Coder, models: Callable[[int], Distribution], rows: np.ndarray, magnitudes: np.ndarray
) -> np.ndarray:
    """Code magnitudes, those of one row of a table of frequencies after those of another.

    Shape:
        rows: any, the number of each symbol's row
        magnitudes: the same, uint32
        returns: the same
    """
    order = np.argsort(rows.reshape(-1), kind="stable")
    magnitudes = magnitudes.reshape(-1)[order]
    tokens = _code_tokens(coder, models, np.bincount(rows.reshape(-1)), tokens_of(magnitudes))
    coded = tokens.astype(np.uint32)
    beyond = np.flatnonzero(tokens >= NUM_DIRECT)  # few; all others are their tokens
    coded[beyond] = lowest_magnitudes(tokens[beyond])
    bits = raw_bits(tokens[beyond])
    for num_bits in np.unique(bits[bits > 0]).tolist():
        chosen = beyond[bits == num_bits]
        coded[chosen] += code_bits(coder, num_bits, magnitudes[chosen] - coded[chosen]).astype(np.uint32)
    large = beyond[tokens[beyond] == ESCAPE_TOKEN]
    if large.size:
        coded[large] = _code_large(coder, magnitudes[large])
    result = np.empty_like(coded)
    result[order] = coded
    return result.reshape(rows.shape)


def _code_tokens(
    coder: Coder, models: Callable[[int], Distribution], counts: np.ndarray, tokens: np.ndarray
) -> np.ndarray:
    """Code tokens [N] that are sorted by row, of which there are so many to each row."""
    rows = np.flatnonzero(counts)
    return code_runs(coder, [models(row) for row in rows.tolist()], counts[rows], tokens)


def _code_large(coder: Coder, magnitudes: np.ndarray) -> np.ndarray:
    """Code magnitudes that share the last token, [N], as two halves each."""
    upper = code_bits(coder, _HALF_BITS, magnitudes >> _HALF_BITS).astype(np.uint32)
    lower = code_bits(coder, _HALF_BITS, magnitudes & (2**_HALF_BITS - 1)).astype(np.uint32)
    coded = (upper << _HALF_BITS) + lower
    if coded.min() < ESCAPE_MAGNITUDE:
        raise FormatError("payload writes out a magnitude that has a token")
    return coded


def _code_signs(coder: Coder, magnitudes: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Code the signs of all symbols that are not zero; return the symbols, int32."""
    signed = np.flatnonzero(magnitudes)
    is_negative = code_bits(coder, 1, symbols.reshape(-1)[signed] < 0).astype(bool)
    values = magnitudes.reshape(-1)[signed]
    if (values > np.where(is_negative, 2**31, 2**31 - 1)).any():
        raise FormatError("payload holds a symbol beyond 32 bits")
    coded = np.zeros(magnitudes.size, np.int32)
    coded[signed] = np.where(is_negative, -values, values).view(np.int32)
    return coded.reshape(magnitudes.shape)
