"""Functions of time whose derivative is known: values that carry their own gradient with respect to time.

Letting autograd record how many values were computed would keep everything that they were computed from. Value and
derivative together are two numbers for each time, whatever they took.
"""

from typing import Any, NamedTuple

import torch


class Sampled(NamedTuple):
    """What a function of time is at some times.

    Shape:
        values: [..., T]
        slopes: [..., T], the derivative with respect to time; None if nobody asked
    """

    values: torch.Tensor
    slopes: torch.Tensor | None


def differentiable(times: torch.Tensor, values: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Return the values as a function of the times, for one backward pass.

    Args:
        times: What gradients are for; on any device, in any precision.
        values: At these times.
        slopes: Their derivative with respect to time.

    Shape:
        times: [T]
        values: [..., T]
        slopes: [..., T]
        returns: [..., T]
    """
    return _WithSlopes.apply(times, values, slopes)


class _WithSlopes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: torch.Tensor, values: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(slopes)
        ctx.like = times.device, times.dtype
        return values.view_as(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slopes,) = ctx.saved_tensors
        device, dtype = ctx.like
        total = (gradients[0] * slopes).flatten(0, -2).sum(0) if slopes.ndim > 1 else gradients[0] * slopes
        return total.to(device).to(dtype), None, None
