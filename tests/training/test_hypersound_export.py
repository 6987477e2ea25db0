import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load, load_file, save

from hscodec.errors import ModelError
from hscodec.hypernet.hypersound import HyperSound, HyperSoundConfig
from hscodec.inr.mlp import MlpConfig
from hscodec.registry import HyperSoundModel, load_model
from hscodec.training.export import export_checkpoint
from hscodec.training.hypersound_export import hypersound_bytes
from hscodec.training.hypersound_trainer import HyperSoundTrainer, segment_grid
from hscodec.training.loop import load_checkpoint

CPU = torch.device("cpu")
SHAPE = HyperSoundConfig(
    target=MlpConfig(kind="siren", hidden_layers=2, width=6, omega_0=200.0, learn_frequencies=True),
    modes=("additive", "shared", "multiplicative"),
    segment_samples=512,
    channels=2,
    strides=(4, 8),
    latent_channels=3,
    dense=(12,),
)


@pytest.fixture
def trained(hypersound_config, tmp_path):
    trainer = HyperSoundTrainer(hypersound_config, tmp_path / "run", device=CPU)
    trainer.run()
    return trainer


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return HyperSound(SHAPE).eval()


def load_hypersound(path: Path) -> HyperSound:
    model = load_model(path)
    assert isinstance(model, HyperSoundModel)
    return model.network(CPU)


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, "numpy") as file:
        return file.metadata()


def test_an_exported_checkpoint_loads(hypersound_config, trained, tmp_path):
    path = tmp_path / "mine.safetensors"
    entry = export_checkpoint(trained.checkpoint_path, path)
    assert (entry.name, entry.file, entry.family) == ("mine", "mine.safetensors", "hypersound")
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    found = load_hypersound(path)
    assert found.config == hypersound_config.hypernetwork
    assert not found.training
    for name, weight in found.state_dict().items():
        torch.testing.assert_close(weight, trained.average.weights[name], rtol=1e-3, atol=1e-6)
    metadata = metadata_of(path)
    assert metadata["family"] == "hypersound"
    assert json.loads(metadata["hypernetwork"]) == json.loads(json.dumps(asdict(hypersound_config.hypernetwork)))
    record = json.loads(metadata["training"])
    assert record["steps"] == 3
    assert record["config"]["name"] == "test"
    assert str(Path(hypersound_config.data.corpus).parent).encode() not in path.read_bytes()
    again = tmp_path / "again.safetensors"
    assert export_checkpoint(trained.checkpoint_path, again).sha256 == entry.sha256


def test_what_belongs_to_the_target_networks_is_exact(network, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(hypersound_bytes(network))
    dtypes = {name: array.dtype for name, array in load_file(path).items()}
    assert dtypes["network.last.weight"] == np.float16
    assert dtypes["network.mlp.log2_frequencies"] == np.float32
    found = load_hypersound(path)
    for name, weight in network.state_dict().items():
        if name.startswith(("mlp.", "weights.")):
            assert torch.equal(found.state_dict()[name], weight)
    samples = 0.1 * torch.randn(2, 512, generator=torch.Generator().manual_seed(0))
    grid = segment_grid(512)
    with torch.no_grad():
        expected, estimate = network(samples, grid), found(samples, grid)
    assert (estimate - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("value", [1e6, float("nan"), float("inf")])
def test_weights_that_a_model_file_cannot_hold(network, value):
    broken = HyperSound(SHAPE)
    broken.load_state_dict(network.state_dict())
    with torch.no_grad():
        broken.last.weight[0, 0] = value
    with pytest.raises(ModelError, match="last.weight holds weights that half precision"):
        hypersound_bytes(broken)


def test_a_model_file_without_a_weight_is_refused(network, tmp_path):
    content = hypersound_bytes(network)
    header_bytes = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + header_bytes])["__metadata__"]
    for name in ("network.last.bias", "network.mlp.log2_frequencies"):
        arrays = load(content)
        del arrays[name]
        (tmp_path / "a.safetensors").write_bytes(save(arrays, metadata=metadata))
        with pytest.raises(ModelError, match="does not fit"):
            load_hypersound(tmp_path / "a.safetensors")


def test_checkpoints_that_cannot_be_exported(trained, tmp_path):
    state = load_checkpoint(trained.checkpoint_path, CPU)
    for change, message in (({"family": "other"}, "family 'other'"), ({"hypernetwork": {}}, "another version")):
        torch.save(state | {"config": state["config"] | change}, tmp_path / "a.pt")
        with pytest.raises(ModelError, match=message):
            export_checkpoint(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()
