r"""Lapped SIRENs at arbitrary times: a non-uniform Fourier transform in place of a sine for every time and feature.

Without its window a segment is a sum of sines on a lattice, sum_k theta_k sin(omega_k t + b_k): it repeats after two
hops with the opposite sign and holds no frequency above K/2 cycles a hop. So a Fourier transform renders it on a grid
twice as fine as it needs, and what lies between is the grid's values weighted with a narrow kernel,

    s(t) = sum_n g_n phi(t M - n),    g_n = sum_k theta_k / hat_phi(omega_k / M) sin(omega_k n / M + b_k)

where hat_phi, the kernel's Fourier transform, takes back what the kernel does to each sine (Dutt and Rokhlin 1993,
Fessler and Sutton 2003: a non-uniform Fourier transform of type 2). The kernel is the exponential of a semicircle
(Barnett, Magland and af Klinteberg 2019), whose error falls tenfold with each point. The window comes afterwards, at
the exact time: it has a kink at either end, which no interpolation across segments would follow.

With T times in H different hops this takes O(H K log K + T) for each channel, however long the sound is, and memory
that depends on neither. Each time weighs 8 points of two segments (16 in double precision); errors are below 1e-6 of
the root of the sum of theta's squares, 1e-12 in double precision (`tests/inr/test_nonuniform.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import pi

import numpy as np
import torch

from hscodec.inr.dct import complex_of
from hscodec.inr.lapped import fast_length
from hscodec.inr.slopes import Sampled

_OVERSAMPLING = 2
_WIDTH = {torch.float32: 8, torch.float64: 16}
"""Points of the grid that each time weighs: even numbers."""
_SHAPE_PER_POINT = 2.3
"""beta / width, the best for twice oversampled grids (Barnett et al., section 4)."""
_QUADRATURE_POINTS = 120
_BLOCK_HOPS = 64
_BLOCK_TIMES = 1 << 15
"""So many hops are rendered, and so many times are gathered, at once: some 30 MB for each channel at 48 kHz."""


def sample_nonuniform(
    theta: torch.Tensor, times: torch.Tensor, *, band_limit: Fraction | float | None = None, with_slopes: bool = False
) -> Sampled:
    """Sample at arbitrary times, as `LappedSiren.sample` does, but fast where there are many.

    Nothing is recorded for autograd; `slopes.differentiable` makes the result a function of the times.

    Args:
        theta: Weights of consecutive segments, in single or double precision.
        times: Times in hops from the centre of the first segment, in any order; outside [0, S - 1) the result is 0.
            Double precision keeps their distances in long sounds.
        band_limit: Highest frequency to render, in cycles per hop; None renders all features.
        with_slopes: Whether to return the derivative with respect to time (per hop) as well.

    Shape:
        theta: [..., S, K]
        times: [T]
        returns: [..., T], on theta's device and in its precision
    """
    usable = theta.shape[-1] if band_limit is None else min(theta.shape[-1], int(2 * band_limit))
    lead, num_segments = theta.shape[:-2], theta.shape[-2]
    outputs = torch.zeros(1 + with_slopes, *lead, len(times), dtype=theta.dtype, device=theta.device)
    with torch.no_grad():
        if num_segments > 1 and usable:
            rows = theta[..., :usable].reshape(-1, num_segments, usable)
            channels = outputs.view(len(outputs), len(rows), -1)
            for places, hops, positions in _blocks(times, num_segments - 1):
                channels[..., places.to(theta.device)] = _render(rows, hops, positions, with_slopes)
    return Sampled(outputs[0], outputs[1] if with_slopes else None)


def _blocks(times: torch.Tensor, num_hops: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield times in order, in blocks of few hops: where they stand, their hop, and where in it they lie (0 to 1)."""
    exact = times.detach()
    if exact.device.type == "mps":  # knows no double precision
        exact = exact.cpu()
    exact = exact.to(torch.float64)
    hops = exact.floor()
    order = torch.where((hops >= 0) & (hops < num_hops), hops, num_hops).argsort(stable=True)
    counts = torch.bincount(hops[(hops >= 0) & (hops < num_hops)].long(), minlength=num_hops)
    present = torch.nonzero(counts)[:, 0]
    ends = counts[present].cumsum(0).tolist()
    start = 0
    for group in range(0, len(ends), _BLOCK_HOPS):
        stop = ends[min(group + _BLOCK_HOPS, len(ends)) - 1]
        for first in range(start, stop, _BLOCK_TIMES):
            places = order[first : min(first + _BLOCK_TIMES, stop)]
            yield places, hops[places].long(), exact[places] - hops[places]
        start = stop


def _render(theta: torch.Tensor, hops: torch.Tensor, positions: torch.Tensor, with_slopes: bool) -> torch.Tensor:
    """Return values, and slopes if they are wanted, [1 or 2, C, T] at ascending hops."""
    kernel = _kernel(theta.shape[-1], theta.dtype, theta.device)
    per_hop, width = kernel.samples_per_hop, kernel.width
    present, rank = hops.unique_consecutive(return_inverse=True)
    segments = torch.cat([present, present + 1]).unique()
    grid = kernel.grid(theta[:, segments.to(theta.device)], with_slopes)

    # Grid points of both segments lie at the same distances: they differ by a whole hop.
    scaled = positions * per_hop
    first = (scaled - width // 2).ceil()
    distances = (first - scaled).to(theta.device, theta.dtype)[:, None] + torch.arange(width, device=theta.device)
    weights = kernel.values(distances)
    early_row = torch.searchsorted(segments, present + 1)[rank]
    late_row = torch.searchsorted(segments, present)[rank]
    offset = first.long() + width // 2
    windows = grid.flatten(2).unfold(-1, width, 1)
    length = grid.shape[-1]
    late, early = (
        torch.einsum("octw,tw->oct", windows[:, :, place.to(theta.device)], weights)
        for place in (late_row * length + offset + per_hop, early_row * length + offset)
    )
    angle = (pi / 2 * positions).to(theta.device, theta.dtype)
    late_window, early_window = angle.cos(), angle.sin()
    outputs = late * late_window + early * early_window
    if with_slopes:
        outputs[1] += pi / 2 * (early[0] * late_window - late[0] * early_window)
    return outputs


@dataclass(frozen=True)
class _Kernel:
    """The grid of a number of features and the kernel that interpolates on it.

    Attributes:
        samples_per_hop: M.
        width: Points that the kernel covers.
        before: Factors of the weights for values and for slopes, [2, K] complex.
        after: Factors of the grid points, [2 M] complex.
    """

    samples_per_hop: int
    width: int
    before: torch.Tensor
    after: torch.Tensor

    def values(self, distances: torch.Tensor) -> torch.Tensor:
        """Return the kernel at distances in grid points, which do not exceed half its width."""
        return _semicircle(distances, self.width)

    def grid(self, theta: torch.Tensor, with_slopes: bool) -> torch.Tensor:
        """Return segments [C, S, K], without their windows, from half a kernel before coordinate -1 to half behind 1.

        Shape:
            returns: [1 or 2, C, S, 2 M + width]; first the values, then their slopes
        """
        before = self.before[: 1 + with_slopes, None, None]
        rendered = torch.fft.ifft(theta * before, n=len(self.after), norm="forward")
        points = rendered.real * self.after.real - rendered.imag * self.after.imag
        half = self.width // 2
        return torch.cat([-points[..., -half:], points, -points[..., :half]], -1)


@lru_cache(maxsize=8)
def _kernel(num_weights: int, dtype: torch.dtype, device: torch.device) -> _Kernel:
    """Return the kernel for so many features.

    Point n of the grid lies at coordinate n / M - 1, where feature k is the real part of
    exp(i (b_k - omega_k - pi/2)) exp(i pi n / 2 M) exp(2 pi i k n / 2 M): a factor of k, one of n, a Fourier kernel.
    """
    width = _WIDTH[dtype]
    per_hop = max(fast_length(_OVERSAMPLING * num_weights), 2 * width)
    omega = np.pi * (np.arange(num_weights) + 0.5)
    nodes, areas = np.polynomial.legendre.leggauss(_QUADRATURE_POINTS)
    nodes, areas = nodes * width / 2, areas * width / 2
    shape = areas * _semicircle(torch.from_numpy(nodes), width).numpy()
    transform = np.cos(omega[:, None] / per_hop * nodes) @ shape
    value = np.exp(1j * (omega / 2)) / transform  # b_k - omega_k - pi/2 is omega_k / 2
    before = np.stack([value, 1j * omega * value])
    after = np.exp(0.5j * np.pi * np.arange(2 * per_hop) / per_hop)
    with torch.inference_mode(False):
        factors = (torch.from_numpy(factor).to(complex_of(dtype)).to(device) for factor in (before, after))
        return _Kernel(per_hop, width, *factors)


def _semicircle(distances: torch.Tensor, width: int) -> torch.Tensor:
    """Return exp(beta (sqrt(1 - x^2) - 1)) with x = 1 at half the width."""
    height = (1 - (distances * (2 / width)) ** 2).clamp(min=0).sqrt()
    return torch.exp(_SHAPE_PER_POINT * width * (height - 1))
