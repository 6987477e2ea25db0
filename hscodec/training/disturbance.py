"""What of an error is heard: the disturbance of ITU-T P.862.2 (wideband PESQ), differentiable, from spectra alone.

PESQ (ITU-T P.862, sections 10.2 and following; wideband extension P.862.2) compares loudness in Bark bands, forgives
small differences, and counts what was added more than what is missing. Here it is computed without time alignment, from
one short-time Fourier transform of signals at any rate from 16 kHz on, filters included. The score that follows from it
agrees with the reference implementation to a few hundredths on coded speech. The figures of the bands are those of the
reference implementation, as published with torch-pesq (MIT).
"""

import math

import torch
from torch import nn

_FRAME_SECONDS = 0.032
_MODEL_RATE_HZ = 16_000
"""The figures below belong to frames of 512 samples at this rate, bins 31.25 Hz apart."""
_NUM_BINS = 256
_BIN_HZ = 31.25

_BANDS = (
    # bins, centre (Bark), width (Bark), power correction, hearing threshold (power)
    (1, 0.078672, 0.157344, 100, 5.12862e+07),
    (1, 0.316341, 0.317994, 100, 2.45471e+06),
    (1, 0.636559, 0.322441, 100, 70794.6),
    (1, 0.961246, 0.326934, 100, 4897.79),
    (1, 1.29045, 0.331474, 100, 1174.9),
    (1, 1.62422, 0.336061, 100, 389.045),
    (1, 1.9626, 0.340697, 100, 104.713),
    (1, 2.30564, 0.345381, 100, 45.7088),
    (2, 2.65338, 0.350114, 50, 17.7828),
    (1, 3.00589, 0.354897, 100, 9.77237),
    (1, 3.3632, 0.359729, 100, 4.89779),
    (1, 3.72537, 0.364611, 100, 3.0903),
    (1, 4.09245, 0.369544, 99.9999, 1.90546),
    (1, 4.46449, 0.374529, 100, 1.25893),
    (2, 4.84153, 0.379565, 53.0471, 0.977237),
    (1, 5.22364, 0.384653, 110, 0.724436),
    (1, 5.61087, 0.389794, 117.992, 0.562341),
    (2, 6.00326, 0.394989, 65, 0.457088),
    (2, 6.40087, 0.400236, 68.7601, 0.389045),
    (2, 6.80375, 0.405538, 69.9999, 0.331131),
    (2, 7.21197, 0.410894, 71.4288, 0.295121),
    (2, 7.62557, 0.416306, 75, 0.269153),
    (2, 8.04461, 0.421773, 76.8434, 0.25704),
    (2, 8.46915, 0.427297, 80.9688, 0.251189),
    (2, 8.89923, 0.432877, 88.6461, 0.251189),
    (3, 9.33493, 0.438514, 63.8644, 0.251189),
    (3, 9.77629, 0.444209, 68.1553, 0.251189),
    (3, 10.2234, 0.449962, 72.5478, 0.263027),
    (3, 10.6762, 0.455774, 75.5848, 0.288403),
    (4, 11.135, 0.461645, 58.3792, 0.30903),
    (3, 11.5996, 0.467577, 80.9508, 0.338844),
    (4, 12.0701, 0.473569, 64.1357, 0.371535),
    (5, 12.5467, 0.479621, 54.3848, 0.398107),
    (4, 13.0294, 0.485736, 73.8219, 0.436516),
    (5, 13.5182, 0.491912, 64.4371, 0.467735),
    (6, 14.0133, 0.498151, 59.1765, 0.489779),
    (6, 14.5146, 0.504454, 65.5213, 0.501187),
    (7, 15.0222, 0.510819, 61.3998, 0.501187),
    (8, 15.5362, 0.51725, 58.144, 0.512861),
    (9, 16.0567, 0.523745, 57.0045, 0.524807),
    (9, 16.5838, 0.530308, 64.1263, 0.524807),
    (12, 17.1174, 0.536934, 54.311, 0.524807),
    (12, 17.6577, 0.543629, 61.115, 0.512861),
    (15, 18.2047, 0.55039, 55.0778, 0.47863),
    (16, 18.7585, 0.55722, 56.8493, 0.42658),
    (18, 19.3191, 0.564119, 55.6289, 0.371535),
    (21, 19.8868, 0.571085, 53.1371, 0.363078),
    (25, 20.4614, 0.578125, 54.9858, 0.416869),
    (20, 21.043, 0.585232, 79.547, 0.537032),
)
_POWER_SCALE = 6.910853e-6
_LOUDNESS_SCALE = 0.1866055
_ZWICKER_EXPONENT = 0.23
_INPUT_FILTER = ((2.740826, -5.4816519, 2.740826), (1.0, -1.9444777, 0.94597794))
"""Numerator and denominator of the wideband input filter at 16 kHz (P.862.2)."""
_LEVEL_BAND_HZ = (325.0, 3250.0)
_LEVEL_POWER = 1e7
_LEVEL_BIAS = 1.04684
_SPLIT_FRAMES, _SPLIT_HOP = 20, 10
_SYMMETRIC_WEIGHT, _ASYMMETRIC_WEIGHT = 0.1, 0.0309


class PerceptualDisturbance(nn.Module):
    """Disturbance of wideband PESQ: 0 is no audible difference, 1 costs about 0.6 MOS.

    Args:
        sample_rate: Rate of the signals (Hz), a multiple of 125 and at least 16,000.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.fft_samples = round(sample_rate * _FRAME_SECONDS)
        # Spectra of longer frames are larger by the ratio of the rates.
        self.power_scale = (_MODEL_RATE_HZ / sample_rate) ** 2
        bands = torch.tensor(_BANDS, dtype=torch.float64)
        edges = torch.cat([torch.zeros(1), bands[:, 0].cumsum(0)])
        bins = torch.arange(_NUM_BINS)
        inside = (bins >= edges[:-1, None]) & (bins < edges[1:, None])
        inside[:, 0] = False  # the reference leaves out the constant component
        self._register("filters", inside * bands[:, 3:4] * _POWER_SCALE)
        self._register("width", bands[1:, 2])  # the lowest band does not count
        self._register("threshold", bands[:, 4])
        self._register("exponent", (6 / (bands[:, 1] + 2)).clamp(1, 2) ** 0.15 * _ZWICKER_EXPONENT)
        frequency_hz = bins * _BIN_HZ
        self._register("input_filter", _response(frequency_hz))
        self._register("level_band", (frequency_hz > _LEVEL_BAND_HZ[0]) & (frequency_hz < _LEVEL_BAND_HZ[1]))
        self._register("window", torch.hann_window(self.fft_samples, dtype=torch.float64))

    def _register(self, name: str, values: torch.Tensor) -> None:
        self.register_buffer(name, values.to(torch.float32), persistent=False)

    def forward(self, reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        """Return the disturbance of each item; the level of an item does not matter.

        Shape:
            reference, estimate: [B, T], at least one frame of 32 ms long
            returns: [B]
        """
        target, output = self._bark_power(reference), self._bark_power(estimate)
        target, output = self._equalized(target, output)
        target_loudness, output_loudness = self._loudness(target), self._loudness(output)
        difference = output_loudness - target_loudness
        masked = 0.25 * torch.minimum(output_loudness, target_loudness)
        difference = difference.sign() * (difference.abs() - masked).clamp(min=0)

        added = ((output + 50) / (target + 50)) ** 1.2
        added = torch.where(added < 3, torch.zeros_like(added), added.clamp(max=12))
        width = self.get_buffer("width")
        symmetric = (((difference[..., 1:] * width).square().sum(-1) + 1e-12) * width.sum()).sqrt()
        asymmetric = ((difference * added).abs()[..., 1:] * width).sum(-1)
        weight = ((self._audible(target, 1) + 1e5) / 1e7) ** 0.04
        symmetric, asymmetric = ((frames / weight).clamp(max=45) for frames in (symmetric, asymmetric))
        return _SYMMETRIC_WEIGHT * _over_time(symmetric) + _ASYMMETRIC_WEIGHT * _over_time(asymmetric)

    def score(self, reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        """Return the mean opinion score that PESQ maps the disturbance to (P.862.2): [B, T] twice to [B]."""
        raw = 4.5 - self(reference, estimate)
        return 0.999 + 4 / (1 + torch.exp(-1.3669 * raw + 3.8224))

    def _bark_power(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the power in Bark bands [B, F, 49] after bringing each item to the listening level."""
        size, window = self.fft_samples, self.get_buffer("window")
        spectrum = torch.stft(samples, size, size // 2, size, window, center=False, return_complex=True)
        spectrum = spectrum[:, :_NUM_BINS].transpose(1, 2)
        power = (spectrum.real.square() + spectrum.imag.square()) * self.power_scale
        # Parseval: what the reference measures behind a band-pass filter, for frames of 512 samples at 16 kHz.
        window_power = window.square().sum() * (512 / size)
        in_band = 2 * (power @ self.get_buffer("level_band")).mean(1) / (512 * window_power)
        level = _LEVEL_POWER / (in_band / _LEVEL_BIAS + 1e-9)
        return (power * self.get_buffer("input_filter")) @ self.get_buffer("filters").T * level[:, None, None]

    def _equalized(self, target: torch.Tensor, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Even out what a listener does not mind: a linear filter, and slow changes of level."""
        speaks = (self._audible(target, 100) >= 1e7)[..., None]

        def mean_power(power: torch.Tensor) -> torch.Tensor:
            return (power * ((power > 100 * self.get_buffer("threshold")) & speaks)).mean(1, keepdim=True)

        target = target * ((mean_power(output) + 1000) / (mean_power(target) + 1000)).clamp(0.01, 100)
        gain = (self._audible(target, 1) + 5e3) / (self._audible(output, 1) + 5e3)
        gain = torch.cat([gain[:, :1], 0.8 * gain[:, 1:] + 0.2 * gain[:, :-1]], 1).clamp(3e-4, 5)
        return target, output * gain[..., None]

    def _audible(self, power: torch.Tensor, factor: float) -> torch.Tensor:
        return (power * (power > factor * self.get_buffer("threshold"))).sum(-1)

    def _loudness(self, power: torch.Tensor) -> torch.Tensor:
        threshold, exponent = self.get_buffer("threshold"), self.get_buffer("exponent")
        loudness = (2 * threshold) ** exponent * ((0.5 + 0.5 * power / threshold) ** exponent - 1)
        return torch.where(power <= threshold, torch.zeros_like(loudness), loudness) * _LOUDNESS_SCALE


def _response(frequency_hz: torch.Tensor) -> torch.Tensor:
    """Return the power response of the input filter."""
    delay = torch.exp(-2j * math.pi * frequency_hz.to(torch.float64) / _MODEL_RATE_HZ)
    above, below = (sum(c * delay**n for n, c in enumerate(part)) for part in _INPUT_FILTER)
    return torch.as_tensor(above / below).abs().square()


def _over_time(frames: torch.Tensor) -> torch.Tensor:
    """Return one value for each item: the L6 norm within 0.3 s, where the worst counts, then the L2 norm over all."""
    if frames.shape[1] >= _SPLIT_FRAMES:
        frames = (frames.unfold(1, _SPLIT_FRAMES, _SPLIT_HOP) ** 6).mean(-1)
        frames = (frames + 1e-9) ** (1 / 6)
    return (frames.square().mean(1) + 1e-9).sqrt()
