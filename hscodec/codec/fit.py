"""Per-file networks: target networks with hidden layers, trained on one recording by gradient descent.

This is what implicit neural representations of sound began with (Sitzmann et al. 2020, section 4.2). The file holds all
weights, so decoding needs no pretrained model.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch

from hscodec.codec.bit_allocation import group_bits
from hscodec.codec.encoder import EncodedChunk
from hscodec.codec.mlp_encoder import ordinary_chunk_segments
from hscodec.codec.stored_network import StoredNetwork, network_of_record, record_of_config
from hscodec.coding import layered
from hscodec.coding.order import Order
from hscodec.coding.payload import PackedChunk
from hscodec.container.format import MAX_HOP_SECONDS
from hscodec.errors import ConfigError
from hscodec.inr.mlp import MlpConfig, MlpKind, initial_weights
from hscodec.model import straight_through

_TIMES_PER_STEP = 2**17
"""Samples that a step looks at, of all segments together; drawn anew for each step where there are more."""
_ENERGY_FLOOR = 1e-6
_SHORTEST_SECONDS = Fraction(1, 100)

SEGMENT_SECONDS = Fraction(1, 2)
OMEGA_0_PER_SECOND = 1000
"""omega_0 for each second of a SIREN's segment (radians): sines of its first layer begin with up to 320 Hz, near which
speech is learned fastest."""
LEARNING_RATES = {MlpKind.SIREN.value: 1e-3, MlpKind.FMLP.value: 3e-3}
"""Peak rates of Adam. At 3e-3 a SIREN does not learn at all."""


def suggested_network(kind: str, segment_seconds: Fraction) -> MlpConfig:
    """Return a target network that is small enough for about 50 kbit/s in segments of half a second.

    Args:
        kind: `siren` or `fmlp`.
        segment_seconds: Length of a segment (s), which omega_0 is chosen for; up to 60.
    """
    seconds = min(max(segment_seconds, _SHORTEST_SECONDS), MAX_HOP_SECONDS)
    return MlpConfig(kind, hidden_layers=4, width=32, omega_0=float(OMEGA_0_PER_SECOND * seconds))


@dataclass(frozen=True)
class FitConfig:
    """How networks are fitted to a recording.

    Attributes:
        network: The target network of each segment.
        segment_seconds: Length of a segment (s); None makes one network of the whole recording.
        steps: Steps of Adam.
        learning_rate: Its peak rate, which falls to 0 along a cosine; see `LEARNING_RATES`.
        bits: Bits of a stored weight, 2 to 16; the first layer of a SIREN may get more, see `bit_allocation`.
        rounded_share: The last share of the steps sees weights as they will be stored.
        seed: Seed of the first weights and of the draw of times.
    """

    network: MlpConfig = field(default_factory=lambda: suggested_network(MlpKind.SIREN.value, SEGMENT_SECONDS))
    segment_seconds: Fraction | None = SEGMENT_SECONDS
    steps: int = 1000
    learning_rate: float = LEARNING_RATES[MlpKind.SIREN.value]
    bits: int = 8
    rounded_share: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.segment_seconds is not None and not 0 < self.segment_seconds <= 60:
            raise ConfigError(f"a segment must last more than 0 and at most 60 s, not {float(self.segment_seconds):g}")
        if self.steps < 1 or self.learning_rate <= 0 or not 0 <= self.rounded_share <= 1:
            raise ConfigError("steps must be at least 1, the learning rate above 0, rounded_share from 0 to 1")
        if not layered.MIN_BITS <= self.bits <= layered.MAX_BITS:
            raise ConfigError(f"bits must be from {layered.MIN_BITS} to {layered.MAX_BITS}, not {self.bits}")
        if self.network.learn_frequencies:
            raise ConfigError("a file has no place for learned frequencies")


def fit_theta(
    samples: torch.Tensor,
    config: FitConfig,
    network: StoredNetwork,
    *,
    progress: Callable[[int, float], None] | None = None,
) -> torch.Tensor:
    """Return the weights of target networks that render segments of sound.

    All networks are trained at once; one does not depend on the others. What is minimised is the squared error of each
    segment relative to its energy, so that quiet ones count as much as loud ones.

    Args:
        samples: Segments.
        config: How.
        network: The target network, on the device of the samples.
        progress: Called with (steps done, mean signal-to-noise ratio in dB).

    Shape:
        samples: [S, T]
        returns: [S, K]
    """
    count, length = samples.shape
    generator = torch.Generator().manual_seed(config.seed)
    theta = initial_weights(config.network, count, generator).to(samples.device).requires_grad_(True)
    optimizer = torch.optim.Adam([theta], config.learning_rate, betas=(0.9, 0.99))
    energy = samples.square().mean(1) + _ENERGY_FLOOR
    grid = ((2 * torch.arange(length, dtype=torch.float64) + 1) / length - 1).float().to(samples.device)
    times_per_segment = max(_TIMES_PER_STEP // count, 1)
    bits = group_bits(network, config.bits)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        chosen = slice(None)
        if times_per_segment < length:
            chosen = torch.randint(length, (times_per_segment,), generator=generator).to(samples.device)
        is_rounded = step >= config.steps * (1 - config.rounded_share)
        weights = rounded(theta, network.group_lengths, bits) if is_rounded else theta
        error = (network.mlp(weights, grid[chosen]) - samples[:, chosen]).square().mean(1)
        relative = error / energy
        optimizer.zero_grad(set_to_none=True)
        # The logarithm weighs each network by itself: a good one goes on learning beside a bad one.
        torch.log(relative + 1e-7).mean().backward()
        optimizer.step()
        if progress:
            progress(step + 1, float(-10 * torch.log10(relative.detach() + 1e-7).mean()))
    return theta.detach()


def rounded(theta: torch.Tensor, group_lengths: tuple[int, ...], group_bits: tuple[int, ...]) -> torch.Tensor:
    """Return weights [S, K] as they come back from a file, with the gradient of those that go in."""
    groups = []
    for group, bits in zip(theta.split(group_lengths, -1), group_bits, strict=True):
        step = (group.detach().abs().amax(-1, keepdim=True) / layered.largest_symbol(bits)).clamp_min(1e-12)
        groups.append(straight_through(group, torch.round(group.detach() / step) * step))
    return torch.cat(groups, -1)


def fit_chunks(
    samples: np.ndarray,
    sample_rate: int,
    config: FitConfig,
    *,
    device: torch.device,
    progress: Callable[[int, int, float], None] | None = None,
) -> Iterator[EncodedChunk]:
    """Fit networks to a recording, a chunk at a time.

    Args:
        samples: The recording, scaled to a peak of about 1.
        sample_rate: Its rate (Hz).
        config: How.
        device: Where networks are trained.
        progress: Called with (steps done, steps in all, mean signal-to-noise ratio of the chunk in dB).

    Shape:
        samples: [C, T]
    """
    network = file_network(config)
    network = StoredNetwork(network.mlp.to(device), network.group_lengths)
    channels, total = samples.shape
    hop_samples = segment_length(total, sample_rate, config)
    num_segments = -(-total // hop_samples)
    per_chunk = ordinary_chunk_segments(network.num_stored * channels, hop_samples / sample_rate)
    num_chunks = max(-(-num_segments // per_chunk), 1) if total else 0
    for index in range(num_chunks):
        first = index * per_chunk
        heard = min(per_chunk, num_segments - first)
        part = samples[:, first * hop_samples : (first + heard) * hop_samples]
        part = np.pad(part, ((0, 0), (0, heard * hop_samples - part.shape[1])))
        segments = torch.from_numpy(np.ascontiguousarray(part)).reshape(channels * heard, hop_samples).to(device)

        def report(step: int, snr_db: float, done: int = index * config.steps) -> None:
            if progress:
                progress(done + step, num_chunks * config.steps, snr_db)

        theta = fit_theta(segments, config, network, progress=report).reshape(channels, heard, -1).cpu().numpy()
        is_last = index == num_chunks - 1
        count = heard + 1 + (heard + 1) % 2 if is_last else heard  # surplus segments hold zeros
        theta = np.pad(theta, ((0, 0), (0, count - heard), (0, 0)))
        symbols = layered.quantize(theta, network.group_lengths, group_bits(network, config.bits))
        yield EncodedChunk(first, count, symbols.digest(), PackedChunk(layered.pack(symbols), Order.BY_LAYER))


def segment_length(num_samples: int, sample_rate: int, config: FitConfig) -> int:
    """Return the samples of a segment: those of the whole recording, or of `segment_seconds`, at least 1."""
    if config.segment_seconds is None:
        return max(num_samples, 1)
    return max(round(config.segment_seconds * sample_rate), 1)


def file_network(config: FitConfig) -> StoredNetwork:
    """Return the network as a decoder will build it from the file's record, omegas rounded to single precision."""
    return network_of_record(*record_of_config(config.network))
