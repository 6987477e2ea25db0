"""What training minimises: spectral and waveform distortion plus rate.

The starting point is HyperSound's L1 + multi-resolution mel-STFT (Szatkowski et al. 2023, section 3.3); the waveform
term here is relative to the item's level, so quiet items count as much as loud ones.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

TOP_MEL_HZ = 20_000.0


@dataclass(frozen=True)
class StftResolution:
    """One resolution of the spectral loss: FFT length (samples) and number of mel bands."""

    fft_samples: int
    num_mels: int


RESOLUTIONS_48K = (
    StftResolution(4096, 120),
    StftResolution(2048, 100),
    StftResolution(1024, 80),
    StftResolution(512, 48),
    StftResolution(256, 24),
)


def mel_filters(fft_samples: int, num_mels: int, sample_rate: int) -> np.ndarray:
    """Return triangular mel filters of unit sum (HTK mel scale), float32; filters that meet no bin are left out.

    Shape:
        returns: [M, fft_samples // 2 + 1], M <= num_mels
    """
    return numbered_mel_filters(fft_samples, num_mels, sample_rate)[0]


def numbered_mel_filters(fft_samples: int, num_mels: int, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the filters of `mel_filters`, and which of the `num_mels` each is.

    Short FFTs have fewer bins than filters at low frequencies, so that numbers are missing there.

    Shape:
        returns: [M, fft_samples // 2 + 1] float32, and [M] int in [0, num_mels), rising
    """
    top_hz = min(sample_rate / 2, TOP_MEL_HZ)
    frequencies = np.linspace(0, sample_rate / 2, fft_samples // 2 + 1)
    mels = np.linspace(0, 2595 * np.log10(1 + top_hz / 700), num_mels + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling))
    numbers = np.flatnonzero(filters.sum(1) > 1e-3)
    filters = filters[numbers]
    return (filters / filters.sum(1, keepdims=True)).astype(np.float32), numbers


class MelStft(nn.Module):
    """Mel magnitudes at several resolutions.

    Args:
        sample_rate: Rate of the audio (Hz).
        resolutions: STFT resolutions; the hop is a quarter of the FFT.
    """

    def __init__(self, sample_rate: int, resolutions: tuple[StftResolution, ...]) -> None:
        super().__init__()
        self.resolutions = resolutions
        for index, resolution in enumerate(resolutions):
            filters, numbers = numbered_mel_filters(resolution.fft_samples, resolution.num_mels, sample_rate)
            self.register_buffer(f"filters_{index}", torch.from_numpy(filters), persistent=False)
            self.register_buffer(f"numbers_{index}", torch.from_numpy(numbers), persistent=False)
            self.register_buffer(f"window_{index}", torch.hann_window(resolution.fft_samples), persistent=False)

    def mel_spectrogram(self, samples: torch.Tensor, index: int) -> torch.Tensor:
        """Return mel magnitudes of resolution `index`: samples [B, T] to [B, M, frames]."""
        fft_samples = self.resolutions[index].fft_samples
        window = self.get_buffer(f"window_{index}")
        spectrum = torch.stft(samples, fft_samples, fft_samples // 4, fft_samples, window, return_complex=True)
        magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)  # smooth at 0, unlike abs()
        return self.get_buffer(f"filters_{index}") @ magnitude


class MelStftLoss(MelStft):
    """Multi-resolution mel-STFT distance: L1 of log magnitudes plus a relative L1 of magnitudes.

    Args:
        sample_rate: Rate of the audio (Hz).
        resolutions: STFT resolutions; the hop is a quarter of the FFT.
        linear_weight: Weight of the linear term.
        log_floor: Magnitude added before the logarithm: what is far below it counts as silence.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        resolutions: tuple[StftResolution, ...] = RESOLUTIONS_48K,
        linear_weight: float = 0.3,
        log_floor: float = 1e-3,
    ) -> None:
        super().__init__(sample_rate, resolutions)
        self.linear_weight = linear_weight
        self.log_floor = log_floor

    def forward(self, reference: torch.Tensor, estimate: torch.Tensor, chosen: list[int] | None = None) -> torch.Tensor:
        """Return the mean distance over the chosen resolutions (all by default).

        A few resolutions per step, drawn at random, train as well as all of them and cost a fraction.

        Shape:
            reference, estimate: [B, T]
            returns: []
        """
        indices = list(range(len(self.resolutions))) if chosen is None else chosen
        total = reference.new_zeros(())
        for index in indices:
            target = self.mel_spectrogram(reference, index)
            output = self.mel_spectrogram(estimate, index)
            logarithmic = (torch.log(target + self.log_floor) - torch.log(output + self.log_floor)).abs().mean()
            linear = (target - output).abs().mean() / (target.mean() + 1e-5)
            total = total + logarithmic + self.linear_weight * linear
        return total / len(indices)


def relative_error_loss(reference: torch.Tensor, estimate: torch.Tensor, floor: float = 1e-4) -> torch.Tensor:
    """Return the mean over items of log10(error energy / signal energy + floor).

    The floor ends the reward at an error of 10 log10(1 / floor) dB below the signal.

    Shape:
        reference, estimate: [B, T]
        returns: []
    """
    error = ((reference - estimate) ** 2).mean(1)
    energy = (reference**2).mean(1) + 1e-7
    return torch.log10(error / energy + floor).mean()
