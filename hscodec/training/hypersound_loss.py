"""What training of the HyperSound family minimises (Szatkowski et al. 2023, section 3): L1 plus a mel-STFT distance.

    loss = lambda_t * mean |x - y| + lambda_f * mean over resolutions of (L1 + RMSE of mel magnitudes)

Mel bin i of I counts w_i times, w_i proportional to (i + 1)^p (the paper's equation 5): |d| becomes w_i |d| in the L1,
and d^2 becomes w_i d^2 in the RMSE. p rises linearly from 0 at the start of the run, where all weights are 1.

Decided here, since the paper leaves it open:

* Short FFTs have fewer bins than mel filters at low frequencies. The filters that meet no bin are left out, of the
  means as well, so that a short FFT is not diluted by zeros; those that are left keep their number i, and their weights
  have the mean 1.
* STFT windows have unit energy. White noise then has the magnitudes of its samples' effective value at each
  resolution: all resolutions count alike, and a lambda_f of 1 is worth about as much as a lambda_t of 1. Plain windows
  would make it thirty times as much, and a network learns little of the waveform beside it.
* A batch's loss is the mean of its items' losses.
"""

import torch
from torch import nn

from hscodec.training.hypersound_config import HyperSoundLossConfig
from hscodec.training.losses import MelStft, StftResolution


def frequency_weights(numbers: torch.Tensor, power: float) -> torch.Tensor:
    """Return weights proportional to (i + 1)^p, of mean 1.

    Args:
        numbers: i, which of the mel bins there are.
        power: p; at 0 all weights are 1.

    Shape:
        numbers: [M], int
        returns: [M], float32
    """
    weights = (numbers + 1.0) ** power
    return weights / weights.mean()


class HyperSoundLoss(nn.Module):
    """The loss of the family; terms of weight 0 are not computed.

    Args:
        config: Weights of the terms, resolutions, frequency weighting.
        sample_rate: Rate of the audio (Hz).
    """

    def __init__(self, config: HyperSoundLossConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        resolutions = tuple(StftResolution(length, config.num_mels) for length in config.fft_samples)
        self.mel_stft = MelStft(sample_rate, resolutions)
        self.scales = [self._window(index).square().sum().item() ** -0.5 for index in range(len(resolutions))]

    def power(self, progress: float) -> float:
        """Return p of the frequency weighting at a share of the run, 0 to 1."""
        warmup = self.config.frequency_warmup
        return self.config.frequency_power * (min(progress / warmup, 1.0) if warmup else 1.0)

    def forward(
        self, reference: torch.Tensor, estimate: torch.Tensor, progress: float = 1.0
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the weighted sum, and each term before its weight.

        Args:
            reference: The sound.
            estimate: What came back of it.
            progress: Share of the run that is done; p depends on it.

        Shape:
            reference, estimate: [B, T]
            returns: [], and [] each
        """
        terms: dict[str, torch.Tensor] = {}
        total = reference.new_zeros(())
        if self.config.waveform:
            terms["waveform"] = (reference - estimate).abs().mean()
            total = total + self.config.waveform * terms["waveform"]
        if self.config.spectral:
            terms["spectral"] = self.mel_distance(reference, estimate, self.power(progress))
            total = total + self.config.spectral * terms["spectral"]
        return total, terms

    def mel_distance(self, reference: torch.Tensor, estimate: torch.Tensor, power: float) -> torch.Tensor:
        """Return the mel-STFT distance under a frequency weighting of exponent `power`.

        Shape:
            reference, estimate: [B, T]
            returns: []
        """
        distances = []
        for index, scale in enumerate(self.scales):
            weights = frequency_weights(self.mel_stft.get_buffer(f"numbers_{index}"), power)[:, None]
            with torch.no_grad():
                wanted = self.mel_stft.mel_spectrogram(reference, index)
            difference = scale * (wanted - self.mel_stft.mel_spectrogram(estimate, index))
            # Unlike the root of a mean, a norm has a gradient where nothing differs.
            norm = torch.linalg.vector_norm(weights.sqrt() * difference, dim=(1, 2))
            rmse = norm / difference[0].numel() ** 0.5
            distances.append((weights * difference.abs()).mean() + rmse.mean())
        return torch.stack(distances).mean()

    def _window(self, index: int) -> torch.Tensor:
        return self.mel_stft.get_buffer(f"window_{index}")
