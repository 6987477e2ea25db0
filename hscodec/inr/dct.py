"""The discrete cosine transform of type IV, by a complex Fourier transform of half its length."""

from functools import lru_cache

import torch


def dct4(values: torch.Tensor) -> torch.Tensor:
    r"""Return y[n] = sum_k x[k] cos(pi/M (n + 1/2)(k + 1/2)), which undoes itself but for a factor of 2/M.

    Every second value and every second one from the end are real and imaginary parts of M/2 complex numbers, which are
    turned by exp(-i pi (k + 1/8) / M) before and after their Fourier transform (Britanak, Yip and Rao, "Discrete Cosine
    and Sine Transforms", 2007, section 4.4).

    Shape:
        values: [..., M], M even
        returns: [..., M]
    """
    size = values.shape[-1]
    turn = _turn(size, values.dtype, values.device)
    turned = torch.fft.fft(torch.complex(values[..., ::2], values.flip(-1)[..., ::2]) * turn) * turn
    return torch.stack((turned.real, -turned.imag.flip(-1)), -1).flatten(-2)


@lru_cache(maxsize=8)
def _turn(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # what is cached may later take part in training
        angle = -torch.pi * (torch.arange(size // 2, dtype=torch.float64) + 1 / 8) / size
        return torch.exp(1j * angle).to(device, complex_of(dtype))


def complex_of(dtype: torch.dtype) -> torch.dtype:
    """Return the complex type in which sums of real numbers of a type are transformed."""
    return torch.complex128 if dtype == torch.float64 else torch.complex64
