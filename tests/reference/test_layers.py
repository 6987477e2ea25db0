"""Files of networks with hidden layers: hscodec and the second implementation read and render the same."""

import importlib.util
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.codec import Reader
from hscodec.codec.fit import FitConfig
from hscodec.codec.fit_file import fit_file
from hscodec.codec.symbols import LayeredReader
from hscodec.container import ContainerReader
from hscodec.errors import HscodecError
from hscodec.inr.mlp import MlpConfig

HOSTILE, GOLDEN = (Path(__file__).parents[1] / folder for folder in ("hostile", "golden"))
NETWORKS = {
    "siren": MlpConfig(kind="siren", hidden_layers=2, width=6, omega_0=80.0, omega=5.0),
    "fmlp": MlpConfig(kind="fmlp", hidden_layers=1, width=9, num_frequencies=4),
}


@pytest.fixture(scope="module")
def sound():
    """Return `hsnd_sound.py`, loaded by path as `reference` is."""
    path = Path(__file__).with_name("hsnd_sound.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=[(kind, bits) for kind in NETWORKS for bits in (6, 12)], ids=str)
def fitted(request, tmp_path):
    kind, bits = request.param
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (333, 2))
    soundfile.write(tmp_path / "a.wav", noise, 8_000, subtype="FLOAT")
    config = FitConfig(NETWORKS[kind], segment_seconds=Fraction(91, 8_000), steps=3, bits=bits, learning_rate=1e-2)
    fit_file(tmp_path / "a.wav", tmp_path / "a.hsnd", config=config, device="cpu")
    return tmp_path / "a.hsnd"


def test_both_read_the_same_numbers(fitted, reference):
    data = fitted.read_bytes()
    file = reference.read_file(data, None)
    container = ContainerReader(io.BytesIO(data))
    symbols = LayeredReader(container)
    assert len(file.chunks) == len(container.chunks)
    for index, chunk in enumerate(file.chunks):
        ours = symbols.read(index)
        np.testing.assert_array_equal(chunk.symbols, ours.symbols)
        np.testing.assert_array_equal(chunk.scales, ours.scales)
        assert chunk.group_lengths == ours.group_lengths
    record = container.header.network
    assert file.header.network[:3] == (record.hidden_layers, record.num_frequencies, record.width)
    assert file.header.network[3:] == (record.omega_0, record.omega, record.storage)
    assert file.header.hop == container.header.hop_seconds == Fraction(91, 8_000)


@pytest.mark.parametrize("rate", [8_000, 11_025, 48_000])
def test_both_render_the_same_sound(fitted, reference, sound, rate):
    expected = sound.render_layers(reference.read_file(fitted.read_bytes(), None), rate)
    with Reader(fitted, rate=rate, device="cpu") as reader:
        samples = reader.read().numpy()
    assert samples.shape == expected.shape
    assert np.abs(samples - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("fitted*.hsnd")), ids=lambda path: path.stem)
def test_both_render_golden_files_alike(path, reference, sound):
    expected = sound.render_layers(reference.read_file(path.read_bytes(), None), 8_000)
    with Reader(path, rate=8_000, device="cpu") as reader:
        samples = reader.read().numpy()
    assert np.abs(samples - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("path", sorted(HOSTILE.glob("layered*.hsnd")), ids=lambda path: path.stem)
def test_both_refuse_the_same_files(path, reference):
    try:
        container = ContainerReader(io.BytesIO(path.read_bytes()))
        symbols = LayeredReader(container)
        for index in range(len(container.chunks)):
            symbols.read(index)
        is_read = True
    except HscodecError:
        is_read = False
    try:
        reference.read_file(path.read_bytes(), None)
        assert is_read
    except reference.FormatError:
        assert not is_read
