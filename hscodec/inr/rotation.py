"""Rotation of channel pairs: weights are linear in the sound, so channels may be mixed before and after coding.

Two channels (a, b) become (a cos + b sin, b cos - a sin). At the angle of their principal axis the first holds all that
they share (Karhunen-Loeve transform); at 45 degrees they are mid and side.
"""

import torch


def rotated(theta: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Return weights with each pair of channels rotated by an angle of its own for each segment.

    Shape:
        theta: [C, S, K]
        angles: [P, S], radians; channels 2 p and 2 p + 1 are a pair, others stay as they are
        returns: [C, S, K]
    """
    num_paired = 2 * len(angles)
    first, second = theta[0:num_paired:2], theta[1:num_paired:2]
    cosine, sine = angles.cos()[..., None], angles.sin()[..., None]
    pairs = torch.stack([cosine * first + sine * second, cosine * second - sine * first], 1)
    return torch.cat([pairs.flatten(0, 1), theta[num_paired:]])
