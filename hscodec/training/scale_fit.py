"""The last stage of a run: fit the scale network to the symbols that the finished model really stores.

Scale classes only decide the order in which symbols are stored, so everything else stays as it is. Without refinement
and the spectral loss a step costs a fraction of a training step, and every quality can count alike.
"""

from collections.abc import Iterator

import torch
from torch import nn

from hscodec.hypernet.likelihood import symbol_bits
from hscodec.model import CODING_DEAD_ZONE, Hypernetwork
from hscodec.training.coded import coded_crops
from hscodec.training.data import Batch
from hscodec.training.schedule import learning_rate


def fit_scale_network(
    network: Hypernetwork, batches: Iterator[Batch], *, steps: int, peak_learning_rate: float = 1e-3
) -> float:
    """Train `network.scale` alone, in place.

    Args:
        network: The finished model.
        batches: Training crops.
        steps: Length of the fit.
        peak_learning_rate: Highest learning rate; half a cosine down to nothing.

    Returns:
        The mean ideal code length of weight symbols over the last tenth of the steps, kbit/s.
    """
    network.eval()
    optimizer = torch.optim.AdamW(network.scale.parameters(), peak_learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    last_rates = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(peak_learning_rate, step, step / steps, warmup_steps=50)
        rates_kbps = _rates_kbps(network, next(batches))
        # Relative to its own rate, each item counts alike, whatever its quality.
        loss = (rates_kbps / rates_kbps.detach()).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.scale.parameters(), 1.0)
        optimizer.step()
        if step >= steps - max(steps // 10, 1):
            last_rates.append(rates_kbps.mean().item())
    return sum(last_rates) / max(len(last_rates), 1)


def _rates_kbps(network: Hypernetwork, batch: Batch) -> torch.Tensor:
    """Return the ideal rate [B] of weight symbols at random qualities; only `network.scale` has a gradient."""
    quality = torch.rand(len(batch.samples), device=next(network.parameters()).device) * 10
    latent, symbols, mask = coded_crops(network, batch, quality)
    with torch.no_grad():
        dequantized = latent * network.prior.step(quality)
    bits = symbol_bits(symbols.to(mask.dtype), network.scale(dequantized, quality), CODING_DEAD_ZONE) * mask
    return bits.sum((1, 2)) / (symbols.shape[1] / 50) / 1000 + 1e-3
