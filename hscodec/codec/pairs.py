"""Which pairs of channels to rotate: those that are nearly one sound.

Wide stereo is left alone, even where a rotation would concentrate its energy: each channel's networks restore what
was not stored from what was, which does not survive being mixed (docs/training.md, trial 14).
"""

from math import atan2, log, pi

import numpy as np
import torch

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
    rows = [
        _rotation(theta[channel], theta[channel + 1], config, quality_hundredths)
        for channel in range(0, len(theta) - 1, 2)
    ]
    rotations = np.array(rows, np.int32).reshape(-1, 2)
    return rotations if rotations.any() else no_rotations()


def chunk_angles(rotations: np.ndarray, num_channels: int, num_segments: int) -> torch.Tensor:
    """Return the angle (radians) of each pair in each segment of a chunk, float32 [P, S]; zeros if none is rotated."""
    angles = np.zeros((num_channels // 2, num_segments), np.float32)
    angles[: len(rotations)] = rotations[:, :1] * ANGLE_STEP
    return torch.from_numpy(angles)


def _rotation(
    first: torch.Tensor, second: torch.Tensor, config: HypernetworkConfig, quality_hundredths: int
) -> tuple[int, int]:
    """Return angle and reduction of a pair, (0, 0) to leave it as it is."""
    moments = torch.stack([_by_band(a * b) for a, b in ((first, first), (second, second), (first, second))])
    left, right, both = moments.sum(1).tolist()
    if left + right == 0:
        return 0, 0
    angle = round(atan2(2 * both, left - right) / 2 % pi / ANGLE_STEP) % round(pi / ANGLE_STEP)
    cosine, sine = np.cos(angle * ANGLE_STEP), np.sin(angle * ANGLE_STEP)
    principal = cosine**2 * moments[0] + sine**2 * moments[1] + 2 * cosine * sine * moments[2]
    rest = sine**2 * moments[0] + cosine**2 * moments[1] - 2 * cosine * sine * moments[2]
    is_heard = principal > _HEARD_SHARE * principal.sum()
    ratio = float((principal[is_heard] / rest[is_heard].clamp(min=1e-30)).min())
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
