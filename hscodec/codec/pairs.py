"""Which pairs of channels to rotate: for the ear, those that are nearly one sound.

Wide stereo is left alone, even where a rotation would concentrate its energy: each channel's networks restore what
was not stored from what was, which does not survive being mixed (docs/training.md, trial 14). For the waveform there is
another rule, `codec.waveform_pairs`.
"""

from collections.abc import Callable
from functools import partial
from math import atan2, log, pi

import numpy as np
import torch

from hscodec.coding.channel_pairs import channel_pairs
from hscodec.coding.rotations import ANGLE_STEP, REDUCTION_HUNDREDTHS, SILENT, no_rotations
from hscodec.hypernet.config import HypernetworkConfig

MIN_RATIO = 10**1.6
"""Pairs are rotated if the rest is at least 16 dB below the principal axis in every band that is heard."""
SILENT_RATIO = 10**6.0
"""60 dB below, the rest is not stored."""
_NUM_BANDS = 12
_FIRST_BAND = 8
_HEARD_SHARE = 1e-6


def choose_rotations(theta: torch.Tensor, config: HypernetworkConfig, quality_hundredths: int) -> np.ndarray:
    """Return the rotations of a chunk, [P, 2] int32, or [0, 2] if no pair is rotated.

    Shape:
        theta: [C, S, K]
    """
    return rotations_of_pairs(theta, partial(_rotation, config=config, quality_hundredths=quality_hundredths))


def rotations_of_pairs(
    theta: torch.Tensor, choose: Callable[[torch.Tensor, torch.Tensor], tuple[int, int]]
) -> np.ndarray:
    """Return what a rule chooses for each two channels that follow, [P, 2] int32, or [0, 2] if no pair is rotated.

    Only left and right are asked about; where the second channel that follows is another one, nothing is rotated.

    Shape:
        theta: [C, S, K]
    """
    firsts = [first for first, second in channel_pairs(len(theta)) if first % 2 == 0 and second == first + 1]
    rotations = np.zeros((len(theta) // 2, 2), np.int32)
    for first in firsts:
        rotations[first // 2] = choose(theta[first], theta[first + 1])
    return rotations if rotations.any() else no_rotations()


def chunk_angles(rotations: np.ndarray, num_channels: int, num_segments: int) -> torch.Tensor:
    """Return the angle (radians) of each pair in each segment of a chunk, float32 [P, S]; zeros if none is rotated."""
    angles = np.zeros((num_channels // 2, num_segments), np.float32)
    angles[: len(rotations)] = rotations[:, :1] * ANGLE_STEP
    return torch.from_numpy(angles)


def principal_axis(first: torch.Tensor, second: torch.Tensor) -> tuple[int, float]:
    """Return the angle of what two channels [S, K] share, in units of `ANGLE_STEP`, and how far the rest is below.

    That is the ratio of energies, principal axis over rest, of the band in which it is smallest; 0 for silence.
    """
    moments = torch.stack([_by_band(a * b) for a, b in ((first, first), (second, second), (first, second))])
    left, right, both = moments.sum(1).tolist()
    if left + right == 0:
        return 0, 0.0
    angle = round(atan2(2 * both, left - right) / 2 % pi / ANGLE_STEP) % round(pi / ANGLE_STEP)
    cosine, sine = np.cos(angle * ANGLE_STEP), np.sin(angle * ANGLE_STEP)
    principal = cosine**2 * moments[0] + sine**2 * moments[1] + 2 * cosine * sine * moments[2]
    rest = sine**2 * moments[0] + cosine**2 * moments[1] - 2 * cosine * sine * moments[2]
    is_heard = principal > _HEARD_SHARE * principal.sum()
    return angle, float((principal[is_heard] / rest[is_heard].clamp(min=1e-30)).min())


def _rotation(
    first: torch.Tensor, second: torch.Tensor, *, config: HypernetworkConfig, quality_hundredths: int
) -> tuple[int, int]:
    """Return angle and reduction of a pair, (0, 0) to leave it as it is."""
    angle, ratio = principal_axis(first, second)
    if ratio < MIN_RATIO:
        return 0, 0
    if ratio > SILENT_RATIO:
        return angle, SILENT
    # A step size for both: the rest is stored as finely as the principal axis, and no finer.
    quality = quality_hundredths / 100
    level = config.level(quality) - log(ratio) / 2 / config.step_per_level
    lowered = quality_hundredths - 100 * max(config.quality(level), 0.0)
    return angle, min(max(round(lowered / REDUCTION_HUNDREDTHS), 0), SILENT - 1)


def _by_band(products: torch.Tensor) -> torch.Tensor:
    """Return sums [B] of [S, K] over all segments and over bands that widen with frequency."""
    num_weights = products.shape[-1]
    edges = np.unique(np.round(np.geomspace(_FIRST_BAND, num_weights, _NUM_BANDS)).astype(int))
    sums = products.cpu().double().sum(0).cumsum(0)  # not every device has double precision
    return torch.diff(sums[torch.from_numpy(edges - 1)], prepend=sums.new_zeros(1))
