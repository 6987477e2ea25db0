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
    audio_band_weights,
    frame_power,
)

_SPEECH_SHARE = 0.75
"""Of the weight of neurograms, for speech; the rest watches over what lies above the speech bands, beyond 8 kHz."""
SILENT_POWER = 1e-6
"""Mean square below which the perceptual terms leave out an item: -60 dB."""


class Distortion(nn.Module):
    """The weighted sum of all distortion terms; terms of weight 0 are not computed.

    What is made for speech judges speech alone: PESQ, and the neurogram of ViSQOL's speech mode, which shares its
    weight with that of the audio mode.

    Args:
        config: The weights.
        sample_rate: Rate of the audio (Hz).
    """

    def __init__(self, config: LossConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = sample_rate
        self.spectral = MelStftLoss(sample_rate, linear_weight=config.linear, log_floor=config.log_floor)
        self.disturbance = PerceptualDisturbance(sample_rate)
        self.speech_neurogram = NeurogramDissimilarity(sample_rate, num_bands=SPEECH_BANDS, top_hz=SPEECH_TOP_HZ)
        self.audio_neurogram = NeurogramDissimilarity(
            sample_rate,
            num_bands=AUDIO_BANDS,
            top_hz=min(AUDIO_TOP_HZ, sample_rate / 2),
            band_weights=audio_band_weights(config.neurogram_by_score),
        )

    def forward(
        self, reference: torch.Tensor, estimate: torch.Tensor, is_speech: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the sum, and each term before its weight.

        Shape:
            reference, estimate: [B, T]
            is_speech: [B], bool
        """
        config = self.config
        power = reference.square().mean(1, keepdim=True)
        terms = {"waveform": relative_error_loss(reference, estimate, config.waveform_floor)}
        total = config.waveform * terms["waveform"]
        if config.spectral:
            gain = config.loudness / (power.sqrt() + 1e-4) if config.loudness else 1.0
            chosen = torch.randperm(len(self.spectral.resolutions))[: config.resolutions_per_step].tolist()
            terms["spectral"] = self.spectral(reference * gain, estimate * gain, chosen)
            total = total + config.spectral * terms["spectral"]
        is_heard = power[:, 0] > SILENT_POWER
        voices = is_speech & is_heard
        if config.disturbance:
            terms["disturbance"] = self._disturbance(reference[voices], estimate[voices]).sum() / len(reference)
            total = total + config.disturbance * terms["disturbance"]
        if config.neurogram:
            terms["neurogram"] = self._neurogram(reference, estimate, voices, is_heard).sum() / len(reference)
            total = total + config.neurogram * terms["neurogram"]
        return total, terms

    def _disturbance(self, reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        # A Fourier transform of no item at all is an error.
        return self.disturbance(reference, estimate) if len(reference) else estimate.sum(1)

    def _neurogram(
        self, reference: torch.Tensor, estimate: torch.Tensor, voices: torch.Tensor, is_heard: torch.Tensor
    ) -> torch.Tensor:
        """Return the dissimilarity [B] of each item, 0 where it is silent."""
        powers = [frame_power(samples, self.sample_rate) for samples in (reference, estimate)]
        values = self.audio_neurogram(*powers)
        speech_values = self.speech_neurogram(*(power[voices] for power in powers))
        values = values.index_put((voices,), torch.lerp(values[voices], speech_values, _SPEECH_SHARE))
        return values * is_heard
