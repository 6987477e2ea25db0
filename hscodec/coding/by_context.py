"""Order `by-context`: each symbol by the statistics of its fine scale class and of its neighbours, without zstd.

The layout is normative in `docs/format.md`. Reading and writing are one walk through the symbols, see `coding.rans`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hscodec.coding.context import PASSES, Neighbourhood, contexts, loudness, on_grid
from hscodec.coding.coupling import AGREEMENT_BITS, Coupling, band_slices, expected_residuals, mixed_loudness
from hscodec.coding.fixedpoint import FixedPointTables, fine_scale_classes, latent_from_residuals, latent_residuals
from hscodec.coding.frequencies import FrequencyTables
from hscodec.coding.order import NUM_FINE_CLASSES
from hscodec.coding.rans import Coder, Distribution, Reader, Writer, code_bits, distribution
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

    def weight_models(self, rows: np.ndarray) -> list[Distribution]:
        """Return the distributions of tokens by pass, context and fine scale class."""
        ...

    def latent_models(self, rows: np.ndarray) -> list[Distribution]:
        """Return the distributions of tokens by whole quality and latent channel."""
        ...


def write(
    latent: np.ndarray,
    weights: np.ndarray,
    tables: FixedPointTables,
    frequencies: FrequencyTables,
    quality_hundredths: int | np.ndarray,
    couplings: Sequence[Coupling] = (),
) -> bytes:
    """Return the bytes of a chunk's symbols; arguments as those of `read`.

    Shape:
        latent: [C, S/2, Z] int32
        weights: [C, S, K] int32
    """
    writer = Writer()
    residuals = latent_residuals(latent, tables.prediction)
    walk(writer, residuals, weights, tables, frequencies, quality_hundredths, couplings)
    return writer.finish()


def read(
    content: bytes,
    tables: FixedPointTables,
    frequencies: FrequencyTables,
    quality_hundredths: int | np.ndarray,
    couplings: Sequence[Coupling] = (),
    *,
    shape: tuple[int, int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return latent [C, S/2, Z] and weight symbols [C, S, K], both int32.

    Args:
        content: What `write` returned.
        tables: The model's integers.
        frequencies: The model's statistics.
        quality_hundredths: Quality times 100, one for all channels or one for each, [C].
        couplings: Of pairs of channels, none of them in two.
        shape: (C, S, K): channels, segments (even), weights of one segment.

    Raises:
        FormatError: The content is not that of such a chunk.
    """
    channels, segments, _ = shape
    reader = Reader(content)
    empty = np.zeros((channels, segments // 2, tables.latent_channels), np.int32), np.zeros(shape, np.int32)
    latent, weights = walk(reader, *empty, tables, frequencies, quality_hundredths, couplings)
    reader.check_end()
    return latent, weights


def walk(
    coder: Coder,
    residuals: np.ndarray,
    weights: np.ndarray,
    tables: FixedPointTables,
    frequencies: Statistics,
    quality_hundredths: int | np.ndarray,
    couplings: Sequence[Coupling] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Let a coder write the symbols of a chunk, or read as many; return latent and weight symbols as it has seen them.

    Args:
        coder: A reader replaces the symbols that are given by those that it reads.
        residuals: Latent residuals.
        weights: Weight symbols.
        tables: The model's integers.
        frequencies: The model's statistics.
        quality_hundredths: Quality times 100, one for all channels or one for each.
        couplings: Of pairs of channels, none of them in two. Second channels are coded behind all others.

    Shape:
        residuals: [C, S/2, Z] int32
        weights: [C, S, K] int32
        returns: [C, S/2, Z] int32 and [C, S, K] int32

    Raises:
        FormatError: A reader reads what no writer writes.
    """
    qualities = np.broadcast_to(quality_hundredths, residuals.shape[:1])
    seconds = [coupling.second for coupling in couplings]
    others = [channel for channel in range(len(residuals)) if channel not in seconds]
    statistics = tables, frequencies
    coded = _walk_channels(coder, residuals[others], weights[others], *statistics, qualities[others])
    if not couplings:
        return coded.latent, coded.weights
    firsts = _Firsts(couplings, coded.at([others.index(coupling.first) for coupling in couplings]))
    told = _walk_channels(coder, residuals[seconds], weights[seconds], *statistics, qualities[seconds], firsts)
    places = np.argsort([*others, *seconds])
    latent, weights = np.concatenate([coded.latent, told.latent]), np.concatenate([coded.weights, told.weights])
    return latent[places], weights[places]


@dataclass(frozen=True)
class _Coded:
    """Channels as a coder has seen them.

    Shape:
        residuals, latent: [C, S/2, Z] int32
        fine_classes: [C, S, K] uint8
        weights: [C, S, K] int32
    """

    residuals: np.ndarray
    latent: np.ndarray
    fine_classes: np.ndarray
    weights: np.ndarray

    def at(self, channels: list[int]) -> "_Coded":
        return _Coded(*(values[channels] for values in (self.residuals, self.latent, self.fine_classes, self.weights)))


@dataclass(frozen=True)
class _Firsts:
    """What is known of second channels before they are coded: their couplings, and the first channel of each."""

    couplings: Sequence[Coupling]
    coded: _Coded

    def expected_residuals(self) -> np.ndarray:
        factors = np.array([coupling.latent for coupling in self.couplings])
        return expected_residuals(self.coded.residuals, factors[:, None, None])

    def loudness(self, unit: np.ndarray) -> np.ndarray:
        return loudness(_magnitudes(self.coded.weights), unit[self.coded.fine_classes])

    def weights_of(self, pass_index: int) -> np.ndarray:
        weights = np.array([coupling.loudness[pass_index] for coupling in self.couplings], np.int32)
        return weights[:, None, None]


def _walk_channels(
    coder: Coder,
    residuals: np.ndarray,
    weights: np.ndarray,
    tables: FixedPointTables,
    frequencies: Statistics,
    qualities: np.ndarray,
    firsts: _Firsts | None = None,
) -> _Coded:
    """Walk through channels of these qualities [C], which may be the second ones of pairs."""
    expected = 0 if firsts is None else firsts.expected_residuals()
    beyond = (residuals - expected).astype(np.int32)  # it wraps
    residuals = (_code_residuals(coder, beyond, frequencies, qualities) + expected).astype(np.int32)
    latent = latent_from_residuals(residuals, tables.prediction)
    fine_classes = fine_scale_classes(tables, latent, qualities, weights.shape[-1])
    neighbourhood = Neighbourhood(fine_classes, frequencies.unit)
    first_loudness = None if firsts is None else firsts.loudness(frequencies.unit)
    magnitudes = _magnitudes(weights)
    for index, grid in enumerate(PASSES):
        chosen = on_grid(grid)
        around, counts = neighbourhood.around(grid), np.zeros((1, 1, 1), np.int32)
        if firsts is not None and first_loudness is not None:
            counts = firsts.weights_of(index)
            around = mixed_loudness(around, first_loudness[chosen], counts)
        rows = _rows(frequencies, index, around, fine_classes[chosen], is_told=counts > 0)
        coded = _code_magnitudes(coder, frequencies.weight_models, rows, magnitudes[chosen])
        neighbourhood.show(grid, coded)
        magnitudes[chosen] = coded
    if firsts is None:
        weights = _code_signs(coder, magnitudes, weights)
    else:
        weights = _code_related_signs(coder, magnitudes, weights, firsts)
    return _Coded(residuals, latent, fine_classes, weights)


def _code_residuals(coder: Coder, residuals: np.ndarray, frequencies: Statistics, qualities: np.ndarray) -> np.ndarray:
    """Code numbers [C, S/2, Z] under the tables of latent residuals."""
    # One latent channel after the other, each with all channels of sound: [Z, C, S/2].
    ordered = residuals.transpose(2, 0, 1)
    rows = len(ordered) * ((qualities + 50) // 100) + np.arange(len(ordered))[:, None]
    rows = np.broadcast_to(rows[..., None], ordered.shape)
    magnitudes = _code_magnitudes(coder, frequencies.latent_models, rows, _magnitudes(ordered))
    return _code_signs(coder, magnitudes, ordered).transpose(1, 2, 0)


def _rows(
    frequencies: Statistics, index: int, around: np.ndarray, fine_classes: np.ndarray, *, is_told: np.ndarray
) -> np.ndarray:
    """Return which row of the tables of frequencies is each symbol's; `is_told` broadcasts to the symbols.

    The first pass has no neighbours. Where it is told of another channel's loudness, it takes the tables of the second.
    """

    def rows(table: int) -> np.ndarray:
        edges = frequencies.edges[table]
        rows = contexts(around, edges).astype(np.uint16, copy=False)  # fast to sort
        rows += table * (len(edges) + 1)
        rows *= NUM_FINE_CLASSES
        rows += fine_classes
        return rows

    return np.where(is_told, rows(1), rows(0)) if index == 0 and is_told.any() else rows(index)


def _magnitudes(symbols: np.ndarray) -> np.ndarray:
    return np.abs(symbols).view(np.uint32)  # the magnitude of -2^31 needs 32 bits


def _code_magnitudes(
    coder: Coder, models: Callable[[np.ndarray], list[Distribution]], rows: np.ndarray, magnitudes: np.ndarray
) -> np.ndarray:
    """Code magnitudes, those of one row of a table of frequencies after those of another.

    Args:
        coder: Writer or reader.
        models: Returns the distributions of rows.
        rows: The row of each symbol.
        magnitudes: The symbols' magnitudes.

    Shape:
        rows: any
        magnitudes: the same, uint32
        returns: the same
    """
    order = np.argsort(rows.reshape(-1), kind="stable")
    magnitudes = magnitudes.reshape(-1)
    counts = np.bincount(rows.reshape(-1))
    present = np.flatnonzero(counts)
    tokens = coder.code_runs(models(present), counts[present], lambda: tokens_of(magnitudes[order]))
    coded = tokens.astype(np.uint32)
    beyond = np.flatnonzero(tokens >= NUM_DIRECT)  # few; all others are their tokens
    coded[beyond] = lowest_magnitudes(tokens[beyond])
    bits = raw_bits(tokens[beyond])
    for num_bits in np.unique(bits[bits > 0]).tolist():
        chosen = beyond[bits == num_bits]
        coded[chosen] += code_bits(coder, num_bits, magnitudes[order[chosen]] - coded[chosen]).astype(np.uint32)
    large = beyond[tokens[beyond] == ESCAPE_TOKEN]
    if large.size:
        coded[large] = _code_large(coder, magnitudes[order[large]])
    result = np.empty_like(coded)
    result[order] = coded
    return result.reshape(rows.shape)


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
    chosen = np.flatnonzero(magnitudes != 0)  # most are; a mask is searched faster than numbers are
    is_negative = code_bits(coder, 1, symbols.reshape(-1)[chosen] < 0).astype(bool)
    coded = np.zeros(magnitudes.size, np.int32)
    coded[chosen] = _signed(magnitudes.reshape(-1)[chosen], is_negative)
    return coded.reshape(magnitudes.shape)


def _code_related_signs(coder: Coder, magnitudes: np.ndarray, symbols: np.ndarray, firsts: _Firsts) -> np.ndarray:
    """Code the signs of second channels, [C, S, K]; return the symbols, int32."""
    others = firsts.coded.weights
    is_alone = (magnitudes > 0) & (others == 0)
    is_negative = np.zeros(magnitudes.shape, bool)
    is_negative[is_alone] = code_bits(coder, 1, symbols[is_alone] < 0)
    for channel, coupling in enumerate(firsts.couplings):
        for band, agreement in zip(band_slices(magnitudes.shape[-1]), coupling.agreement, strict=True):
            other = others[channel, :, band]
            has_both = (magnitudes[channel, :, band] > 0) & (other != 0)
            differs = (symbols[channel, :, band] < 0) != (other < 0)
            counts = np.array([agreement, 2**AGREEMENT_BITS - agreement], np.int32)
            coded = coder.code(distribution(counts, AGREEMENT_BITS), differs[has_both].astype(np.int32))
            is_negative[channel, :, band][has_both] = coded.astype(bool) != (other[has_both] < 0)
    return _signed(magnitudes, is_negative)


def _signed(magnitudes: np.ndarray, is_negative: np.ndarray) -> np.ndarray:
    """Return magnitudes, uint32 of any shape, with their signs, as int32."""
    if (magnitudes > np.where(is_negative, np.uint32(2**31), np.uint32(2**31 - 1))).any():
        raise FormatError("payload holds a symbol beyond 32 bits")
    return np.where(is_negative, -magnitudes, magnitudes).view(np.int32)
