"""Adds files to this folder that every later version must still read; see README.md.

Run by hand, with the names of new recipes or without any: `python tests/golden/make_golden.py [NAME ...]`. It never
changes a file that is there: a recipe whose files exist is refused if named, and passed over if not.
"""

import hashlib
import io
import json
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.numpy import load_file

from hscodec.codec import decode_file, encode_file
from hscodec.codec.fit import FitConfig
from hscodec.codec.fit_file import fit_file
from hscodec.codec.symbols import LayeredReader, SymbolReader, open_symbols
from hscodec.coding.by_context import walk
from hscodec.coding.fixedpoint import latent_residuals
from hscodec.container import ChunkOrder, ContainerReader, ContainerWriter, FileHeader
from hscodec.container.codes import Storage
from hscodec.hypernet.hypersound import HyperSound, HyperSoundConfig
from hscodec.inr.mlp import MlpConfig
from hscodec.registry import AnyModel, Model, load_model
from hscodec.training.export import model_bytes
from hscodec.training.frequency_fit import Counts
from hscodec.training.hypersound_export import hypersound_bytes

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "manifest.json"
TINY = FOLDER / "tiny.safetensors"
TINY_CONTEXT = FOLDER / "tiny-context.safetensors"
TINY_HYPERSOUND = FOLDER / "tiny-hypersound.safetensors"
SPEECH = FOLDER.parent / "data" / "speech.flac"
QUALITY = 437
SMALL_SIREN = MlpConfig("siren", hidden_layers=2, width=8, omega_0=100.0, omega=10.0)
PEAK = 0.7
"""Level of the decoded sounds, so that one tolerance serves all of them."""


@dataclass(frozen=True)
class Recipe:
    """How to make a file.

    Attributes:
        shows: What the file is there for.
        make: Called with a factor on the level of its sound; returns the file.
        model: Name or path of the model; None where the file needs none.
    """

    shows: str
    make: Callable[[float], bytes]
    model: str | None = str(TINY)


def encoded(
    seconds: float, rate: int, *, quality: float, num_channels: int = 1, subtype: str = "FLOAT", model: Path = TINY
) -> Callable[[float], bytes]:
    """Return what encodes a falling tone that is amplitude modulated, and noise."""
    time_s = np.arange(round(seconds * rate))[:, None] / rate
    tone = 0.7 * np.sin(2 * np.pi * (700 - 400 * time_s) * time_s + np.arange(num_channels)) * np.sin(20 * time_s) ** 2
    noise = np.random.default_rng(rate).uniform(-0.3, 0.3, (len(time_s), num_channels))
    return lambda level: encode((tone + noise) * level, rate, quality=quality, model=str(model), subtype=subtype)


def nearly_mono(width: float, quality: float) -> Callable[[float], bytes]:
    """Return what encodes two channels of one falling tone and noise, of which only a part of this level differs."""
    time_s = np.arange(4000)[:, None] / 16_000
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (4000, 2))
    shared = 0.7 * np.sin(2 * np.pi * (700 - 400 * time_s) * time_s) * np.sin(20 * time_s) ** 2 + noise[:, :1]
    options = {"quality": quality, "model": str(TINY_CONTEXT), "subtype": "FLOAT"}
    return lambda level: encode((shared + width * noise) * level, 16_000, **options)


def clicks(level: float) -> bytes:
    """Encode two channels of clicks out of near silence: attacks are stored in both."""
    random = np.random.default_rng(7)
    samples = 1e-4 * random.uniform(-1, 1, (12_000, 2))
    for onset, channel in ((1500, 0), (4321, 1), (5600, 0), (5600, 1)):
        fade = np.exp(-np.arange(12_000 - onset) / 300)
        samples[onset:, channel] += random.uniform(-0.7, 0.7, len(fade)) * fade
    return encode(samples * level, 16_000, quality=5, model=str(TINY), subtype="FLOAT")


def speech(level: float) -> bytes:
    """Encode one second of speech with the shipped model."""
    samples, rate = soundfile.read(SPEECH, start=33_000, frames=22_050, always_2d=True)
    return encode(samples * level, rate, quality=5.0, model="hsc-1", subtype="PCM_16")


def encode(
    samples: np.ndarray, rate: int, *, quality: float = 5.0, model: str, subtype: str = "FLOAT", **options: Any
) -> bytes:
    """Return the file that `encode_file` makes of samples [T, C]."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.wav"), Path(folder, "out.hsnd")
        soundfile.write(source, samples, rate, subtype=subtype)
        encode_file(source, target, model=load_model(model), quality=quality, device="cpu", **options)
        return target.read_bytes()


def two_tones() -> np.ndarray:
    """Return 0.1 s of a tone in each of two channels, at 8 kHz: [T, 2]."""
    time_s = np.arange(800)[:, None] / 8000
    return 0.5 * np.sin(2 * np.pi * np.array([220, 350]) * time_s)


def fitted(network: MlpConfig, *, bits: int, learning_rate: float) -> Callable[[float], bytes]:
    """Return what fits two networks to each channel of `two_tones`, and leaves a third one nearly nothing to do."""
    config = FitConfig(network, segment_seconds=Fraction(49, 1000), steps=200, learning_rate=learning_rate, bits=bits)

    @cache
    def fit() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.wav"), Path(folder, "out.hsnd")
            soundfile.write(source, two_tones(), 8000, subtype="FLOAT")
            fit_file(source, target, config=config, device="cpu")
            return target.read_bytes()

    def make(level: float) -> bytes:
        # Another level would be another training, which does not end in the same weights.
        container = ContainerReader(io.BytesIO(fit()))
        header = replace(container.header, gain=container.header.gain * level)
        return header.pack() + fit()[len(container.header.pack()) :]

    return make


def generated(storage: Storage, bits: int) -> Callable[[float], bytes]:
    """Return what encodes `two_tones` with the small model of the HyperSound family."""
    return lambda level: encode(two_tones() * level, 8000, model=str(TINY_HYPERSOUND), storage=storage, bits=bits)


def drawn(*sizes: int, orders: tuple[int, ...] = (1,), large: bool = False, **options: Any) -> Callable[[float], bytes]:
    """Return what writes chunks of these sizes (segments) by hand, of symbols that are drawn rather than encoded.

    Args:
        sizes: Segments of each chunk.
        orders: Order of each chunk; the first ones come again if there are more chunks.
        large: Draw some values that do not fit a byte, up to the ends of int32.
        options: For `write`.
    """
    random = np.random.default_rng(sum(sizes))
    chunks = []
    for index, size in enumerate(sizes):
        latent = random.laplace(0, 2, (1, size // 2, 4)).round().astype(np.int32)
        symbols = random.laplace(0, 3 * np.exp(-np.arange(160) / 50), (1, size, 160)).round().astype(np.int32)
        if large:
            symbols.flat[5::97] = random.integers(-300, 300, symbols.flat[5::97].size)
            symbols.flat[7:14] = [127, -127, 128, -128, 2**31 - 1, -(2**31), 2**20]
            latent.flat[1::5] = random.integers(-300, 300, latent.flat[1::5].size)
            latent.flat[:4] = [-5000, 128, -128, 2**15]
            latent.flat[-4:] = [2**31 - 1, -(2**31), -(2**20) - 1, 2**20 + 1]
        chunks.append((latent, symbols, orders[index % len(orders)]))
    return lambda level: write(level, chunks, **options)


def rotated_three(level: float) -> bytes:
    """Return a file of three channels whose chunks are rotated in different ways or not at all, in all orders."""
    rotations = [[(37, 12)], [], [(200, 255)], [(64, 255)], [(255, 60)]]
    random = np.random.default_rng(3)
    chunks = []
    for size, order, pairs in zip((6, 2, 8, 4, 4), (2, 1, 2, 0, 1), rotations, strict=True):
        latent = random.laplace(0, 2, (3, size // 2, 4)).round().astype(np.int32)
        symbols = random.laplace(0, 3 * np.exp(-np.arange(160) / 50), (3, size, 160)).round().astype(np.int32)
        if pairs and pairs[0][1] == reference().NOT_STORED:
            latent[1] = symbols[1] = 0
        chunks.append((latent, symbols, order))
    return write(level, chunks, rotations=rotations, model=TINY_CONTEXT)


def pairs_of_six(level: float) -> bytes:
    """Return a file of six channels in order by-pair: front and back are coupled, in another way in each chunk."""
    random = np.random.default_rng(6)
    couplings = [
        [(0, 1, 200, (16, 12, 8, 4, 0, 1, 15), (255, 250, 200, 150, 128, 100, 50, 1))],
        [(0, 1, 0, (0,) * 7, (128,) * 8), (4, 5, 255, (0, 16, 16, 3, 9, 16, 2), (1, 2, 30, 64, 200, 230, 254, 255))],
        [(0, 5, 96, (7,) * 7, (240,) * 8), (1, 4, 31, (2,) * 7, (20,) * 8)],
    ]
    rotations = [[], [], [(0, 0), (64, 255), (9, 12)]]
    chunks = []
    for size, pairs in zip((6, 4, 4), rotations, strict=True):
        latent = random.laplace(0, 2, (6, size // 2, 4)).round().astype(np.int32)
        symbols = random.laplace(0, 3 * np.exp(-np.arange(160) / 50), (6, size, 160)).round().astype(np.int32)
        latent[5], symbols[5] = latent[4] + latent[5] // 4, symbols[4] + symbols[5] // 4
        symbols[5, 0, :4] = [-39, 40, 41, -7]
        if pairs:
            latent[3] = symbols[3] = 0
        chunks.append((latent, symbols, reference().BY_PAIR))
    return write(level, chunks, rotations=rotations, couplings=couplings, model=TINY_CONTEXT)


def narrow(level: float) -> bytes:
    """Return a file of two channels whose chunks leave out weights, in all orders, and one that does not."""
    rotations = [[], [], [(64, 255)], [], [(37, 12)], []]
    left_out = [19, 5, 10, 1, 12, 0]
    coupling = (0, 1, 200, (16, 12, 8, 4, 0, 1, 15), (255, 250, 200, 150, 128, 100, 50, 1))
    couplings = [[], [coupling], [], [], [coupling], []]
    random = np.random.default_rng(5)
    chunks = []
    for index, order in enumerate((2, 4, 2, 0, 4, 1)):
        latent = random.laplace(0, 2, (2, 2, 4)).round().astype(np.int32)
        symbols = random.laplace(0, 3 * np.exp(-np.arange(160) / 50), (2, 4, 160)).round().astype(np.int32)
        symbols[..., 160 - 8 * left_out[index] :] = 0
        if rotations[index] and rotations[index][0][1] == reference().NOT_STORED:
            latent[1] = symbols[1] = 0
        chunks.append((latent, symbols, order))
    return write(level, chunks, rotations=rotations, couplings=couplings, left_out=left_out, model=TINY_CONTEXT)


def runs(level: float) -> bytes:
    """Return a file with runs of zeros about the lengths at which a byte ends, and no run at the end."""
    latent = np.random.default_rng(1).laplace(0, 2, (1, 40, 4)).round().astype(np.int32)
    symbols = np.zeros((1, 80, 160), np.int32)
    _, sparse = reference().stored_positions(latent, symbols.shape, 1, load_file(TINY), QUALITY)
    places = np.cumsum(np.array([0, 254, 255, 256, 0, 509, 510, 511]) + 1) - 1
    symbols.flat[sparse[places]] = [1, -1, 2, -2, 3, 127, 200, -1]
    symbols.flat[sparse[-1]] = 1
    return write(level, [(latent, symbols, 1)])


def write(
    level: float,
    chunks: list[tuple[np.ndarray, np.ndarray, int]],
    *,
    rotations: list[list[tuple[int, int]]] | None = None,
    couplings: list[list[tuple[Any, ...]]] | None = None,
    left_out: list[int] | None = None,
    num_samples: int | None = None,
    streamed: bool = False,
    tags: tuple[tuple[str, str], ...] = (),
    model: Path = TINY,
) -> bytes:
    """Return a file of 8 kHz, put together by hand.

    Args:
        level: The gain in its header.
        chunks: Latent [C, S/2, 4], symbols [C, S, 160] and order of each.
        rotations: Angle and reduction of each pair of channels, for each chunk; no chunk has any if None.
        couplings: Of each chunk, for order by-pair.
        left_out: Eights of weights that each chunk leaves out; none if None.
        num_samples: Length; None is what the segments cover.
        streamed: Leave the length open in the header, and mark no chunk as the last.
        tags: Of the file.
        model: The model that the file names.
    """
    header = FileHeader(
        sample_rate=8000,
        num_channels=len(chunks[0][0]) if chunks else 1,
        num_samples=None,
        num_weights=160,
        quality=QUALITY,
        gain=level,
        model_id=load_model(model).model_id,
        tags=tags,
    )
    total = header.max_num_samples(sum(symbols.shape[1] for _, symbols, _ in chunks))
    total = total if num_samples is None else num_samples
    rotations = [[]] * len(chunks) if rotations is None else rotations
    couplings = [[]] * len(chunks) if couplings is None else couplings
    left_out = [0] * len(chunks) if left_out is None else left_out
    sink = io.BytesIO()
    with ContainerWriter(sink, header if streamed else replace(header, num_samples=total)) as writer:
        for index, ((latent, symbols, order), pairs) in enumerate(zip(chunks, rotations, strict=True)):
            writer.write_chunk(
                first_segment=writer.num_segments,
                num_segments=symbols.shape[1],
                order=ChunkOrder(order),
                symbol_digest=reference().symbol_digest(latent, symbols),
                payload=reference().write_rotated(
                    latent, symbols, pairs, order, load_file(model), QUALITY, couplings[index], left_out[index]
                ),
                last=not streamed and index == len(chunks) - 1,
                has_rotations=bool(pairs),
                has_bandwidth=bool(left_out[index]),
            )
        writer.close(num_samples=total)
    return sink.getvalue()


def later_minor(level: float) -> bytes:
    """Return a file as a later minor version may write it: unused bits set, and a field behind the tags."""
    data = drawn(4, tags=(("title", "later"),))(level)
    chunk = int.from_bytes(data[12:14], "little")
    header = bytearray(data[: chunk - 4] + b"new!")
    header[9] = 1
    header[11] = 0xFF
    header[12:14] = (len(header) + 4).to_bytes(2, "little")
    payload_bytes = int.from_bytes(data[chunk + 12 : chunk + 16], "little")
    stop = chunk + 24 + payload_bytes
    body = bytearray(data[chunk:stop])
    body[11] |= 0xF0
    return b"".join(bytes(part) + zlib.crc32(part).to_bytes(4, "little") for part in (header, body)) + data[stop + 4 :]


TAGS = (("title", "Frühling 春 🎻"), ("artist", "one"), ("artist", "two"), ("ARTIST", ""), ("note", "a\nb\0c"))

RECIPES = {
    "mono": Recipe("mono, 16 kHz, quality 5, order by-class", encoded(0.5, 16_000, quality=5, subtype="PCM_16")),
    "stereo": Recipe("stereo, 44.1 kHz, quality 3.37", encoded(0.25, 44_100, quality=3.37, num_channels=2)),
    "quality-0": Recipe("quality 0", encoded(0.4, 8000, quality=0)),
    "quality-10": Recipe("quality 10", encoded(0.4, 8000, quality=10)),
    "odd-rate": Recipe(
        "three channels at 11,111 Hz, where a hop is no whole number of samples",
        encoded(0.2, 11_111, quality=7.5, num_channels=3),
    ),
    "plain": Recipe("order plain", drawn(12, orders=(0,))),
    "streamed": Recipe(
        "a length that only the trailer says, and no chunk that is marked as the last",
        drawn(8, 6, num_samples=2000, streamed=True),
    ),
    "tags": Recipe("tags: repeated keys, an empty value, text that is not ASCII", drawn(4, tags=TAGS)),
    "chunks": Recipe("chunks of 2, 4, 8, 30 and 2 segments, in both orders", drawn(2, 4, 8, 30, 2, orders=(0, 1, 1))),
    "empty": Recipe("a sound of 0 samples", drawn()),
    "escapes": Recipe("large values in latent and symbols, in both orders", drawn(6, 10, orders=(1, 0), large=True)),
    "runs": Recipe("runs of zeros about the lengths at which a byte ends, and an empty one at the end", runs),
    "later-minor": Recipe("a later minor version: unused bits are set, a field stands behind the tags", later_minor),
    "attacks": Recipe("attacks in both channels", clicks),
    "speech": Recipe("one second of speech with the model hsc-1", speech, "hsc-1"),
    "context": Recipe(
        "order by-context, at a quality where the model's level rises faster",
        encoded(2, 16_000, quality=6, model=TINY_CONTEXT),
        str(TINY_CONTEXT),
    ),
    "context-stereo": Recipe(
        "order by-context, stereo",
        encoded(0.4, 16_000, quality=3.37, num_channels=2, model=TINY_CONTEXT),
        str(TINY_CONTEXT),
    ),
    "context-large": Recipe(
        "order by-context: large values in latent and symbols",
        drawn(6, 10, orders=(2,), large=True, model=TINY_CONTEXT),
        str(TINY_CONTEXT),
    ),
    "rotated": Recipe(
        "two channels that are nearly one sound: a rotation that lowers the quality of the rest",
        nearly_mono(0.25, 10),
        str(TINY_CONTEXT),
    ),
    "rotated-silent": Recipe(
        "two channels that are the same: a rotation whose rest is not stored", nearly_mono(0, 7.3), str(TINY_CONTEXT)
    ),
    "rotated-three": Recipe(
        "three channels: a rotation that differs from chunk to chunk, in all orders", rotated_three, str(TINY_CONTEXT)
    ),
    "pair": Recipe("order by-pair: two channels that are alike", nearly_mono(0.6, 5), str(TINY_CONTEXT)),
    "pair-six": Recipe(
        "order by-pair: six channels, two couplings, one beside a channel that is not stored",
        pairs_of_six,
        str(TINY_CONTEXT),
    ),
    "narrow": Recipe("bandwidths: weights that are left out, in all orders, with rotations", narrow, str(TINY_CONTEXT)),
    "fitted-siren": Recipe(
        "order by-layer without a model: SIRENs, whose first layers have more bits than the others",
        fitted(SMALL_SIREN, bits=10, learning_rate=5e-3),
        None,
    ),
    "fitted-fmlp": Recipe(
        "order by-layer without a model: FMLPs with 7 bits",
        fitted(MlpConfig("fmlp", hidden_layers=2, width=10, num_frequencies=5), bits=7, learning_rate=1e-2),
        None,
    ),
    "generated-weights": Recipe(
        "order by-layer with a model: weights of SIRENs, of which the model holds some",
        generated(Storage.WEIGHTS, 8),
        str(TINY_HYPERSOUND),
    ),
    "generated-latent": Recipe(
        "order by-layer with a model: the bottleneck", generated(Storage.BOTTLENECK, 9), str(TINY_HYPERSOUND)
    ),
}


def reference() -> ModuleType:
    """Return the second implementation."""
    folder = str(FOLDER.parent / "reference")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module("hsnd_numpy")


def add(entries: dict[str, dict[str, str]], file: str, content: bytes, shows: str) -> None:
    """Write a new file and note it for the manifest; raises FileExistsError rather than write over another."""
    with open(FOLDER / file, "xb") as sink:
        sink.write(content)
    entries[file] = {"sha256": hashlib.sha256(content).hexdigest(), "shows": shows}


def read_symbols(data: bytes, model: AnyModel | None) -> dict[str, np.ndarray]:
    """Return latent or scales, and symbols, of each chunk, and make sure that both implementations agree about them."""
    container = ContainerReader(io.BytesIO(data))
    symbols = open_symbols(container, model)
    if isinstance(symbols, LayeredReader):
        return read_layers(data, symbols)
    assert isinstance(model, Model)
    chunks = [symbols.read(index) for index in range(len(container.chunks))]
    for ours, theirs in zip(chunks, reference().read_file(data, load_file(model.path)).chunks, strict=True):
        np.testing.assert_array_equal(ours.latent, theirs.latent)
        np.testing.assert_array_equal(ours.weights, theirs.symbols)
    arrays = {f"latent.{index}": chunk.latent for index, chunk in enumerate(chunks)}
    return arrays | {f"symbols.{index}": chunk.weights for index, chunk in enumerate(chunks)}


def read_layers(data: bytes, symbols: LayeredReader) -> dict[str, np.ndarray]:
    """Return scales and symbols of each chunk of networks with hidden layers, likewise."""
    arrays = {}
    for index, theirs in enumerate(reference().read_file(data, None).chunks):
        ours = symbols.read(index)
        np.testing.assert_array_equal(ours.scales, theirs.scales)
        np.testing.assert_array_equal(ours.symbols, theirs.symbols)
        arrays |= {f"scales.{index}": ours.scales, f"symbols.{index}": ours.symbols}
    return arrays


def decode(data: bytes, model: AnyModel | None, suffix: str, subtype: str) -> bytes:
    """Return the audio file that `decode_file` makes."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.hsnd"), Path(folder, f"out{suffix}")
        source.write_bytes(data)
        decode_file(source, target, model=model, subtype=subtype, device="cpu")
        return target.read_bytes()


def add_recipe(entries: dict[str, dict[str, str]], name: str, recipe: Recipe) -> None:
    """Make a file, level it, and store it with what it decodes to."""
    model = None if recipe.model is None else load_model(recipe.model)
    data = recipe.make(1.0)
    audio, _ = soundfile.read(io.BytesIO(decode(data, model, ".wav", "FLOAT")))
    if len(audio):
        data = recipe.make(PEAK / np.abs(audio).max())
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **read_symbols(data, model))
    add(entries, f"{name}.hsnd", data, recipe.shows)
    beside = "scales" if recipe.model in (None, str(TINY_HYPERSOUND)) else "latent"
    add(entries, f"{name}.npz", arrays.getvalue(), f"{beside} and symbols of {name}.hsnd, by chunk")
    if len(audio):
        add(entries, f"{name}.flac", decode(data, model, ".flac", "PCM_16"), f"what {name}.hsnd decodes to")


def make_tiny() -> bytes:
    """Return a random model that is small enough to keep."""
    recipe = tests_conftest()
    return model_bytes(recipe.make_network(replace(recipe.TINY, num_weights=640)))


def make_tiny_context() -> bytes:
    """Return a smaller one, with frequencies of what it stores of the falling tone, in as few contexts as show them."""
    recipe = tests_conftest()
    sizes = {"num_weights": 320, "width": 8, "scale_width": 4, "refine_width": 8, "refine_blocks": 1}
    network = recipe.make_network(replace(recipe.TINY, **sizes, level_ratio_above=1.6))
    counts = Counts(recipe.TINY.latent_channels)
    counts.edges, counts.weights = counts.edges[:, 5:6].copy(), counts.weights[:, :2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "without.safetensors")
        path.write_bytes(model_bytes(network))
        model = load_model(path)
        for quality in range(11):
            container = ContainerReader(io.BytesIO(encoded(3, 16_000, quality=quality, model=path)(1.0)))
            chunk = SymbolReader(container, model).read(0)
            residuals = latent_residuals(chunk.latent, model.tables.prediction)
            walk(counts, residuals, chunk.weights, model.tables, counts, 100 * quality)
    return model_bytes(network, frequencies=counts.frequencies())


def make_tiny_hypersound() -> bytes:
    """Return a random model of the HyperSound family with a layer of each of three modes."""
    torch.manual_seed(0)
    config = HyperSoundConfig(
        target=SMALL_SIREN,
        modes=("standard", "additive", "shared"),
        sample_rate=8000,
        segment_samples=400,
        channels=2,
        strides=(20,),
        latent_channels=2,
        dense=(8, 8),
    )
    return hypersound_bytes(HyperSound(config).eval())


def tests_conftest() -> ModuleType:
    """Return what makes random networks for tests."""
    if str(FOLDER.parent) not in sys.path:
        sys.path.append(str(FOLDER.parent))
    return import_module("conftest")


def main(names: list[str]) -> None:
    """Add the named recipes, or all that are missing."""
    entries = json.loads(MANIFEST.read_text(encoding="utf-8")) if MANIFEST.exists() else {}
    there = [name for name in RECIPES if f"{name}.hsnd" in entries or (FOLDER / f"{name}.hsnd").exists()]
    if refused := sorted(set(names) & set(there)):
        sys.exit(f"golden files are never made again: {', '.join(refused)}")
    if TINY.name not in entries:
        add(entries, TINY.name, make_tiny(), "the random model that all files but speech.hsnd name")
    if TINY_CONTEXT.name not in entries:
        add(entries, TINY_CONTEXT.name, make_tiny_context(), "a random model with frequencies, of the files context*")
    if TINY_HYPERSOUND.name not in entries:
        shows = "a random model of the HyperSound family, of the files generated*"
        add(entries, TINY_HYPERSOUND.name, make_tiny_hypersound(), shows)
    for name in names or [name for name in RECIPES if name not in there]:
        add_recipe(entries, name, RECIPES[name])
    content = json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    MANIFEST.write_text(content, encoding="utf-8")
    print("MANIFEST_SHA256 =", json.dumps(hashlib.sha256(content.encode()).hexdigest()))


if __name__ == "__main__":
    main(sys.argv[1:])
