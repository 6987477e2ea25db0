"""What a finished model stores of training crops, for the stages that fit the coder to it."""

import torch

from hscodec.inr.lapped import LappedSiren
from hscodec.model import Hypernetwork
from hscodec.training.data import SAMPLE_RATE, Batch

_SAMPLES_PER_HOP = SAMPLE_RATE // 50


@torch.no_grad()
def coded_crops(
    network: Hypernetwork, batch: Batch, quality: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return latent and weight symbols of a batch, int32, and the mask of the features within each item's bandwidth.

    Shape:
        quality: [B], on the network's device
        returns: [B, S/2, Z], [B, S, K] and [B, 1, K] float32
    """
    device = quality.device
    theta = LappedSiren(network.config.num_weights).analyze(
        torch.from_numpy(batch.samples).to(device), _SAMPLES_PER_HOP
    )
    counts = torch.from_numpy(batch.num_weights).to(device)
    mask = (torch.arange(theta.shape[-1], device=device) < counts[:, None])[:, None, :].float()
    latent = network.encode_latent(theta * mask, quality)
    symbols = network.quantize(theta * mask, network.decode_precision(latent, quality))
    return latent, symbols, mask
