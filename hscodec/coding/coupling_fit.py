"""Choosing the coupling of two channels: what makes the second one's symbols shortest."""

from collections.abc import Sequence

import numpy as np

from hscodec.coding.context import PASSES, Neighbourhood, contexts, loudness, on_grid
from hscodec.coding.coupling import (
    AGREEMENT_BITS,
    COUNT,
    COUPLING,
    EVEN,
    Coupling,
    band_slices,
    expected_residuals,
    mixed_loudness,
)
from hscodec.coding.fixedpoint import FixedPointTables, fine_scale_classes, latent_residuals
from hscodec.coding.frequencies import FrequencyTables
from hscodec.coding.tokens import raw_bits, tokens_of

_LATENT_TRIALS = (0, 64, 96, 128, 160, 192, 224, 255)
_LOUDNESS_TRIALS = (0, 2, 4, 6, 8, 10, 12, 16)


def choose_coupling(
    latent: np.ndarray,
    weights: np.ndarray,
    tables: FixedPointTables,
    frequencies: FrequencyTables,
    qualities: np.ndarray,
    pair: tuple[int, int],
    stored: Sequence[int],
) -> Coupling | None:
    """Return the best coupling of a pair of channels, or None if it saves less than it costs.

    Args:
        latent: Precision latent of the channels that are stored.
        weights: Weight symbols of these.
        tables: The model's integers.
        frequencies: The model's statistics.
        qualities: Quality times 100 of each of these.
        pair: First and second channel.
        stored: Which channels are stored.

    Shape:
        latent: [C, S/2, Z]
        weights: [C, S, K]
        qualities: [C]
    """
    chosen = [stored.index(channel) for channel in pair]
    residuals = latent_residuals(latent[chosen], tables.prediction)
    fine_classes = fine_scale_classes(tables, latent[chosen], qualities[chosen], weights.shape[-1])
    magnitudes = np.abs(weights[chosen]).view(np.uint32)
    share, latent_bits = _latent_share(residuals, frequencies, (int(qualities[chosen[1]]) + 50) // 100)
    counts, loudness_bits = _loudness_weights(magnitudes, fine_classes, frequencies)
    agreement, sign_bits = _sign_agreement(weights[chosen])
    if latent_bits + loudness_bits + sign_bits < 8 * (COUNT.size + COUPLING.size):
        return None
    return Coupling(*pair, share, counts, agreement)


def _latent_share(residuals: np.ndarray, frequencies: FrequencyTables, knot: int) -> tuple[int, float]:
    """Return the share of residuals [2, S/2, Z], and the bits that it saves."""
    lengths = frequencies.latent_bits[knot]
    dimensions = np.arange(len(lengths))

    def bits(values: np.ndarray) -> float:
        tokens = tokens_of(np.abs(values).view(np.uint32).reshape(-1)).reshape(values.shape)
        return float(lengths[dimensions, tokens].sum() + raw_bits(tokens).sum() + np.count_nonzero(values))

    beyond = [residuals[1] - expected_residuals(residuals[0], share) for share in _LATENT_TRIALS]
    trials = [bits(values.astype(np.int32)) for values in beyond]
    best = int(np.argmin(trials))
    return _LATENT_TRIALS[best], trials[0] - trials[best]


def _loudness_weights(
    magnitudes: np.ndarray, fine_classes: np.ndarray, frequencies: FrequencyTables
) -> tuple[tuple[int, ...], float]:
    """Return the weight of the first channel's loudness in each pass, and the bits that these save.

    Shape:
        magnitudes, fine_classes: [2, S, K]
    """
    second = Neighbourhood(fine_classes[1:], frequencies.unit)
    # A symbol's neighbours are all of earlier passes, so that all may be shown at once.
    for grid in PASSES:
        second.show(grid, magnitudes[1:][on_grid(grid)])
    first = loudness(magnitudes[:1], frequencies.unit[fine_classes[:1]])
    tokens = tokens_of(magnitudes[1:].reshape(-1)).reshape(magnitudes[1:].shape)
    chosen, saved = [], 0.0
    for index, grid in enumerate(PASSES):
        here = on_grid(grid)
        own = second.around(grid) if index else np.zeros_like(first[here])
        trials = []
        for weight in _LOUDNESS_TRIALS:
            table = index if index or not weight else 1
            context = contexts(mixed_loudness(own, first[here], weight), frequencies.edges[table])
            bits = frequencies.weight_bits[table][context, fine_classes[1:][here], tokens[here]]
            trials.append(bits.sum(dtype=float))
        best = int(np.argmin(trials))
        chosen.append(_LOUDNESS_TRIALS[best])
        saved += float(trials[0] - trials[best])
    return tuple(chosen), saved


def _sign_agreement(weights: np.ndarray) -> tuple[tuple[int, ...], float]:
    """Return how likely signs of weights [2, S, K] agree in each band, and the bits that these save."""
    agreement, saved = [], 0.0
    for band in band_slices(weights.shape[-1]):
        product = np.sign(weights[0, :, band]) * np.sign(weights[1, :, band])
        agree, differ = np.count_nonzero(product > 0), np.count_nonzero(product < 0)
        scale = 2**AGREEMENT_BITS
        likely = min(max(round(scale * (agree + 0.5) / (agree + differ + 1)), 1), scale - 1)
        gain = agree + differ + agree * np.log2(likely / scale) + differ * np.log2(1 - likely / scale)
        agreement.append(likely if gain > 0 else EVEN)
        saved += max(float(gain), 0.0)
    return tuple(agreement), saved
