"""A random small model and valid `.hsnd` files of under a kB, for what is about files and not about sound."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from hscodec.coding import layered
from hscodec.coding.by_context import walk
from hscodec.coding.channel_pairs import channel_pairs
from hscodec.coding.fixedpoint import FixedPointTables, latent_residuals, scale_classes
from hscodec.coding.frequencies import FrequencyTables
from hscodec.coding.payload import ChunkSymbols, pack
from hscodec.coding.rotations import channel_qualities, is_stored
from hscodec.container import ChunkOrder, ContainerWriter, FileHeader
from hscodec.container.codes import TargetNetwork
from hscodec.container.network import NetworkRecord
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.model import Hypernetwork
from hscodec.registry import ManifestEntry, Model, load_flagship
from hscodec.training.export import model_bytes
from hscodec.training.fixed_point import fixed_point_tables
from hscodec.training.frequency_fit import Counts

NAME = "tiny"
CONFIG = HypernetworkConfig(
    num_weights=320,
    latent_channels=4,
    width=16,
    encoder_blocks=1,
    decoder_blocks=1,
    scale_width=8,
    refine_width=16,
    refine_blocks=2,
    refine_kernel=5,
    initial_step=0.3,
)


def make_model(folder: Path, seed: int = 0) -> Model:
    """Write a random model and a manifest to `folder`, and load it.

    Where $HSCODEC_MODELS names the folder, files made with the model find it.
    """
    network = _random_network(seed)
    content = model_bytes(network, frequencies=_fit(fixed_point_tables(network)))
    path = folder / f"{NAME}.safetensors"
    path.write_bytes(content)
    entry = ManifestEntry(name=NAME, file=path.name, sha256=hashlib.sha256(content).hexdigest())
    (folder / "manifest.json").write_text(json.dumps({"models": [asdict(entry)]}))
    return load_flagship(path)


def _random_network(seed: int) -> Hypernetwork:
    """Return a network in which every part has a say: training starts with many layers at zero."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = Hypernetwork(CONFIG)
        for name, weight in network.named_parameters():
            if name.endswith("project.weight"):
                weight.normal_(std=0.3)
        network.decoder.leave.weight.normal_(std=0.2)
        network.scale.leave.weight.normal_(std=0.01)
        network.scale.leave_bias.normal_(std=0.4)
        network.refinement.leave.weight.normal_(std=0.1)
        network.prior.prediction_logit.normal_()
    return network.eval()


def _fit(tables: FixedPointTables) -> FrequencyTables:
    """Return the statistics of symbols as they are drawn here, in three contexts: the fewer, the smaller the model."""
    counts = Counts(CONFIG.latent_channels)
    counts.edges, counts.weights = np.ascontiguousarray(counts.edges[:, [2, 8]]), counts.weights[:, :3]
    for index in range(11):
        quality = 100 * index
        symbols = _draw(tables, _Shape(quality=quality), 60, np.random.default_rng(index))
        walk(counts, latent_residuals(symbols.latent, tables.prediction), symbols.weights, tables, counts, quality)
    return counts.frequencies()


@dataclass(frozen=True)
class _Shape:
    """What a valid file is like.

    Attributes:
        rate: Sample rate (Hz).
        channels: C.
        weights: K.
        used: Weights below which all others are 0; None is all.
        segments: Segments of each chunk.
        rotations: Of each chunk, angle and reduction of each pair of channels; nothing where no chunk has any.
        are_alike: Whether left and right are nearly the same, so that order by-pair is the shorter one.
        repeats: Whether all segments are alike, which makes plain order the shorter one.
        by_context: Whether the model's statistics may be used, which makes order by-context the shorter one.
        knows_length: Whether the header says the number of samples.
        quality: In hundredths.
        gain: Gain.
        tags: Tags.
    """

    rate: int = 16_000
    channels: int = 1
    weights: int = 40
    used: int | None = None
    segments: tuple[int, ...] = (12,)
    rotations: tuple[tuple[tuple[int, int], ...], ...] = ()
    are_alike: bool = False
    repeats: bool = False
    by_context: bool = False
    knows_length: bool = True
    quality: int = 500
    gain: float = 0.5
    tags: tuple[tuple[str, str], ...] = ()


_SHAPES = {
    "mono": _Shape(),
    "plain": _Shape(repeats=True, segments=(8, 6)),
    "stereo": _Shape(rate=44_100, channels=2, weights=24, segments=(10, 2, 6), quality=731),
    "eight": _Shape(rate=48_000, channels=8, weights=6, segments=(4, 2), quality=1000, gain=1e-3),
    "chunks": _Shape(rate=8000, weights=10, segments=(2, 18, 4, 2, 6), quality=0),
    "odd-rate": _Shape(rate=11_025, weights=16, segments=(6, 4), quality=99),
    "tags": _Shape(weights=12, segments=(4,), tags=(("title", "Ein Stück"), ("title", ""), ("n", "x" * 90))),
    "stream": _Shape(rate=22_050, channels=2, weights=12, segments=(6, 6, 2), knows_length=False),
    "empty": _Shape(segments=()),
    "context": _Shape(by_context=True, segments=(12, 4)),
    "context-stereo": _Shape(by_context=True, rate=44_100, channels=2, weights=24, segments=(10, 2, 6), quality=731),
    "context-eight": _Shape(by_context=True, rate=48_000, channels=8, weights=6, segments=(4, 2), quality=1000),
    "context-stream": _Shape(by_context=True, rate=8000, weights=10, segments=(2, 18), quality=0, knows_length=False),
    "rotated": _Shape(channels=2, weights=24, segments=(8, 2, 4), rotations=(((37, 12),), (), ((64, 255),))),
    "context-rotated": _Shape(
        by_context=True, channels=2, weights=24, segments=(4, 10), quality=731, rotations=(((200, 255),), ((255, 30),))
    ),
    "pair": _Shape(by_context=True, are_alike=True, channels=2, weights=40, segments=(12, 10)),
    "pair-five": _Shape(by_context=True, are_alike=True, channels=5, weights=24, segments=(12,), quality=437),
    "pair-rotated": _Shape(
        by_context=True, are_alike=True, channels=4, weights=40, segments=(12,), rotations=(((64, 255), (3, 12)),)
    ),
    "context-rotated-five": _Shape(
        by_context=True,
        rate=48_000,
        channels=5,
        weights=8,
        segments=(4, 2),
        rotations=(((0, 0), (9, 255)), ((1, 0), (9, 60))),
    ),
    "narrow": _Shape(weights=90, used=11, segments=(6, 2)),
    "narrow-by-context": _Shape(
        by_context=True, channels=2, weights=100, used=30, segments=(6, 8), rotations=((), ((64, 255),))
    ),
}


_LAYERED_BITS = {"fmlp": (6, 6, 6, 6, 6, 6), "siren": (16, 15, 9, 8, 2, 9)}


def valid_files(model: Model) -> dict[str, bytes]:
    """Return files that differ in all that a file can differ in, by name; the same for the same model."""
    files = {name: _make_file(model, shape, seed) for seed, (name, shape) in enumerate(_SHAPES.items())}
    return files | {f"layered-{name}": _make_layered_file(name, bits) for name, bits in _LAYERED_BITS.items()}


def _make_layered_file(kind: str, bits: tuple[int, ...]) -> bytes:
    """Return a file of two chunks of networks with hidden layers that needs no model."""
    groups = (4 if kind == "siren" else 24, 4, 16, 4, 4, 1)
    record = (
        NetworkRecord(hidden_layers=2, width=4, omega_0=100.0, omega=20.0)
        if kind == "siren"
        else NetworkRecord(hidden_layers=2, width=4, num_frequencies=3)
    )
    header = FileHeader(
        sample_rate=8_000,
        num_channels=2,
        num_samples=800,
        num_weights=sum(groups),
        quality=0,
        hop_seconds=Fraction(1, 50),
        target_network=TargetNetwork[kind.upper()],
        network=record,
        tags=(("title", kind),),
    )
    sink = io.BytesIO()
    with ContainerWriter(sink, header) as writer:
        for count in (4, 2):
            values = np.random.default_rng(count).normal(size=(2, count, sum(groups)))
            symbols = layered.quantize(values, groups, bits)
            writer.write_chunk(
                first_segment=writer.num_segments,
                num_segments=count,
                order=ChunkOrder.BY_LAYER,
                symbol_digest=symbols.digest(),
                payload=layered.pack(symbols),
            )
    return sink.getvalue()


def _make_file(model: Model, shape: _Shape, seed: int) -> bytes:
    num_segments = sum(shape.segments)
    header = FileHeader(
        sample_rate=shape.rate,
        num_channels=shape.channels,
        num_samples=None,
        num_weights=shape.weights,
        quality=shape.quality,
        gain=shape.gain,
        model_id=model.model_id,
        tags=shape.tags,
    )
    num_samples = header.max_num_samples(num_segments)
    if shape.knows_length:
        header = replace(header, num_samples=num_samples)
    sink = io.BytesIO()
    with ContainerWriter(sink, header) as writer:
        for index, count in enumerate(shape.segments):
            rotations = shape.rotations[index] if shape.rotations else ()
            symbols = _draw(model.tables, shape, count, np.random.default_rng((seed, index)), rotations)
            frequencies = model.frequencies if shape.by_context else None
            pairs = channel_pairs(shape.channels) if shape.are_alike else []
            packed = pack(symbols, model.tables, shape.quality, frequencies=frequencies, pairs=pairs)
            writer.write_chunk(
                first_segment=writer.num_segments,
                num_segments=count,
                order=ChunkOrder(int(packed.order)),
                symbol_digest=symbols.digest(),
                payload=packed.payload,
                last=index == len(shape.segments) - 1,
                has_rotations=packed.has_rotations,
                has_bandwidth=packed.has_bandwidth,
            )
        writer.close(num_samples=num_samples)
    return sink.getvalue()


def _draw(
    tables: FixedPointTables,
    shape: _Shape,
    num_segments: int,
    random: np.random.Generator,
    rotations: tuple[tuple[int, int], ...] = (),
) -> ChunkSymbols:
    """Draw a chunk's symbols, of the size that their classes announce, and some large ones."""
    pairs = np.array(rotations, np.int32).reshape(-1, 2)
    stored = is_stored(pairs, shape.channels)[:, None, None]
    latent = np.round(random.laplace(0, 2, (shape.channels, num_segments // 2, CONFIG.latent_channels)))
    latent = latent.astype(np.int32)
    if shape.repeats:
        weights = np.broadcast_to(random.laplace(0, 40, shape.weights), (shape.channels, num_segments, shape.weights))
    else:
        qualities = channel_qualities(pairs, shape.quality, shape.channels)
        classes = scale_classes(tables, latent, qualities, shape.weights)
        weights = random.laplace(0, 1, classes.shape) * np.exp(0.75 * (np.minimum(classes, 12) + 0.5) - 6)
    if shape.are_alike:
        for first, second in channel_pairs(shape.channels):
            latent[second] = latent[first] + (random.random(latent[first].shape) < 0.1)
            weights[second] = weights[first] + random.normal(0, 0.3, weights[first].shape)
    weights = np.round(weights)
    weights.flat[::97] = random.integers(-1000, 1000, weights.flat[::97].size)
    if shape.used is not None:
        weights[..., shape.used :] = 0
    return ChunkSymbols(latent * stored, weights.astype(np.int32) * stored, rotations=pairs)
