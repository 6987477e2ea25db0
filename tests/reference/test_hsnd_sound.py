"""hscodec and the second implementation turn the same symbols into the same sound, up to rounding."""

import ast
import dataclasses
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from hscodec.codec import Reader, encode_file
from hscodec.container import ChunkOrder, ContainerWriter, FileHeader
from hscodec.registry import load_model

TESTS = Path(__file__).parents[1]
GOLDEN = TESTS / "golden"
SECTION = (TESTS.parent / "docs" / "format.md").read_text(encoding="utf-8").partition("## From symbols to samples")[2]
NEEDED = re.compile(r"network\.(decoder|refinement)\.|network\.prior\.log_step$")

TOLERANCE = 1e-5
"""Of the peak: hscodec computes in single precision."""


@pytest.fixture(scope="module")
def sound(reference):
    """Return `hsnd_sound.py`, loaded by path as `reference` is."""
    path = Path(__file__).with_name("hsnd_sound.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def assert_same_sound(reference, sound):
    """Return a function that decodes a file twice and compares."""

    def check(path, model, rate=None):
        tensors = load_file(model.path)
        file = reference.read_file(path.read_bytes(), tensors)
        with Reader(path, model=model, rate=rate, device="cpu") as reader:
            expected = reader.read().numpy()
            rate = reader.rate
        samples = sound.render(file, tensors, sound.read_config(model.path.read_bytes()), rate)
        assert samples.dtype == np.float64
        assert samples.shape == expected.shape
        peak = np.abs(samples).max()
        assert peak > 0
        np.testing.assert_allclose(expected, samples, rtol=0, atol=TOLERANCE * peak)

    return check


@pytest.fixture(scope="module")
def two_chunks(tmp_path_factory, tiny_model):
    """Return 11 s of noise at 8 kHz in two channels: chunks of 250 and 302 segments, the second decoded in slices."""
    folder = tmp_path_factory.mktemp("two")
    swell = 0.1 + 0.4 * np.sin(np.arange(87_901) / 9000)[:, None] ** 2
    soundfile.write(folder / "in.wav", np.random.default_rng(3).uniform(-1, 1, (87_901, 2)) * swell, 8000)
    encode_file(folder / "in.wav", folder / "out.hsnd", model=tiny_model, quality=3.37, device="cpu")
    return folder / "out.hsnd"


@pytest.fixture
def drawn(tmp_path, reference):
    """Return a function that writes chunks of random symbols, 7987 Hz: (path, number of samples).

    It takes the angle and reduction of each pair of channels for each chunk, nothing for one that has none.
    """

    def write(model, sizes, num_channels=1, rotations=None):
        header = FileHeader(
            sample_rate=7987, num_channels=num_channels, num_samples=None, num_weights=159, quality=690,
            model_id=model.model_id,
        )  # fmt: skip
        random, tensors = np.random.default_rng(0), load_file(model.path)
        num_samples = header.max_num_samples(sum(sizes))
        with open(tmp_path / "drawn.hsnd", "wb") as sink, ContainerWriter(sink, header) as writer:
            for size, pairs in zip(sizes, rotations or [[]] * len(sizes), strict=True):
                latent = random.laplace(0, 2, (num_channels, size // 2, 4)).round().astype(np.int32)
                symbols = random.laplace(0, 1, (num_channels, size, 159)).round().astype(np.int32)
                stored = reference.stored_channels(pairs, num_channels)
                for values in (latent, symbols):
                    values[[channel for channel in range(num_channels) if channel not in stored]] = 0
                writer.write_chunk(
                    first_segment=writer.num_segments,
                    num_segments=size,
                    order=ChunkOrder.PLAIN,
                    symbol_digest=reference.symbol_digest(latent, symbols),
                    payload=reference.write_rotated(latent, symbols, pairs, reference.PLAIN, tensors, header.quality),
                    has_rotations=bool(pairs),
                )
            writer.close(num_samples=num_samples)
        return tmp_path / "drawn.hsnd", num_samples

    return write


def test_only_numpy_is_imported(sound):
    tree = ast.parse(Path(sound.__file__).read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= {"numpy", "hsnd_numpy"} | sys.stdlib_module_names


# At 4000 Hz the length is rounded up from a half. At 7987 Hz feature 159 lies below half the rate and is left out.
@pytest.mark.parametrize("rate", [1000, 4000, 7987, 8000, 11_025, 22_222, 48_000])
def test_chunks_and_slices_at_any_rate(two_chunks, reference, tiny_model, assert_same_sound, rate):
    file = reference.read_file(two_chunks.read_bytes(), load_file(tiny_model.path))
    assert [chunk.num_segments for chunk in file.chunks] == [250, 302]
    assert_same_sound(two_chunks, tiny_model, rate)


@pytest.mark.parametrize("rate", [7987, 8000, 48_000])
def test_attacks_at_any_rate(tmp_path, reference, tiny_model, assert_same_sound, rate):
    sound = np.random.default_rng(3).uniform(-1, 1, (60_000, 2)) * 1e-3
    for channel, onset in ((0, 3001), (0, 9000), (1, 9100), (1, 41_000)):
        sound[onset : onset + 400, channel] *= 800
    soundfile.write(tmp_path / "in.wav", sound, 8000, subtype="FLOAT")
    encode_file(tmp_path / "in.wav", tmp_path / "out.hsnd", model=tiny_model, quality=5, device="cpu")
    file = reference.read_file((tmp_path / "out.hsnd").read_bytes(), load_file(tiny_model.path))
    assert [channel for chunk in file.chunks for _, channel, _ in chunk.attacks] == [0, 0, 1, 1]
    assert_same_sound(tmp_path / "out.hsnd", tiny_model, rate)


LAPPED = [path.stem for path in GOLDEN.glob("*.hsnd") if not path.stem.startswith(("empty", "fitted", "generated"))]


@pytest.mark.parametrize("name", sorted(LAPPED))  # those with hidden layers are rendered in test_layers.py
def test_golden_files(assert_same_sound, name):
    has_context = name.startswith(("context", "rotated", "pair", "narrow"))
    tiny = GOLDEN / ("tiny-context.safetensors" if has_context else "tiny.safetensors")
    assert_same_sound(GOLDEN / f"{name}.hsnd", load_model("hsc-1" if name == "speech" else tiny))


@pytest.mark.parametrize("rate", [7987, 8000, 11_111, 48_000])
def test_chunks_shorter_than_the_context_of_refinement(drawn, tiny_model, assert_same_sound, rate):
    path, num_samples = drawn(tiny_model, (2, 2, 4, 2, 8, 2, 2))
    assert num_samples / 7987 > 21 / 50  # the last hop is begun, if only by the rounding of a length
    assert_same_sound(path, tiny_model, rate)


ROTATIONS = {
    1: [[]] * 8,
    2: [[(37, 12)], [], [(64, 255)], [(200, 254)], [(128, 0)], [], [(0, 255)], [(255, 30)]],
    3: [[], [(1, 1)], [], [(64, 255)], [(64, 255)], [(100, 69)], [(90, 70)], []],
    5: [[(37, 12), (0, 0)], [(0, 0), (64, 255)], [], [(9, 255), (9, 255)], [], [], [(50, 3), (250, 40)], []],
}
"""Of chunks that are shorter than the context of refinement, have its length, and are decoded in slices."""


@pytest.mark.parametrize("rate", [7987, 8000])
@pytest.mark.parametrize("num_channels", ROTATIONS)
def test_rotations_differ_from_chunk_to_chunk(drawn, tiny_model, assert_same_sound, num_channels, rate):
    path, _ = drawn(tiny_model, (6, 2, 4, 2, 30, 260, 8, 2), num_channels, ROTATIONS[num_channels])
    assert_same_sound(path, tiny_model, rate)


@pytest.mark.parametrize("width", [0.0, 0.02])
def test_rotations_that_the_encoder_chose(tmp_path, reference, tiny_model, assert_same_sound, width):
    """The first five seconds are noise of three sources, the others are nearly one sound, or wholly."""
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, (120_000, 3))
    noise[40_000:] = noise[40_000:, :1] * [1, 0.6, 0] + width * noise[40_000:]
    soundfile.write(tmp_path / "in.wav", noise, 8000, subtype="FLOAT")
    encode_file(tmp_path / "in.wav", tmp_path / "out.hsnd", model=tiny_model, quality=5, device="cpu")
    chunks = reference.read_file((tmp_path / "out.hsnd").read_bytes(), load_file(tiny_model.path)).chunks
    assert [len(chunk.rotations) for chunk in chunks] == [0, 1, 1]
    ((angle, reduction),) = chunks[2].rotations
    assert angle in (43, 44)  # arctan(0.6)
    assert reduction == 255 if width == 0 else 1 <= reduction <= 50
    assert_same_sound(tmp_path / "out.hsnd", tiny_model)


def test_small_amplitudes(tmp_path, drawn, assert_same_sound):
    """Step sizes about their lower limit, and a refinement that looks closely."""
    tensors = load_file(GOLDEN / "tiny.safetensors")
    tensors["network.decoder.leave.bias"] = tensors["network.decoder.leave.bias"] - np.float16(8)
    tensors["network.refinement.enter.weight"][:, 640 : 2 * 640] *= 50
    config = json.dumps(load_model(GOLDEN / "tiny.safetensors").config.to_mapping())
    save_file(tensors, tmp_path / "fine.safetensors", metadata={"family": "hsc", "hypernetwork": config})
    model = load_model(tmp_path / "fine.safetensors")
    assert_same_sound(drawn(model, (30,))[0], model)


@pytest.mark.parametrize("quality", [5, 5.01, 10])
def test_the_level_rises_faster_above_quality_5(sound, quality):
    tensors, config = load_file(GOLDEN / "tiny.safetensors"), load_model(GOLDEN / "tiny-context.safetensors").config
    assert config.level_ratio_above == 1.6
    for ratio in ({}, {"level_ratio_above": 1.6}):
        above = {key: value for key, value in config.to_mapping().items() if key != "level_ratio_above"} | ratio
        (level,) = sound.Networks(tensors, above).level(round(100 * quality))
        assert level == pytest.approx(dataclasses.replace(config, **{"level_ratio_above": 1.0} | ratio).level(quality))


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_speech_with_the_shipped_model(assert_same_sound, rate):
    assert_same_sound(GOLDEN / "speech.hsnd", load_model("hsc-1"), rate)


def test_a_sound_of_no_samples(reference, sound):
    model = load_model(GOLDEN / "tiny.safetensors")
    tensors = load_file(model.path)
    file = reference.read_file((GOLDEN / "empty.hsnd").read_bytes(), tensors)
    assert sound.render(file, tensors, sound.read_config(model.path.read_bytes()), 8000).shape == (1, 0)


# What the page says about model files


def page_rows():
    """Return the cells of the section's tables, without their quotes."""
    lines = [line for line in SECTION.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def shapes(name, rows, sizes):
    """Return the tensors of one kind as the page describes them: {name: shape}."""
    weight, bias = next((row[1], row[2]) for row in rows if row[0] == name)
    cells = {f"{name}.weight": weight, f"{name}.bias": bias}
    return {key: eval(re.sub(r"2 (?=\w)", "2 * ", cell.replace("K'", "K")), sizes) for key, cell in cells.items()}


@pytest.mark.parametrize("name", ["tiny", "tiny-context", "hsc-1"])
def test_the_page_describes_the_tensors_that_decoding_uses(sound, name):
    path = load_model(GOLDEN / f"{name}.safetensors" if name.startswith("tiny") else name).path
    config, rows = sound.read_config(path.read_bytes()), page_rows()
    sizes = {row[1].rstrip("'"): config[row[0]] for row in rows if row[0] in config and row[1]}
    assert sorted(sizes) == ["K", "V", "W", "Z"]
    expected = {"prior.log_step": [11, sizes["Z"]]}
    for tensor, cell, _ in (row for row in rows if row[0].startswith(("decoder.", "refinement."))):
        if not cell.startswith("block"):
            expected |= shapes(tensor, rows, sizes)
            continue
        blocks, taps = ("decoder_blocks", "block_kernel") if cell[-1] == "W" else ("refine_blocks", "refine_kernel")
        for i in range(config[blocks]):
            for part in ("mix", "norm", "expand", "project"):
                inner = shapes(part, rows, {"N": sizes[cell[-1]], "n": config[taps]})
                expected |= {f"{tensor[:-1]}{i}.{key}": shape for key, shape in inner.items()}
    there = {key: list(tensor.shape) for key, tensor in load_file(path).items() if NEEDED.match(key)}
    assert {f"network.{key}": shape for key, shape in expected.items()} == there
