r"""The sums of the lapped SIREN's hidden layer on grids with a whole number of samples per hop, M, as fast transforms.

Sampled at t_n = (n + 1/2)/M - 1 the hidden layer, see `lapped`, is

    w(t_n) sin(omega_k t_n + b_k) = w(t_n) cos(pi/M (n + n0)(k + 1/2)),  n0 = (M + 1)/2,  0 <= n < 2M,  0 <= k < M

the lapped transform of Princen and Bradley (1986), which a cosine transform of length M evaluates wherever M is even.
"""

from functools import lru_cache

import torch

from hscodec.inr.dct import complex_of, dct4


def correlate(segments: torch.Tensor) -> torch.Tensor:
    """Return sum_n x(t_n) w(t_n) sin(omega_k t_n + b_k) of each segment.

    Shape:
        segments: [..., S, 2M]
        returns: [..., S, M]
    """
    samples_per_hop = segments.shape[-1] // 2
    if samples_per_hop % 2:
        window, phase = _fourier_factors(samples_per_hop, samples_per_hop, segments.dtype, segments.device)
        spectrum = torch.fft.fft(segments * window)[..., :samples_per_hop]
        return spectrum.real * phase.real - spectrum.imag * phase.imag
    rise, fall = _slopes(samples_per_hop, segments.dtype, segments.device)
    early, late = segments[..., :samples_per_hop] * rise, segments[..., samples_per_hop:] * fall
    (first, second), (third, fourth) = early.chunk(2, -1), late.chunk(2, -1)
    return dct4(torch.cat((-third.flip(-1) - fourth, first - second.flip(-1)), -1))


def overlap_add(theta: torch.Tensor, samples_per_hop: int) -> torch.Tensor:
    """Return w(t_n) sum_k theta_k sin(omega_k t_n + b_k), added up where segments overlap.

    Shape:
        theta: [..., S, K], K at most M
        returns: [..., (S - 1) * M]
    """
    if samples_per_hop % 2:
        window, phase = _fourier_factors(samples_per_hop, theta.shape[-1], theta.dtype, theta.device)
        spectrum = torch.fft.fft(theta * phase, n=2 * samples_per_hop)
        segments = spectrum.real * window.real - spectrum.imag * window.imag
        return (segments[..., :-1, samples_per_hop:] + segments[..., 1:, :samples_per_hop]).flatten(-2)
    # A segment is the second half of its transform, forwards and mirrored, and then the first, mirrored and forwards.
    rise, fall = (slope.chunk(2) for slope in _slopes(samples_per_hop, theta.dtype, theta.device))
    values = dct4(torch.nn.functional.pad(theta, (0, samples_per_hop - theta.shape[-1])))
    late, early = values[..., :-1, : samples_per_hop // 2], values[..., 1:, samples_per_hop // 2 :]
    first = early * rise[0] - late.flip(-1) * fall[0]
    second = -early.flip(-1) * rise[1] - late * fall[1]
    return torch.cat((first, second), -1).flatten(-2)


@lru_cache(maxsize=8)
def _slopes(samples_per_hop: int, dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the window w(t_n) where it rises and where it falls, [M] each."""
    with torch.inference_mode(False):  # what is cached may later take part in training
        position = (torch.arange(samples_per_hop, dtype=torch.float64) + 0.5) / samples_per_hop
        rise = torch.sin(torch.pi / 2 * position).to(device, dtype)
        return rise, rise.flip(0)


@lru_cache(maxsize=8)
def _fourier_factors(
    samples_per_hop: int, num_weights: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors of n and of k around the Fourier transform that evaluates the hidden layer, whatever M is.

    It is the real part of exp(-i pi n0 (k + 1/2)/M) exp(-i pi n / 2M) exp(-2 i pi n k / 2M): a factor of k, one of n,
    and a Fourier kernel of length 2M. The window joins the factor of n.

    Shape:
        returns: [2M] and [K], complex
    """
    with torch.inference_mode(False):  # the cached factors may later take part in training
        sample = torch.arange(2 * samples_per_hop, dtype=torch.float64)
        harmonic = torch.arange(num_weights, dtype=torch.float64) + 0.5
        window = torch.cos(torch.pi / 2 * ((sample + 0.5) / samples_per_hop - 1))
        window = window * torch.exp(-0.5j * torch.pi * sample / samples_per_hop)
        phase = torch.exp(-1j * torch.pi * harmonic * (samples_per_hop + 1) / (2 * samples_per_hop))
        return window.to(device, complex_of(dtype)), phase.to(device, complex_of(dtype))
