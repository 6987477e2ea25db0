"""What a training step pays for differences between a sound and what comes back: the loss terms together."""

import torch
from torch import nn

from hscodec.training.config import LossConfig
from hscodec.training.disturbance import PerceptualDisturbance
from hscodec.training.losses import MelStftLoss, relative_error_loss
from hscodec.training.neurogram import (
    AUDIO_BANDS,
    AUDIO_TOP_HZ,
    SPEECH_BANDS,
    SPEECH_TOP_HZ,
    NeurogramDissimilarity,
)

SILENT_POWER = 1e-6
"""Mean square below which the perceptual terms leave out an item: -60 dB."""


class Distortion(nn.Module):
    """The weighted sum of all distortion terms; terms of weight 0 are not computed.

    Args:
        config: The weights.
        sample_rate: Rate of the audio (Hz).
    """

    def __init__(self, config: LossConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        self.spectral = MelStftLoss(sample_rate, linear_weight=config.linear, log_floor=config.log_floor)
        self.disturbance = PerceptualDisturbance(sample_rate)
        self.neurograms = nn.ModuleList(
            NeurogramDissimilarity(sample_rate, num_bands=bands, top_hz=min(top_hz, sample_rate / 2))
            for bands, top_hz in ((SPEECH_BANDS, SPEECH_TOP_HZ), (AUDIO_BANDS, AUDIO_TOP_HZ))
        )

    def forward(self, reference: torch.Tensor, estimate: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the sum, and each term before its weight.

        Shape:
            reference, estimate: [B, T]
        """
        config = self.config
        power = reference.square().mean(1, keepdim=True)
        gain = config.loudness / (power.sqrt() + 1e-4) if config.loudness else 1.0
        chosen = torch.randperm(len(self.spectral.resolutions))[: config.resolutions_per_step].tolist()
        terms = {
            "spectral": self.spectral(reference * gain, estimate * gain, chosen),
            "waveform": relative_error_loss(reference, estimate),
        }
        total = terms["spectral"] + config.waveform * terms["waveform"]
        heard = (power[:, 0] > SILENT_POWER).to(reference.dtype)
        heard = heard / heard.sum().clamp(min=1)
        if config.disturbance:
            terms["disturbance"] = (self.disturbance(reference, estimate) * heard).sum()
            total = total + config.disturbance * terms["disturbance"]
        if config.neurogram:
            values = sum(neurogram(reference, estimate) for neurogram in self.neurograms) / len(self.neurograms)
            terms["neurogram"] = (values * heard).sum()
            total = total + config.neurogram * terms["neurogram"]
        return total, terms
