r"""The lapped SIREN: one hidden layer of sines on a shared harmonic lattice, windowed so that neighbours overlap-add.

With local coordinate t in (-1, 1) over two hops, segment i renders (derived here; DESIGN of the project, section 2)

    x_i(t) = w(t) * sum_k theta[i, k] * sin(omega_k t + b_k)
    omega_k = pi (k + 1/2),  b_k = (3/2) pi (k + 1/2) + pi/2,  w(t) = cos(pi t / 2),  k = 0 .. K - 1

Frequencies and phases are shared, theta is stored per segment. Sampled with M = K samples per hop these are the basis
functions of Princen and Bradley's time-domain aliasing cancellation (1986) with a sine window, hence as many weights as
samples and an exact round trip; but theta is a set of network weights and does not know any sample rate: the same theta
can be sampled anywhere.
"""

from fractions import Fraction
from functools import lru_cache

import torch

from hscodec.inr.coordinates import first_sample_of_hop
from hscodec.inr.dct import complex_of
from hscodec.inr.lapped_transform import correlate, overlap_add

_BLOCK_SAMPLES = 1 << 20  # a regular grid is rendered in blocks of about so many samples, some 5 s at 192 kHz
_BLOCK_TIMES = 4096  # bounds the [T, K] matrix of sines in `sample` to some 30 MB


class LappedSiren:
    """Target network of the flagship family; it holds no state beyond its number of weights.

    Args:
        num_weights: K, weights of one segment, at least 1. Feature k has frequency (k + 1/2) / (2 * hop).
    """

    def __init__(self, num_weights: int) -> None:
        if num_weights < 1:
            raise ValueError(f"a lapped SIREN needs at least one weight, not {num_weights}")
        self.num_weights = num_weights

    def analyze(self, samples: torch.Tensor, samples_per_hop: int) -> torch.Tensor:
        """Return the weights that render `samples`; the round trip is exact when K equals `samples_per_hop`.

        theta = 2/M sum_n x(t_n) w(t_n) sin(omega_k t_n + b_k), M = samples per hop: theta does not depend on the rate.
        This matrix product with the hidden layer's values is evaluated as a cosine or a Fourier transform.

        Args:
            samples: Audio; the first segment's centre is sample `samples_per_hop`. Its length must be a multiple of
                the hop.
            samples_per_hop: M, a whole number.

        Shape:
            samples: [..., (S + 1) * M]
            returns: [..., S, K]; features above the Nyquist frequency (k >= M) are zero.
        """
        usable = min(self.num_weights, samples_per_hop)
        sums = correlate(samples.unfold(-1, 2 * samples_per_hop, samples_per_hop))[..., :usable]
        return torch.nn.functional.pad(sums * (2 / samples_per_hop), (0, self.num_weights - usable))

    def synthesize(
        self, theta: torch.Tensor, samples_per_hop: Fraction | int, *, first_segment: int = 0
    ) -> torch.Tensor:
        """Sample all complete hops, those between the first and the last segment's centres, on a regular grid.

        Features above the grid's Nyquist frequency are dropped, so a lower rate does not alias.

        Args:
            theta: Weights of consecutive segments.
            samples_per_hop: Output rate times hop; any positive fraction.
            first_segment: Index of theta's first segment in the stream: it fixes where the grid of a fractional rate
                falls.

        Shape:
            theta: [..., S, K]
            returns: [..., T], the samples that sit in hops [first_segment, first_segment + S - 1)
        """
        grid = Fraction(samples_per_hop)
        usable = min(theta.shape[-1], int(grid))
        theta = theta[..., :usable]
        if theta.shape[-2] < 2 or usable == 0:
            stop_hop = first_segment + max(theta.shape[-2] - 1, 0)
            num_samples = first_sample_of_hop(stop_hop, grid) - first_sample_of_hop(first_segment, grid)
            return theta.new_zeros(*theta.shape[:-2], num_samples)
        num_hops, step = theta.shape[-2] - 1, max(int(_BLOCK_SAMPLES / grid), 1)
        parts = []
        for start in range(0, num_hops, step):
            part = theta[..., start : start + step + 1, :]
            if grid.denominator == 1:
                parts.append(overlap_add(part, int(grid)))
            else:
                parts.append(_synthesize_fractional(part, grid, first_segment + start))
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]

    def sample(self, theta: torch.Tensor, times: torch.Tensor, band_limit: float | None = None) -> torch.Tensor:
        """Sample at arbitrary times, evaluating the sines directly; memory stays bounded however many times there are.

        Args:
            theta: Weights of consecutive segments.
            times: Times in hops from the centre of the first segment; outside [0, S - 1) the result is 0.
            band_limit: Highest frequency to render, in cycles per hop; None renders all features.

        Shape:
            theta: [..., S, K]
            times: [T]
            returns: [..., T]
        """
        usable = theta.shape[-1] if band_limit is None else min(theta.shape[-1], int(2 * band_limit))
        if theta.shape[-2] < 2:
            return theta.new_zeros(*theta.shape[:-2], len(times))
        pieces = []
        for block in times.split(_BLOCK_TIMES):
            hops = block.floor()
            inside = (hops >= 0) & (hops < theta.shape[-2] - 1)
            index = torch.where(inside, hops, 0).long()
            position = torch.where(inside, block - hops, 0).to(torch.float64)
            late = features(position, usable).to(theta.dtype)
            early = features(position - 1, usable).to(theta.dtype)
            value = (theta[..., index, :usable] * late).sum(-1) + (theta[..., index + 1, :usable] * early).sum(-1)
            pieces.append(value * inside)
        return torch.cat(pieces, dim=-1) if pieces else theta.new_zeros(*theta.shape[:-2], 0)


def features(coordinates: torch.Tensor, num_weights: int) -> torch.Tensor:
    """Evaluate the windowed hidden layer w(t) sin(omega_k t + b_k).

    Args:
        coordinates: Local coordinates in [-1, 1], float64 so that the high harmonics keep their phase.
        num_weights: K.

    Shape:
        coordinates: [T]
        returns: [T, K]
    """
    harmonics = torch.pi * (torch.arange(num_weights, dtype=coordinates.dtype, device=coordinates.device) + 0.5)
    phases = 1.5 * harmonics + torch.pi / 2
    window = torch.cos(torch.pi / 2 * coordinates)
    return window[:, None] * torch.sin(harmonics * coordinates[:, None] + phases)


def _synthesize_fractional(theta: torch.Tensor, grid: Fraction, first_segment: int) -> torch.Tensor:
    """Render any regular grid: [..., S, K] to [..., T].

    Sample n of a segment sits at t = t_0 + n d with d = 1 / samples per hop, so that with c_m = exp(i pi d m^2 / 2)

        sum_k theta_k sin(omega_k t + b_k) = Re[exp(i pi d n / 2) c_n sum_k a_k c*_{n-k}]
        a_k = theta_k exp(i pi (k + 1/2) (t_0 + 3/2)) c_k

    since k n = (k^2 + n^2 - (n - k)^2) / 2: a convolution with a chirp (Bluestein 1970), whatever the spacing.
    """
    num_segments, num_weights = theta.shape[-2:]
    segments = range(first_segment, first_segment + num_segments)
    starts = [first_sample_of_hop(segment - 1, grid) for segment in segments]
    stops = [first_sample_of_hop(segment + 1, grid) for segment in segments]
    length = max(stop - start for start, stop in zip(starts, stops, strict=True))
    # Exact up to here: where the first sample sits in each segment's coordinates.
    first = [float((start + Fraction(1, 2)) / grid - segment) for start, segment in zip(starts, segments, strict=True)]
    position = torch.tensor(first, dtype=torch.float64)[:, None]
    phases = _on(theta, torch.exp(1j * torch.pi * (position + 1.5) * (torch.arange(num_weights) + 0.5)))
    weight_chirp, sample_chirp, kernel = _chirps(grid, num_weights, length, theta.dtype, theta.device)

    spectrum = torch.fft.fft(theta * phases * weight_chirp, n=len(kernel))
    rendered = torch.fft.ifft(spectrum * kernel)[..., :length] * sample_chirp
    coordinates = position + torch.arange(length, dtype=torch.float64) / float(grid)
    window = torch.cos(torch.pi / 2 * coordinates).to(theta.device, theta.dtype)
    origin, end = starts[0], max(stops[-1], starts[-1] + length)
    index = torch.tensor([start - origin for start in starts])[:, None] + torch.arange(length)
    inside = index < torch.tensor([stop - origin for stop in stops])[:, None]
    values = torch.where(inside.to(theta.device), rendered.real * window, 0)
    output = theta.new_zeros(*theta.shape[:-2], end - origin)
    output.index_add_(-1, index.flatten().to(theta.device), values.flatten(-2))
    return output[..., starts[1] - origin : stops[-2] - origin]


@lru_cache(maxsize=8)
def _chirps(
    grid: Fraction, num_weights: int, num_samples: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the factor of k, the factor of n, and the spectrum of the chirp that joins them.

    Shape:
        returns: [K], [N] and [L], complex; L is long enough that the convolution does not wrap into what is used
    """
    spacing = 1 / float(grid)
    with torch.inference_mode(False):  # the cached factors may later take part in training

        def chirp(index: torch.Tensor) -> torch.Tensor:
            return torch.exp(0.5j * torch.pi * spacing * index**2)

        weight, sample = (torch.arange(count, dtype=torch.float64) for count in (num_weights, num_samples))
        size = fast_length(num_weights + num_samples - 1)
        kernel = torch.zeros(size, dtype=torch.complex128)
        kernel[:num_samples] = chirp(sample).conj()
        kernel[size - num_weights + 1 :] = chirp(weight[1:].flip(0)).conj()
        sample_factor = chirp(sample) * torch.exp(0.5j * torch.pi * spacing * sample)
        like = torch.empty(0, dtype=dtype, device=device)
        return _on(like, chirp(weight)), _on(like, sample_factor), _on(like, torch.fft.fft(kernel))


def fast_length(minimum: int) -> int:
    """Return a length of at least `minimum` that has no prime factors but 2, 3 and 5."""
    return min(factor << max(-(-minimum // factor) - 1, 0).bit_length() for factor in (1, 3, 5, 9, 15))


def _on(like: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return complex values on the device and in the precision of a real tensor."""
    return values.to(like.device, complex_of(like.dtype))
