"""What training minimises is what a file costs."""

import numpy as np
import pytest
import soundfile
import torch

from hscodec.audio.resample import resample
from hscodec.codec import encode_file
from hscodec.codec.symbols import SymbolReader
from hscodec.container import ContainerReader
from hscodec.registry import load_model, model_folders

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shipped():
    """Return the model in the checkout, whatever $HSCODEC_MODELS says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HSCODEC_MODELS", raising=False)
        if not any((folder / "manifest.json").is_file() for folder in model_folders()):
            pytest.skip("no model is shipped yet")
        return load_model()


@pytest.fixture(scope="module")
def ten_seconds(speech, tmp_path_factory):
    """Return 10 s of speech: the sentence, and four seconds of it spoken lower and slower."""
    samples, rate = soundfile.read(speech, dtype="float32", always_2d=True)
    slower = resample(samples.T, 17_000, rate)[:, : 10 * rate - len(samples)]
    path = tmp_path_factory.mktemp("speech") / "ten.wav"
    soundfile.write(path, np.concatenate([samples.T, slower], 1).T, rate)
    return path


def ideal_bytes(path, model):
    network = model.network(CPU)
    total = 0.0
    with open(path, "rb") as file, torch.inference_mode():
        source = SymbolReader(ContainerReader(file), model)
        for index in range(len(source.spans)):
            symbols = source.read(index)
            latent, weights = torch.from_numpy(symbols.latent), torch.from_numpy(symbols.weights)
            total += sum(network.ideal_bits(latent, weights, source.header.quality / 100))
    return total / 8


@pytest.mark.parametrize("quality", [2, 5, 8])
def test_a_file_costs_less_than_its_ideal_code_length(shipped, ten_seconds, tmp_path, quality):
    """Neighbours tell something that the ideal code length of training does not know."""
    result = encode_file(ten_seconds, tmp_path / "a.hsnd", model=shipped, quality=quality, device="cpu")
    assert result.seconds == 10
    assert 0.8 < (result.file_bytes - 150) / ideal_bytes(tmp_path / "a.hsnd", shipped) < 0.98


@pytest.mark.parametrize(("quality", "share"), [(2, 0.15), (5, 0.09), (8, 0.11)])
def test_zstd_comes_near_to_the_ideal_code_length(shipped, ten_seconds, tmp_path, quality, share):
    result = encode_file(
        ten_seconds, tmp_path / "a.hsnd", model=shipped, quality=quality, device="cpu", zstd_only=True
    )
    ideal = ideal_bytes(tmp_path / "a.hsnd", shipped)
    assert abs(result.file_bytes - ideal) < share * ideal + 150
