"""A random small model that every machine can make, a sentence of speech, and the second implementation."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from hscodec.coding.frequencies import FrequencyTables
from hscodec.coding.order import NUM_FINE_CLASSES
from hscodec.coding.tokens import NUM_TOKENS, lowest_magnitudes
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.model import Hypernetwork
from hscodec.registry import ManifestEntry, Model, load_model
from hscodec.training.data import Batch
from hscodec.training.export import model_bytes
from hscodec.training.fixed_point import fixed_point_tables
from hscodec.training.frequency_fit import Counts, fit_frequencies

TINY = HypernetworkConfig(
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


def make_network(config: HypernetworkConfig = TINY, seed: int = 0) -> Hypernetwork:
    """Return a random network in which every part has a say: training starts with many layers at zero."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = Hypernetwork(config)
        for name, weight in network.named_parameters():
            if name.endswith("project.weight"):
                weight.normal_(std=0.3)
        network.encoder.leave.weight.normal_(std=0.8)
        network.decoder.leave.weight.normal_(std=0.2)
        network.scale.leave.weight.normal_(std=0.01)
        network.scale.leave_bias.normal_(std=0.4)
        network.refinement.leave.weight.normal_(std=0.1)
        network.prior.log_step.normal_(std=0.05)
        network.prior.prediction_logit.normal_()
    return network.eval()


def make_frequencies(latent_channels: int, seed: int = 0) -> FrequencyTables:
    """Return tables as of geometric distributions, louder in higher fine classes and contexts, some of them unseen."""
    random = np.random.default_rng(seed)
    counts = Counts(latent_channels)
    lowest = lowest_magnitudes(np.arange(NUM_TOKENS))
    loudness = np.linspace(0.5, 2, counts.weights.shape[1])[:, None]
    for table, means in (
        (counts.weights, np.exp(np.linspace(-6, 6, NUM_FINE_CLASSES)) * loudness),
        (counts.latent, np.linspace(0.5, 4, latent_channels)),
    ):
        at_least = (means / (means + 1))[..., None] ** lowest
        shares = at_least - np.append(at_least[..., 1:], np.zeros_like(at_least[..., :1]), -1)
        totals = random.choice([0, 20, 1000, 50_000], (*table.shape[:-1], 1))
        table[:] = random.poisson(totals * shares)
    return counts.frequencies()


@pytest.fixture(scope="session", name="make_frequencies")
def frequency_maker() -> Callable[..., FrequencyTables]:
    return make_frequencies


@pytest.fixture(scope="session")
def tiny_network() -> Hypernetwork:
    return make_network()


@pytest.fixture(scope="session")
def tiny_frequencies(tiny_network: Hypernetwork) -> FrequencyTables:
    """Return what `tiny` makes of noise that swells: order by context is then the smallest one for speech."""
    random = np.random.default_rng(0)
    swell = 0.5 * np.abs(np.sin(np.arange(33 * 960) / 9000))
    samples = [swell**power * random.uniform(-1, 1, len(swell)) for power in range(12)]
    batch = Batch(np.array(samples, np.float32), np.full(len(samples), 480), np.ones(len(samples), bool))
    tables = fixed_point_tables(tiny_network)
    return fit_frequencies(tiny_network, tables, repeat(batch), num_batches=1)


@pytest.fixture(scope="session")
def tiny_model_path(
    tmp_path_factory: pytest.TempPathFactory, tiny_network: Hypernetwork, tiny_frequencies: FrequencyTables
) -> Iterator[Path]:
    """Put the model `tiny` where models are looked for, also by subprocesses, until the session ends."""
    folder = tmp_path_factory.mktemp("models")
    path = folder / "tiny.safetensors"
    content = model_bytes(tiny_network, frequencies=tiny_frequencies)
    path.write_bytes(content)
    entry = ManifestEntry(name="tiny", file=path.name, sha256=hashlib.sha256(content).hexdigest())
    (folder / "manifest.json").write_text(json.dumps({"models": [asdict(entry)]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSCODEC_MODELS", str(folder))
        yield path


@pytest.fixture(scope="session")
def tiny_model(tiny_model_path: Path) -> Model:
    return load_model("tiny")


@pytest.fixture(scope="session")
def speech() -> Path:
    """Six seconds of LJSpeech: mono, 22,050 Hz."""
    return Path(__file__).parent / "data" / "speech.flac"


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """Return `reference/hsnd_numpy.py`; loaded by path, because tests are no package."""
    path = Path(__file__).parent / "reference" / "hsnd_numpy.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module
