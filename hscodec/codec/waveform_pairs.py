"""Which pairs of channels to rotate for the waveform: those whose symbols then are shorter at equal error.

With the rest coded at a quality that gives it the principal axis' step size, both channels get the same error, and
stereo music is 17 % shorter (docs/training.md, trial 19). To the ear it is not (trial 14; `codec.pairs`).
"""

from functools import partial

import numpy as np
import torch

from hscodec.codec.pairs import SILENT_RATIO, principal_axis, rotations_of_pairs
from hscodec.coding.rotations import ANGLE_STEP, REDUCTION_HUNDREDTHS, SILENT
from hscodec.inr.rotation import rotated
from hscodec.model import WEIGHT_UNIT, Hypernetwork

MIN_GAIN = 0.03
"""Pairs are rotated if that is expected to save this much: what couplings may save without."""
_SEARCH_STEPS = 3


def choose_waveform_rotations(
    theta: torch.Tensor, network: Hypernetwork, quality_hundredths: int, num_weights: int
) -> np.ndarray:
    """Return the rotations of a chunk, [P, 2] int32, or [0, 2] if no pair is rotated.

    Shape:
        theta: [C, S, K'], zeros from `num_weights` on
    """
    options = {"network": network, "quality": quality_hundredths / 100, "num_weights": num_weights}
    return rotations_of_pairs(theta, partial(_rotation, **options))


def _rotation(
    first: torch.Tensor, second: torch.Tensor, *, network: Hypernetwork, quality: float, num_weights: int
) -> tuple[int, int]:
    """Return angle and reduction of a pair, (0, 0) to leave it as it is."""
    angle, ratio = principal_axis(first, second)
    if ratio > SILENT_RATIO:
        return angle, SILENT
    pair = torch.stack([first, second])
    angles = torch.full((1, len(first)), angle * ANGLE_STEP).to(pair)
    axes = rotated(pair, angles)
    log_steps = _log_steps(network, pair, quality, num_weights)
    # The same error of both, as the mean of decibels counts it.
    shared = log_steps.mean(0, keepdim=True)
    if _bits(axes, shared) > (1 - MIN_GAIN) * _bits(pair, log_steps):
        return 0, 0
    lowered = _matching_quality(network, axes, quality, num_weights)
    return angle, min(round(100 * (quality - lowered) / REDUCTION_HUNDREDTHS), SILENT - 1)


def _log_steps(network: Hypernetwork, theta: torch.Tensor, quality: float, num_weights: int) -> torch.Tensor:
    """Return the logarithms of step sizes [C, S, K] that the network chooses for theta [C, S, K']."""
    latent = network.encode_latent(theta, quality)
    return network.decode_precision(latent, quality).step[..., :num_weights].log()


def _bits(theta: torch.Tensor, log_steps: torch.Tensor) -> float:
    """Return about how many bits the symbols of theta take: those of Gaussian numbers, where they pass a step."""
    symbols = theta[..., : log_steps.shape[-1]] * WEIGHT_UNIT / log_steps.exp()
    return float(torch.log2(1 + symbols.square()).sum()) / 2


def _matching_quality(network: Hypernetwork, axes: torch.Tensor, quality: float, num_weights: int) -> float:
    """Return the quality at which the rest gets the step size that the principal axis has, in the mean; at least 0."""
    config = network.config
    wanted = _log_steps(network, axes[:1], quality, num_weights).mean()
    lowered = quality
    for _ in range(_SEARCH_STEPS):
        found = _log_steps(network, axes[1:], lowered, num_weights).mean()
        level = config.level(lowered) - float(wanted - found) / config.step_per_level
        lowered = min(max(config.quality(level), 0.0), quality)
    return lowered
