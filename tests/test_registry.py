import hashlib
import json
import struct
import subprocess
import sys
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from hscodec.coding.frequencies import TABLE_NAMES
from hscodec.errors import ConfigError, ModelError
from hscodec.registry import (
    DEFAULT_MODEL,
    ManifestEntry,
    load_model,
    load_model_by_id,
    model_name_by_id,
    read_model_file,
)
from hscodec.training.export import model_bytes
from hscodec.training.fixed_point import fixed_point_tables

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_model_path):
    """Return an empty folder in which models are looked for before all others."""
    monkeypatch.setenv("HSCODEC_MODELS", str(tmp_path))
    return tmp_path


def write_manifest(folder, *entries):
    (folder / "manifest.json").write_text(json.dumps({"models": [asdict(entry) for entry in entries]}))


def install(folder, name, content, sha256=None):
    (folder / f"{name}.safetensors").write_bytes(content)
    entry = ManifestEntry(name, f"{name}.safetensors", sha256 or hashlib.sha256(content).hexdigest())
    write_manifest(folder, entry)
    return entry


def metadata_of(content):
    (header_bytes,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + header_bytes])["__metadata__"]


def test_a_model_by_name_by_id_and_by_path(tiny_model, tiny_model_path):
    for model in (load_model("tiny"), load_model_by_id(tiny_model.model_id), load_model(tiny_model_path)):
        assert model.name == "tiny"
        assert model.sha256 == hashlib.sha256(tiny_model_path.read_bytes()).hexdigest()
        assert model.model_id == bytes.fromhex(model.sha256)[:16]
        assert model.config == tiny_model.config
    assert model_name_by_id(tiny_model.model_id) == "tiny"
    assert model_name_by_id(bytes(16)) is None


def test_the_network_is_what_was_exported(tiny_model, tiny_network):
    network = tiny_model.network(CPU)
    assert network is tiny_model.network(CPU)
    assert not network.training
    for name, weight in tiny_network.state_dict().items():
        loaded = network.state_dict()[name]
        assert loaded.dtype == torch.float32
        assert not loaded.requires_grad
        torch.testing.assert_close(loaded, weight, rtol=1e-3, atol=1e-6)


def test_the_tables_are_what_was_exported(tiny_model, tiny_network):
    expected = fixed_point_tables(tiny_network)
    for field in fields(expected):
        np.testing.assert_array_equal(getattr(tiny_model.tables, field.name), getattr(expected, field.name))


def test_the_statistics_are_what_was_exported(tiny_model, tiny_frequencies):
    for name in TABLE_NAMES:
        np.testing.assert_array_equal(getattr(tiny_model.frequencies, name), getattr(tiny_frequencies, name))


def test_a_model_may_have_no_statistics(tiny_network, tmp_path):
    path = tmp_path / "older.safetensors"
    path.write_bytes(model_bytes(tiny_network))
    assert load_model(path).frequencies is None


def test_loading_leaves_the_random_state_alone(tiny_model_path):
    before = torch.get_rng_state()
    load_model(tiny_model_path).network(CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_names(tiny_model_path, tmp_path):
    with pytest.raises(ModelError, match="no model called 'nope'; known: .*tiny"):
        load_model("nope")
    with pytest.raises(ModelError, match="cannot read the model"):
        load_model(tmp_path / "nope.safetensors")
    with pytest.raises(ModelError, match="id 00000000000000000000000000000000, which is not installed"):
        load_model_by_id(bytes(16))


def test_the_first_folder_wins(folder, tiny_model_path):
    content = tiny_model_path.read_bytes()
    install(folder, DEFAULT_MODEL, content)
    assert load_model(DEFAULT_MODEL).path.parent == folder
    assert load_model().path.parent == folder


def test_a_damaged_file_is_refused(folder, tiny_model_path):
    content = bytearray(tiny_model_path.read_bytes())
    sha256 = hashlib.sha256(content).hexdigest()
    content[-1] ^= 1
    install(folder, "bad", bytes(content), sha256=sha256)
    with pytest.raises(ModelError, match="damaged"):
        load_model("bad")
    with pytest.raises(ModelError, match="damaged"):
        load_model_by_id(bytes.fromhex(sha256)[:16])


def test_a_missing_file_is_an_error(folder):
    write_manifest(folder, ManifestEntry("gone", "gone.safetensors", "0" * 64))
    with pytest.raises(ModelError, match="cannot read the model"):
        load_model("gone")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"models": 3}',
        '{"models": [3]}',
        '{"models": [{"name": "a"}]}',
        '{"models": [{"name": "a", "file": "b", "sha256": "xyz"}]}',
        '{"models": [{"name": "a", "file": "b", "sha256": "' + "0" * 64 + '", "colour": "blue"}]}',
        "[" * 100_000,
    ],
)
def test_bad_manifests_are_refused(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ModelError, match="not a usable manifest"):
        load_model("a")
    with pytest.raises(ModelError, match="not a usable manifest"):
        load_model_by_id(bytes(16))


def rewritten(content, *, arrays=None, metadata=None):
    """Return a model file with some arrays and metadata changed; None removes."""
    all_arrays = {**load(content), **(arrays or {})}
    all_metadata = {**metadata_of(content), **(metadata or {})}
    return save(
        {name: array for name, array in all_arrays.items() if array is not None},
        metadata={name: text for name, text in all_metadata.items() if text is not None},
    )


def config_with(content, **changes):
    return {"hypernetwork": json.dumps(json.loads(metadata_of(content)["hypernetwork"]) | changes)}


def hostile(content):
    """Yield (what is wrong, file)."""
    table, weight = "fixed_point.leave", "network.decoder.leave.bias"
    yield "empty", b""
    yield "short", content[:7]
    yield "header length beyond the file", struct.pack("<Q", 1 << 40) + content[8:]
    yield "no JSON", struct.pack("<Q", 8) + b"{{{{{{{{"
    yield "cut off", content[:-1]
    yield "no metadata", save(load(content))
    yield "no configuration", rewritten(content, metadata={"hypernetwork": None})
    yield "configuration is no JSON", rewritten(content, metadata={"hypernetwork": "{"})
    yield "configuration is a list", rewritten(content, metadata={"hypernetwork": "[]"})
    yield "configuration is too deep", rewritten(content, metadata={"hypernetwork": "[" * 100_000})
    yield "unknown key", rewritten(content, metadata=config_with(content, depth=3))
    whole = json.loads(metadata_of(content)["hypernetwork"])
    del whole["refine_kernel"]
    yield "missing key", rewritten(content, metadata={"hypernetwork": json.dumps(whole)})
    yield "no ratio of levels", rewritten(content, metadata=config_with(content, level_ratio_above=0.0))
    yield "wrong type", rewritten(content, metadata=config_with(content, width="16"))
    yield "zero width", rewritten(content, metadata=config_with(content, width=0))
    yield "gigantic width", rewritten(content, metadata=config_with(content, width=10**12))
    yield "gigantic depth", rewritten(content, metadata=config_with(content, encoder_blocks=10**9))
    yield "another family", rewritten(content, metadata={"family": "hypersound"})
    yield "no family", rewritten(content, metadata={"family": None})
    yield "no table", rewritten(content, arrays={table: None})
    yield "float table", rewritten(content, arrays={table: np.zeros((8, 960), np.float32)})
    yield "empty table", rewritten(content, arrays={table: np.zeros((0, 960), np.int32)})
    yield "scalar table", rewritten(content, arrays={table: np.array(3, np.int32)})
    yield "table of another shape", rewritten(content, arrays={table: np.zeros((8, 959), np.int32)})
    yield "table of huge values", rewritten(content, arrays={table: np.full((8, 960), -(2**31), np.int32)})
    for name in TABLE_NAMES:
        yield f"no {name}", rewritten(content, arrays={f"frequency.{name}": None})
        others = {f"frequency.{other}": None for other in TABLE_NAMES if other != name}
        yield f"nothing but {name}", rewritten(content, arrays=others)
    unit, latent = np.ones(64, np.int32), load(content)["frequency.latent"]
    yield "statistics in floating point", rewritten(content, arrays={"frequency.unit": unit.astype(np.float32)})
    yield "statistics of too few classes", rewritten(content, arrays={"frequency.unit": unit[:16]})
    yield "statistics of huge values", rewritten(content, arrays={"frequency.unit": unit * (2**16 + 1)})
    yield "statistics that do not add up", rewritten(content, arrays={"frequency.latent": latent + 1})
    yield "statistics of another Z", rewritten(content, arrays={"frequency.latent": latent[:, :-1].copy()})
    yield "another K", rewritten(content, metadata=config_with(content, num_weights=320))
    yield "another Z", rewritten(content, metadata=config_with(content, latent_channels=5))
    yield "no weight", rewritten(content, arrays={weight: None})
    yield "a weight too many", rewritten(content, arrays={"network.extra": np.zeros(3, np.float16)})
    yield "weight of another shape", rewritten(content, arrays={weight: np.zeros(3, np.float16)})
    yield "infinite weight", rewritten(content, arrays={weight: np.full(960, np.inf, np.float16)})
    yield "another width", rewritten(content, metadata=config_with(content, width=16_000))


def test_hostile_files_are_refused(tiny_model_path, tmp_path):
    content = tiny_model_path.read_bytes()
    (tmp_path / "same.safetensors").write_bytes(rewritten(content))
    load_model(tmp_path / "same.safetensors").network(CPU)
    for what, bad in hostile(content):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(bad)
        with pytest.raises(ModelError):
            read_model_file(path, "bad").network(CPU)
            pytest.fail(what)


def test_models_of_before_levels_could_bend(tiny_network, tiny_model_path, tmp_path):
    content = tiny_model_path.read_bytes()
    whole = json.loads(metadata_of(content)["hypernetwork"])
    assert whole.pop("level_ratio_above") == 1
    path = tmp_path / "older.safetensors"
    path.write_bytes(rewritten(content, metadata={"hypernetwork": json.dumps(whole)}))
    assert load_model(path).config == tiny_network.config
    path.write_bytes(rewritten(content, metadata=config_with(content, level_ratio_above=1.6)))
    assert load_model(path).config == replace(tiny_network.config, level_ratio_above=1.6)


def test_types_that_numpy_lacks_are_refused(tiny_model_path, tmp_path):
    for kind, size in (("BF16", 2), ("F8_E4M3", 1), ("Z99", 1)):
        header = {"a": {"dtype": kind, "shape": [1], "data_offsets": [0, size]}}
        header["__metadata__"] = metadata_of(tiny_model_path.read_bytes())
        text = json.dumps(header).encode()
        path = tmp_path / "bad.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
        with pytest.raises(ModelError):
            read_model_file(path, "bad")


def test_huge_files_are_not_read(tmp_path):
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="larger than 512 MiB"):
        load_model(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 3000), value=st.integers(0, 255))
def test_a_changed_header_byte_does_no_harm(tiny_model_path, tmp_path, place, value):
    content = bytearray(tiny_model_path.read_bytes())
    content[place] = value
    path = tmp_path / "changed.safetensors"
    path.write_bytes(content)
    try:
        read_model_file(path, "changed").network(CPU)
    except ModelError:
        pass


def test_what_a_model_is_tuned_for_must_be_known():
    with pytest.raises(ConfigError, match="tuned_for of 'a' must be one of ear, fidelity"):
        ManifestEntry(name="a", file="a.safetensors", sha256="0" * 64, tuned_for="loudness")
    assert ManifestEntry(name="a", file="a.safetensors", sha256="0" * 64).tuned_for == "ear"


def test_a_network_is_built_without_torchs_compiler(tiny_model_path):
    """It takes as long to import as torch itself, sympy half as long, and arithmetic on the meta device would do it."""
    script = (
        "import sys, torch; from hscodec.registry import load_model; load_model('tiny').network(torch.device('cpu')); "
        "sys.exit('torch._dynamo' in sys.modules or 'sympy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
