"""Files that were written once are read to the same symbols and the same sound for ever; see README.md."""

import hashlib
import json
import os
import shutil
import sys
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from hscodec.codec import decode_file, verify_file
from hscodec.codec.symbols import SymbolReader, open_symbols
from hscodec.container.reader import open_container
from hscodec.registry import ManifestEntry, load_model

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "manifest.json"
MANIFEST_SHA256 = "89fa87210d4bf70bb73232bc0e835a0912ba88bd8f29dc5322cd22e503df5e96"
"""Changes when files are added. Lines of the manifest never do: that would put another file in an old one's place."""

TOLERANCE = 2e-4
"""On samples whose peak is 0.7: what rounding may differ by between machines, and that of the 16 bits stored."""

MAX_BYTES = 1_170_000
FILES = json.loads(MANIFEST.read_text(encoding="utf-8"))
NAMES = sorted(Path(file).stem for file in FILES if file.endswith(".hsnd"))
BY_LAYER = [name for name in NAMES if name.startswith(("fitted", "generated"))]
LAPPED = [name for name in NAMES if name not in BY_LAYER]


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory):
    """Put the small models where models are looked for by id."""
    folder = tmp_path_factory.mktemp("golden")
    entries = []
    for name in ("tiny", "tiny-context", "tiny-hypersound"):
        file = f"{name}.safetensors"
        shutil.copy(FOLDER / file, folder)
        entries.append(asdict(ManifestEntry(name=f"golden-{name}", file=file, sha256=FILES[file]["sha256"])))
    (folder / "manifest.json").write_text(json.dumps({"models": entries}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSCODEC_MODELS", os.pathsep.join([str(folder), os.environ.get("HSCODEC_MODELS", "")]))
        yield


def model_of(name):
    if name == "speech":
        return load_model("hsc-1")
    has_frequencies = name.startswith(("context", "rotated", "pair", "narrow"))
    return load_model("golden-tiny-context" if has_frequencies else "golden-tiny")


@pytest.fixture
def read(reference):
    """Return a function that reads a golden file with the second implementation."""

    def read_file(name):
        tables = None if name in BY_LAYER else load_file(model_of(name).path)
        return reference.read_file((FOLDER / f"{name}.hsnd").read_bytes(), tables)

    return read_file


# Nothing changes


def test_the_manifest_is_the_one_that_was_agreed_on():
    assert hashlib.sha256(MANIFEST.read_bytes()).hexdigest() == MANIFEST_SHA256


@pytest.mark.parametrize("file", FILES)
def test_no_file_changes(file):
    assert hashlib.sha256((FOLDER / file).read_bytes()).hexdigest() == FILES[file]["sha256"]


def test_every_file_is_in_the_manifest():
    kinds = {".hsnd", ".npz", ".flac", ".safetensors"}
    assert {path.name for path in FOLDER.iterdir() if path.suffix in kinds} == set(FILES)


def test_the_folder_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < MAX_BYTES


@pytest.mark.parametrize("names", [["mono"], ["speech", "empty"]])
def test_files_cannot_be_made_again(monkeypatch, names):
    path = FOLDER / "make_golden.py"
    spec = spec_from_file_location(path.stem, path)
    make_golden = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, make_golden)
    spec.loader.exec_module(make_golden)
    assert set(make_golden.RECIPES) == set(NAMES)
    with pytest.raises(SystemExit, match="never made again"):
        make_golden.main(names)
    with pytest.raises(FileExistsError):
        make_golden.add({}, f"{names[0]}.hsnd", b"", "")


# What they decode to


@pytest.mark.parametrize("name", LAPPED)
def test_symbols(name, read):
    with (
        np.load(FOLDER / f"{name}.npz", allow_pickle=False) as expected,
        open_container(FOLDER / f"{name}.hsnd") as file,
    ):
        symbols = SymbolReader(file, model_of(name))
        chunks = [symbols.read(index) for index in range(len(file.chunks))]
        theirs = read(name).chunks
        assert len(chunks) == len(theirs) == len(expected.files) / 2
        for index, (chunk, their) in enumerate(zip(chunks, theirs, strict=True)):
            np.testing.assert_array_equal(chunk.latent, expected[f"latent.{index}"])
            np.testing.assert_array_equal(chunk.weights, expected[f"symbols.{index}"])
            np.testing.assert_array_equal(their.latent, expected[f"latent.{index}"])
            np.testing.assert_array_equal(their.symbols, expected[f"symbols.{index}"])


@pytest.mark.parametrize("name", BY_LAYER)
def test_symbols_by_layer(name, read):
    with (
        np.load(FOLDER / f"{name}.npz", allow_pickle=False) as expected,
        open_container(FOLDER / f"{name}.hsnd") as file,
    ):
        symbols = open_symbols(file)
        chunks = [symbols.read(index) for index in range(len(file.chunks))]
        theirs = read(name).chunks
        assert len(chunks) == len(theirs) == len(expected.files) / 2
        for index, (chunk, their) in enumerate(zip(chunks, theirs, strict=True)):
            for found in (chunk, their):
                np.testing.assert_array_equal(found.scales, expected[f"scales.{index}"])
                np.testing.assert_array_equal(found.symbols, expected[f"symbols.{index}"])


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"empty"}))
def test_audio(name, tmp_path):
    expected, rate = soundfile.read(FOLDER / f"{name}.flac", always_2d=True)
    assert np.abs(expected).max() == pytest.approx(0.7, abs=1e-3)
    decode_file(FOLDER / f"{name}.hsnd", tmp_path / "out.wav", subtype="FLOAT", device="cpu")
    decoded, decoded_rate = soundfile.read(tmp_path / "out.wav", always_2d=True)
    assert (decoded_rate, decoded.shape) == (rate, expected.shape)
    np.testing.assert_allclose(decoded, expected, rtol=0, atol=TOLERANCE)


def test_no_audio(tmp_path):
    result = decode_file(FOLDER / "empty.hsnd", tmp_path / "out.wav", device="cpu")
    assert (result.num_samples, result.sample_rate) == (0, 8000)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_whole(name):
    result = verify_file(FOLDER / f"{name}.hsnd")
    assert result.ok
    assert result.problems == ()


# They show what the manifest says


@pytest.mark.parametrize(
    ("name", "rate", "num_channels", "quality", "sizes", "orders"),
    [
        ("attacks", 16_000, 2, 500, [40], [1]),
        ("chunks", 8000, 1, 437, [2, 4, 8, 30, 2], [0, 1, 1, 0, 1]),
        ("context", 16_000, 1, 600, [102], [2]),
        ("context-large", 8000, 1, 437, [6, 10], [2, 2]),
        ("context-stereo", 16_000, 2, 337, [22], [2]),
        ("empty", 8000, 1, 437, [], []),
        ("escapes", 8000, 1, 437, [6, 10], [1, 0]),
        ("fitted-fmlp", 8000, 2, 0, [4], [3]),
        ("fitted-siren", 8000, 2, 0, [4], [3]),
        ("generated-latent", 8000, 2, 0, [4], [3]),
        ("generated-weights", 8000, 2, 0, [4], [3]),
        ("later-minor", 8000, 1, 437, [4], [1]),
        ("mono", 16_000, 1, 500, [26], [1]),
        ("odd-rate", 11_111, 3, 750, [12], [1]),
        ("pair", 16_000, 2, 500, [14], [4]),
        ("pair-six", 8000, 6, 437, [6, 4, 4], [4, 4, 4]),
        ("plain", 8000, 1, 437, [12], [0]),
        ("quality-0", 8000, 1, 0, [22], [1]),
        ("quality-10", 8000, 1, 1000, [22], [0]),
        ("rotated", 16_000, 2, 1000, [14], [0]),
        ("rotated-silent", 16_000, 2, 730, [14], [2]),
        ("rotated-three", 8000, 3, 437, [6, 2, 8, 4, 4], [2, 1, 2, 0, 1]),
        ("runs", 8000, 1, 437, [80], [1]),
        ("speech", 22_050, 1, 500, [52], [1]),
        ("stereo", 44_100, 2, 337, [14], [1]),
        ("streamed", 8000, 1, 437, [8, 6], [1, 1]),
        ("tags", 8000, 1, 437, [4], [1]),
    ],
)
def test_shapes(name, read, rate, num_channels, quality, sizes, orders):
    file = read(name)
    assert (file.header.sample_rate, file.header.num_channels, file.header.quality) == (rate, num_channels, quality)
    assert [chunk.num_segments for chunk in file.chunks] == sizes
    assert [chunk.order for chunk in file.chunks] == orders
    last = [name != "streamed"] if sizes else []
    assert [chunk.is_last for chunk in file.chunks] == [False] * (len(sizes) - 1) + last


@pytest.mark.parametrize(
    ("name", "code"), [("mono", 2), ("speech", 2), ("stereo", 5), ("plain", 0), ("later-minor", 0)]
)
def test_sample_formats(name, read, code):
    assert read(name).header.sample_format == code
    with open_container(FOLDER / f"{name}.hsnd") as container:
        assert container.header.sample_format == code


def test_the_streamed_file_leaves_its_length_open(read):
    file = read("streamed")
    assert (file.header.num_samples, file.num_samples) == (None, 2000)
    with open_container(FOLDER / "streamed.hsnd") as container:
        assert (container.header.num_samples, container.num_samples) == (None, 2000)


def test_tags(read):
    expected = [("title", "Frühling 春 🎻"), ("artist", "one"), ("artist", "two"), ("ARTIST", ""), ("note", "a\nb\0c")]
    assert read("tags").header.tags == expected
    with open_container(FOLDER / "tags.hsnd") as container:
        assert list(container.header.tags) == expected


@pytest.mark.parametrize("name", ["escapes", "context-large"])
def test_the_large_values_reach_the_ends_of_int32(name, read):
    for chunk in read(name).chunks:
        for values in (chunk.latent, chunk.symbols):
            assert (values.min(), values.max()) == (-(2**31), 2**31 - 1)


def test_every_pass_and_context_is_used(read, reference):
    """Of the two contexts of the model, the second needs neighbours, which the first pass has none of."""
    tables = load_file(model_of("context").path)
    assert tables["frequency.weights"].shape == (7, 2, 64, 61)
    seen = []

    class Rows(reference.Rows):
        def __init__(self, table):
            super().__init__(table)
            seen.append(set())

        def __getitem__(self, row):
            seen[-1].add(row // 64)
            return super().__getitem__(row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "Rows", Rows)
        read("context")
    _, *passes = seen  # the latent has no contexts
    assert passes == [{0}] + 6 * [{0, 1}]


def test_the_context_model_s_level_rises_faster_above_quality_5():
    assert model_of("context").config.level_ratio_above == 1.6
    assert model_of("mono").config.level_ratio_above == 1.0


def test_attacks_are_stored(read):
    assert [channel for _, channel, _ in read("attacks").chunks[0].attacks] == [0, 0, 1, 1]
    assert not read("stereo").chunks[0].attacks


def test_couplings_are_stored(read):
    (chunk,) = read("pair").chunks
    ((first, second, *_),) = chunk.couplings
    assert (first, second) == (0, 1)
    pairs = [[coupling[:2] for coupling in chunk.couplings] for chunk in read("pair-six").chunks]
    assert pairs == [[(0, 1)], [(0, 1), (4, 5)], [(0, 5), (1, 4)]]


def test_bandwidths_are_stored(read):
    assert [chunk.left_out for chunk in read("narrow").chunks] == [19, 5, 10, 1, 12, 0]
    assert not any(chunk.left_out for chunk in read("rotated-three").chunks)


@pytest.mark.parametrize(
    ("name", "rotations"),
    [
        ("rotated", [[(62, 31)]]),
        ("rotated-silent", [[(64, 255)]]),
        ("rotated-three", [[(37, 12)], [], [(200, 255)], [(64, 255)], [(255, 60)]]),
        ("context-stereo", [[]]),
    ],
)
def test_rotations_are_stored(name, rotations, read):
    chunks = read(name).chunks
    assert [chunk.rotations for chunk in chunks] == rotations
    for chunk in chunks:
        assert np.any(chunk.symbols[1]) != any(reduction == 255 for _, reduction in chunk.rotations)


@pytest.mark.parametrize(
    ("name", "kind", "storage", "group_lengths", "group_bits"),
    [
        ("fitted-siren", 2, 0, (8, 8, 64, 8, 8, 1), (14, 14, 10, 10, 10, 10)),
        ("fitted-fmlp", 1, 0, (100, 10, 100, 10, 10, 1), (7, 7, 7, 7, 7, 7)),
        ("generated-weights", 2, 0, (8, 8, 64, 8), (14, 14, 8, 8)),
        ("generated-latent", 2, 1, (8,), (9,)),
    ],
)
def test_groups_of_layers(name, kind, storage, group_lengths, group_bits):
    with open_container(FOLDER / f"{name}.hsnd") as container:
        header, chunk = container.header, open_symbols(container).read(0)
        assert (header.target_network, header.network.storage) == (kind, storage)
        assert (chunk.group_lengths, chunk.group_bits) == (group_lengths, group_bits)
        assert any(header.model_id) == name.startswith("generated")


def test_the_later_minor_version_uses_what_is_unused(read):
    data = (FOLDER / "later-minor.hsnd").read_bytes()
    assert (data[9], data[11]) == (1, 0xFF)
    header_bytes = int.from_bytes(data[12:14], "little")
    assert data[header_bytes - 8 : header_bytes - 4] == b"new!"
    assert data[header_bytes + 11] == 0xF1
    assert read("later-minor").header.tags == [("title", "later")]
