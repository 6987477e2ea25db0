"""How alike two sounds look to the ear: the neurogram similarity (NSIM) at the heart of ViSQOL, differentiable.

A neurogram is a spectrogram in gammatone bands with frames of 80 ms every 20 ms, in decibels. NSIM compares two of them
as SSIM compares images, in neighbourhoods of 3 x 3 (Hines and Harte, Speech Communication 54, 2012; ViSQOL v3: Chinen
et al., QoMEX 2020). Windows, bands, floors and constants are those of ViSQOL v3; its search for the best alignment and
its mapping from similarity to opinion scores are left out. The filters' magnitudes stand in for the filters themselves.
"""

import math

import torch
from torch import nn

_FRAME_SECONDS = 0.08
_LOWEST_HZ = 50.0
_EAR_Q, _MIN_BANDWIDTH_HZ = 9.26449, 24.7
"""Equivalent rectangular bandwidth = frequency / _EAR_Q + _MIN_BANDWIDTH_HZ (Glasberg and Moore 1990)."""
_FLOOR_DB = -45.0
_RANGE_DB = 45.0
_INTENSITY_CONSTANT, _STRUCTURE_CONSTANT = 1e-4, 4.5e-4
_NEIGHBOURHOOD = (0.0113033910173052, 0.0838251475442633, 0.619485845753726)
"""Weights of the corners, the edges and the centre of a 3 x 3 neighbourhood."""

SPEECH_BANDS, SPEECH_TOP_HZ = 21, 8_000.0
AUDIO_BANDS, AUDIO_TOP_HZ = 32, 24_000.0
# fmt: off
AUDIO_SCORE_PER_BAND = (
    0.06, 0.03, 0.0, 0.0, 0.0, 0.01, 0.03, 0.04, 0.03, 0.03, 0.03, 0.03, 0.03, 0.02, 0.02, 0.02,
    0.02, 0.02, 0.03, 0.0, 0.01, 0.02, 0.02, 0.09, 0.30, 0.36, 0.45, 0.54, 0.55, 0.43, 0.36, 0.24,
)
# fmt: on
"""Opinion score that ViSQOL v3 gives, in its audio mode, for the similarity of each band. The support vector machine
that maps similarities to a score is linear in all but name, and hears little below 7 kHz: over its own support vectors
these figures, taken from its gradient, explain the score to 0.02."""


class NeurogramDissimilarity(nn.Module):
    """1 - NSIM, in [0, 2]: 0 for equal sounds.

    Args:
        sample_rate: Rate of the signals (Hz), a multiple of 50.
        num_bands: Gammatone bands.
        top_hz: Where the bands end, at most half the sample rate.
        band_weights: What each band counts, of sum 1; all the same by default.
    """

    def __init__(
        self, sample_rate: int, *, num_bands: int, top_hz: float, band_weights: torch.Tensor | None = None
    ) -> None:
        super().__init__()
        frame_samples = _frame_samples(sample_rate)
        centres_hz = band_centres_hz(num_bands, top_hz)
        bandwidth_hz = 1.019 * (centres_hz / _EAR_Q + _MIN_BANDWIDTH_HZ)
        frequency_hz = torch.arange(frame_samples // 2 + 1, dtype=torch.float64) * sample_rate / frame_samples
        # A gammatone filter of order 4 has the power response (1 + ((f - f_c) / b)^2)^-4.
        distance = (frequency_hz - centres_hz[:, None]) / bandwidth_hz[:, None]
        filters = (1 + distance**2) ** -4 * 2 / frame_samples**2
        corner, edge, centre = _NEIGHBOURHOOD
        kernel = [[corner, edge, corner], [edge, centre, edge], [corner, edge, corner]]
        self.register_buffer("filters", filters.to(torch.float32), persistent=False)
        self.register_buffer("kernel", torch.tensor([[kernel]]), persistent=False)
        weights = torch.full((num_bands,), 1 / num_bands) if band_weights is None else band_weights
        self.register_buffer("band_weights", weights, persistent=False)

    def forward(self, reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        """Return the dissimilarity of each item, from what `frame_power` makes of both signals.

        Shape:
            reference, estimate: [B, bins, F]
            returns: [B]
        """
        target, output = self._above_floor(self.neurogram_db(reference), self.neurogram_db(estimate))
        mean_target, mean_output = self._local_mean(target), self._local_mean(output)
        product = mean_target * mean_output
        squares = mean_target.square(), mean_output.square()
        variance_target = (self._local_mean(target.square()) - squares[0]).clamp(min=0)
        variance_output = (self._local_mean(output.square()) - squares[1]).clamp(min=0)
        covariance = self._local_mean(target * output) - product
        deviations = (variance_target * variance_output + 1e-8).sqrt()  # smooth where nothing varies
        intensity = (2 * product + _INTENSITY_CONSTANT) / (squares[0] + squares[1] + _INTENSITY_CONSTANT)
        structure = (covariance + _STRUCTURE_CONSTANT) / (deviations + _STRUCTURE_CONSTANT)
        return 1 - self.get_buffer("band_weights") @ (intensity * structure).mean(2).T

    def neurogram_db(self, power: torch.Tensor) -> torch.Tensor:
        """Return the neurogram as ViSQOL has it, 10 log10 of the effective value: [B, bins, F] to [B, bands, F]."""
        return 5 * torch.log10(self.get_buffer("filters") @ power + 1e-11)

    @staticmethod
    def _above_floor(target: torch.Tensor, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lift both to their floors, absolute and below the peak of each frame, and let the lowest value be 0."""
        peak = torch.maximum(target.amax(1, keepdim=True), output.amax(1, keepdim=True)).detach()
        floor = (peak - _RANGE_DB).clamp(min=_FLOOR_DB)
        target, output = torch.maximum(target, floor), torch.maximum(output, floor)
        lowest = torch.minimum(target.amin((1, 2), keepdim=True), output.amin((1, 2), keepdim=True)).detach()
        return target - lowest, output - lowest

    def _local_mean(self, values: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(values[:, None], (1, 1, 1, 1), mode="replicate")
        return nn.functional.conv2d(padded, self.get_buffer("kernel"))[:, 0]


def frame_power(samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Return the power spectra of all frames, which neurograms of any number of bands share.

    Shape:
        samples: [B, T], at least one frame of 80 ms long
        returns: [B, bins, F]
    """
    size = _frame_samples(sample_rate)
    window = torch.hann_window(size, periodic=False, device=samples.device)
    spectrum = torch.stft(samples, size, size // 4, size, window, center=False, return_complex=True)
    return spectrum.real.square() + spectrum.imag.square()


def band_centres_hz(num_bands: int, top_hz: float) -> torch.Tensor:
    """Return centre frequencies [num_bands], ascending from 50 Hz, even on the scale of bandwidths (Slaney 1993)."""
    offset_hz = _EAR_Q * _MIN_BANDWIDTH_HZ
    step = math.log((_LOWEST_HZ + offset_hz) / (top_hz + offset_hz)) / num_bands
    return (torch.exp(torch.arange(num_bands, 0, -1, dtype=torch.float64) * step) * (top_hz + offset_hz)) - offset_hz


def audio_band_weights(share: float) -> torch.Tensor:
    """Return weights [AUDIO_BANDS] of sum 1: `share` of it goes as ViSQOL's score does, the rest to all bands alike."""
    score = torch.tensor(AUDIO_SCORE_PER_BAND)
    return torch.lerp(torch.full_like(score, 1 / AUDIO_BANDS), score / score.sum(), share)


def _frame_samples(sample_rate: int) -> int:
    return round(sample_rate * _FRAME_SECONDS)
