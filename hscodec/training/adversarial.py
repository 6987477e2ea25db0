"""An opponent in training: discriminators that tell decoded sounds from originals by their complex spectrograms.

After the multi-scale STFT discriminator of EnCodec (Defossez et al. 2022, section 3.4): convolutions over real and
imaginary parts at several resolutions, hinge losses, and the distance between the features that both sounds evoke. They
need many steps to be worth their cost, so they belong to runs on a GPU.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from hscodec.training.config import AdversarialConfig

_NUM_STRIDED_LAYERS = 3
_KERNEL = (3, 9)
_SLOPE = 0.2


class SpectrogramDiscriminator(nn.Module):
    """Judges patches of one complex spectrogram.

    Args:
        fft_samples: FFT length; the hop is a quarter of it.
        width: Channels of the hidden layers.
    """

    def __init__(self, fft_samples: int, width: int) -> None:
        super().__init__()
        self.fft_samples = fft_samples
        self.register_buffer("window", torch.hann_window(fft_samples), persistent=False)
        padding = (_KERNEL[0] // 2, _KERNEL[1] // 2)
        layers = [nn.Conv2d(2, width, _KERNEL, padding=padding)]
        layers += [nn.Conv2d(width, width, _KERNEL, stride=(1, 2), padding=padding) for _ in range(_NUM_STRIDED_LAYERS)]
        self.hidden = nn.ModuleList(nn.utils.parametrizations.weight_norm(layer) for layer in layers)
        self.judge = nn.utils.parametrizations.weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, samples: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the verdict on each patch, positive for an original, and the features of each hidden layer.

        Shape:
            samples: [B, T], of order 1
            returns: [B, 1, frames, bands] and a list of [B, W, frames, bands]
        """
        size = self.fft_samples
        spectrum = torch.stft(samples, size, size // 4, size, self.get_buffer("window"), return_complex=True)
        # Amplitudes are compressed as the ear does it, or nothing but the loudest partials would be seen.
        magnitude = spectrum.abs().clamp(min=1e-5)
        hidden = torch.stack([spectrum.real, spectrum.imag], 1).transpose(2, 3)
        hidden = hidden * (magnitude**-0.7).transpose(1, 2)[:, None]
        features = []
        for layer in self.hidden:
            hidden = functional.leaky_relu(layer(hidden), _SLOPE)
            features.append(hidden)
        return self.judge(hidden), features


class Adversary:
    """The discriminators of a run and their optimiser.

    Args:
        config: Sizes, weights and the learning rate.
        device: A torch device.
    """

    def __init__(self, config: AdversarialConfig, device: torch.device) -> None:
        self.config = config
        self.discriminators = nn.ModuleList(
            SpectrogramDiscriminator(fft_samples, config.width) for fft_samples in config.fft_samples
        ).to(device)
        self.optimizer = torch.optim.AdamW(
            self.discriminators.parameters(), config.learning_rate, betas=(0.8, 0.99), weight_decay=0.01
        )

    def distortion(
        self, reference: torch.Tensor, estimate: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return what the codec is to minimise, and its terms before their weights.

        Shape:
            reference, estimate: [B, T]
        """
        reference, estimate = _at_one_level(reference, estimate)
        self.discriminators.requires_grad_(False)  # this gradient is the codec's
        deceived = features = reference.new_zeros(())
        for discriminator in self.discriminators:
            with torch.no_grad():
                _, wanted = discriminator(reference)
            verdict, found = discriminator(estimate)
            deceived = deceived + functional.relu(1 - verdict.float()).mean() / len(self.discriminators)
            for target, output in zip(wanted, found, strict=True):
                distance = (target.float() - output.float()).abs().mean() / (target.float().abs().mean() + 1e-6)
                features = features + distance / (len(wanted) * len(self.discriminators))
        terms = {"deception": deceived, "features": features}
        return self.config.weight * deceived + self.config.feature_weight * features, terms

    def learn(self, reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        """Train the discriminators on a pair of batches [B, T]; return their hinge loss, 2 where they know nothing."""
        reference, estimate = _at_one_level(reference, estimate.detach())
        self.discriminators.requires_grad_(True)
        loss = reference.new_zeros(())
        for discriminator in self.discriminators:
            verdicts, _ = discriminator(torch.cat([reference, estimate]))
            original, decoded = verdicts.float().chunk(2)
            hinge = functional.relu(1 - original).mean() + functional.relu(1 + decoded).mean()
            loss = loss + hinge / len(self.discriminators)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.discriminators.parameters(), self.config.max_gradient_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return {"discriminators": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.discriminators.load_state_dict(state["discriminators"])
        self.optimizer.load_state_dict(state["optimizer"])


def _at_one_level(reference: torch.Tensor, estimate: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring both to where the reference has an effective value of 0.1: the level of an item says nothing about it."""
    gain = 0.1 / (reference.square().mean(1, keepdim=True).sqrt() + 1e-4)
    return reference * gain, estimate * gain
