"""Renders what `hsnd_numpy.py` read: symbols to samples, written from docs/format.md like that.

Everything is computed in 64-bit floating point, segment after segment and hop after hop; it is an example of the page's
formulas rather than a fast decoder. Names are those of the page.
"""

import json
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hsnd_numpy import Chunk, File

Rows = np.ndarray
"""A sequence of rows, one for each segment or each pair of segments: [S, N]."""


def read_config(model: bytes) -> dict[str, Any]:
    """Return the configuration in the metadata of a model file."""
    header_bytes = int.from_bytes(model[:8], "little")
    metadata = json.loads(model[8 : 8 + header_bytes])["__metadata__"]
    if metadata["family"] != "hsc":
        raise ValueError(f"models of the family {metadata['family']} are not known")
    return json.loads(metadata["hypernetwork"])


class Networks:
    """The networks that lead from symbols to theta.

    Args:
        tensors: Of a model file, by name.
        config: Of the same model file.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], config: dict[str, Any]) -> None:
        self.tensors = tensors
        self.config = config

    def level(self, quality: int) -> np.ndarray:
        """Return the level [1] of a quality in hundredths."""
        above = (self.config.get("level_ratio_above", 1) - 1) * max(quality / 100 - 5, 0)
        steps = quality / 100 - self.config["neutral_quality"] + above
        return np.array([steps * self.config["level_per_quality"]])

    def decode_precision(self, latent: np.ndarray, quality: int) -> tuple[Rows, Rows]:
        """Return step sizes [S, K'] and features [S, W] of one channel of a chunk, whose latent is [S/2, Z]."""
        level = self.level(quality)
        knots = np.exp(4 * self.tensor("prior.log_step"))
        i = min(quality // 100, 9)
        f = quality / 100 - i
        x = latent * (knots[i] * (1 - f) + knots[i + 1] * f)
        h = self.linear("decoder.enter", x) + self.linear("decoder.enter_level", level)
        h = self.blocks("decoder.latent_blocks", self.config["decoder_blocks"], h)
        g = self.linear("decoder.unpair", h).reshape(2 * len(h), -1)
        features = self.blocks("decoder.segment_blocks", self.config["decoder_blocks"], g)
        log_step = self.linear("decoder.leave", features) - self.config["step_per_level"] * level
        return np.exp(np.clip(log_step, -10, 0)), features

    def refine(self, symbols: np.ndarray, level: Rows, step: Rows, features: Rows) -> Rows:
        """Return theta [S, K] of one channel from its symbols [S, K] and the level [S, 1] of each segment."""
        num_weights, known = symbols.shape[1], self.config["num_weights"]
        y = np.pad(symbols, ((0, 0), (0, known - num_weights)))
        c = y * step
        a = np.sign(c) * (np.abs(c) + 1e-6) ** 0.4
        h = self.linear("refinement.enter", np.concatenate([np.tanh(y), a, features], axis=1))
        h = h + self.linear("refinement.enter_level", level)
        h = self.blocks("refinement.blocks", self.config["refine_blocks"], h)
        u, v = np.split(self.linear("refinement.leave", h), 2, axis=1)
        theta = (c * (1 + np.tanh(u) / 2) + step * v) / math.sqrt(480)
        return theta[:, :num_weights]

    def tensor(self, name: str) -> np.ndarray:
        """Return a tensor in double precision."""
        return self.tensors["network." + name].astype(np.float64)

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        """Return weight x + bias of each row of x."""
        return x @ self.tensor(name + ".weight").T + self.tensor(name + ".bias")

    def blocks(self, name: str, count: int, x: Rows) -> Rows:
        """Apply the blocks `name.0`, `name.1`, ... one after the other."""
        for block in (f"{name}.{i}" for i in range(count)):
            h = self.linear(block + ".expand", self.norm(block + ".norm", self.mix(block + ".mix", x)))
            x = x + self.linear(block + ".project", gelu(h))
        return x

    def mix(self, name: str, x: Rows) -> Rows:
        """Return the convolution of each column with taps of its own."""
        weight = self.tensor(name + ".weight")[:, 0]
        taps = weight.shape[1]
        padded = np.pad(x, ((taps // 2, taps // 2), (0, 0)))
        return self.tensor(name + ".bias") + sum(weight[:, i] * padded[i : i + len(x)] for i in range(taps))

    def norm(self, name: str, x: Rows) -> Rows:
        """Return each row shifted and scaled to mean 0 and variance 1, then column by column as was learned."""
        normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return self.tensor(name + ".weight") * normed + self.tensor(name + ".bias")


def gelu(x: np.ndarray) -> np.ndarray:
    """Return x times the probability that a normal variable lies below x."""
    return x * (1 + np.frompyfunc(math.erf, 1, 1)(x / math.sqrt(2)).astype(np.float64)) / 2


def render(file: "File", tensors: Mapping[str, np.ndarray], config: dict[str, Any], rate: int) -> np.ndarray:
    """Return the samples of a file at any rate.

    Args:
        file: As `hsnd_numpy.read_file` returns it.
        tensors: Of the model that the file names, as `safetensors.numpy.load_file` returns them.
        config: Of the same model.
        rate: Of the output (Hz).

    Shape:
        - returns: [C, T] float64
    """
    header = file.header
    num_samples = (2 * file.num_samples * rate + header.sample_rate) // (2 * header.sample_rate)
    samples = np.zeros((header.num_channels, num_samples))
    grid = header.hop * rate
    bases: dict[Fraction, tuple[np.ndarray, np.ndarray]] = {}
    for chunk, j, theta_j, theta_next in hops(file.chunks, Networks(tensors, config), header.quality):
        inside = range(first_sample(j, grid), first_sample(j + 1, grid))
        if not inside:
            continue
        times = [(n + Fraction(1, 2)) / grid - j for n in inside]
        if times[0] not in bases:  # hops whose first samples have the same place look alike
            t = np.array(times, np.float64)
            bases[times[0]] = basis(t, header.num_weights, grid), basis(t - 1, header.num_weights, grid)
        falling, rising = bases[times[0]]
        heard = samples[:, inside.start : inside.stop]  # less than `inside` at the end of the sound
        sound = header.gain * (theta_j @ falling.T + theta_next @ rising.T)
        for channel in range(len(sound)):
            slots = np.array([16 * (time + j - chunk.first_segment) for time in times], np.float64)
            sound[channel] /= attack_gain(chunk, channel, slots)
        heard[:] = sound[:, : heard.shape[1]]
    return samples


def attack_gain(chunk: "Chunk", channel: int, slots: np.ndarray) -> np.ndarray:
    """Return g at places counted in slots from the centre of a chunk's first segment."""
    log2_gain = np.zeros(len(slots))
    for slot, attacked, gain in chunk.attacks:
        d = slots - slot
        rises, stays, falls = (-36 <= d) & (d < -24), (-24 <= d) & (d < -1), (-1 <= d) & (d < 0)
        h = np.select([rises, stays, falls], [(d + 36) / 12, 1.0, -d], 0.0)
        log2_gain = np.maximum(log2_gain, gain / 2 * h * (attacked == channel))
    return 2**log2_gain


def first_sample(hop: int, grid: Fraction) -> int:
    """Return the first sample n with (n + 1/2) / M >= hop."""
    return math.ceil(hop * grid - Fraction(1, 2))


def basis(t: np.ndarray, num_weights: int, grid: Fraction) -> np.ndarray:
    """Return what f multiplies with each weight at the times t: [T, K], zeros for features that are left out."""
    k = np.arange(num_weights) + 0.5
    sines = np.sin(math.pi * k * (t[:, None] + 1.5) + math.pi / 2)
    sines[:, math.floor(grid) :] = 0
    return np.cos(math.pi * t / 2)[:, None] * sines


def hops(
    chunks: "list[Chunk]", networks: Networks, quality: int
) -> "Iterator[tuple[Chunk, int, np.ndarray, np.ndarray]]":
    """Yield every hop j with the chunk that renders it and the theta [C, K] of the segments j and j + 1."""
    decoded = [decode_channels(chunk, networks, quality) for chunk in chunks]
    for i, chunk in enumerate(chunks):
        around = range(max(i - 1, 0), min(i + 2, len(chunks)))
        theta = np.stack([
            networks.refine(*map(np.concatenate, zip(*(decoded[j][channel] for j in around), strict=True)))
            for channel in range(len(chunk.symbols))
        ])  # fmt: skip
        first_around = chunks[around[0]].first_segment
        for j in around:
            start = chunks[j].first_segment - first_around
            turn_back(theta[:, start : start + chunks[j].num_segments], chunks[j])
        for segment in range(chunk.first_segment, chunk.first_segment + chunk.num_segments):
            if segment > 0:
                yield chunk, segment - 1, theta[:, segment - 1 - first_around], theta[:, segment - first_around]
        if chunk is chunks[-1]:
            yield chunk, segment, theta[:, segment - first_around], np.zeros_like(theta[:, 0])


def decode_channels(chunk: "Chunk", networks: Networks, quality: int) -> list[tuple[Rows, Rows, Rows, Rows]]:
    """Return what `Networks.refine` takes of each channel of a chunk."""
    qualities = [quality] * len(chunk.symbols)
    for pair, (_, reduction) in enumerate(chunk.rotations):
        qualities[2 * pair + 1] = max(quality - 10 * reduction, 0)
    channels = []
    for latent, symbols, lowered in zip(chunk.latent, chunk.symbols, qualities, strict=True):
        level = np.repeat(networks.level(lowered)[None], len(symbols), axis=0)
        channels.append((symbols, level, *networks.decode_precision(latent, lowered)))
    return channels


def turn_back(theta: np.ndarray, chunk: "Chunk") -> None:
    """Turn the theta [C, S, K] of a chunk's segments back in place."""
    for pair, (angle, reduction) in enumerate(chunk.rotations):
        b = math.pi / 256 * angle
        first, second = theta[2 * pair].copy(), theta[2 * pair + 1] * (reduction != 255)
        theta[2 * pair] = math.cos(b) * first - math.sin(b) * second
        theta[2 * pair + 1] = math.cos(b) * second + math.sin(b) * first


def render_layers(file: "File", rate: int) -> np.ndarray:
    """Return the samples [C, T] of a file that holds whole networks with hidden layers."""
    header = file.header
    if header.network is None or header.network[5] != 0 or any(header.model_id):
        raise ValueError("not a file of whole networks")
    hidden_layers, num_frequencies, width, *omegas, _ = header.network
    grid = header.hop * rate
    theta = np.concatenate(
        [chunk.symbols * np.repeat(chunk.scales.astype(float), chunk.group_lengths, axis=2) for chunk in file.chunks], 1
    )
    num_samples = (2 * file.num_samples * rate + header.sample_rate) // (2 * header.sample_rate)
    samples = np.zeros((header.num_channels, num_samples))
    for n in range(num_samples):
        time = (n + Fraction(1, 2)) / grid
        j = math.floor(time)
        u = float(2 * (time - j) - 1)
        for channel in range(header.num_channels):
            weights, h = theta[channel, j], np.array([u])
            if num_frequencies:
                h = np.array([f(2**k * math.pi * u) for k in range(num_frequencies) for f in (math.sin, math.cos)])
            for index in range(hidden_layers + 1):
                rows = width if index < hidden_layers else 1
                matrix, weights = weights[: rows * len(h)].reshape(rows, -1), weights[rows * len(h) :]
                h, weights = matrix @ h + weights[:rows], weights[rows:]
                if index < hidden_layers:
                    h = np.maximum(h, 0) if num_frequencies else np.sin(omegas[min(index, 1)] * h)
            samples[channel, n] = header.gain * h[0]
    return samples
