"""What a file decodes to is exact to the last symbol, whatever the threads, the kernels, the process or the device."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from hscodec.codec import Reader, encode_file
from hscodec.codec.symbols import SymbolReader
from hscodec.coding.fixedpoint import scale_classes
from hscodec.container.reader import open_container
from hscodec.registry import load_model, load_model_by_id

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

DECODE = """
import sys
import torch
sys.path.append(sys.argv[1])
from test_exactness import symbols_hash
torch.set_num_threads(int(sys.argv[2]))
with torch.backends.mkldnn.flags(enabled=sys.argv[3] == "on"):
    print(symbols_hash(sys.argv[4:]))
"""

ENCODE = """
import sys
import torch
from hscodec.codec import encode_file
from hscodec.registry import load_model
torch.set_num_threads(int(sys.argv[1]))
encode_file(sys.argv[2], sys.argv[3], model=load_model("hsc-1"), device="cpu")
"""


def child(program, *arguments, **environment):
    """Run a program in a fresh process and return what it prints."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def symbols_hash(paths):
    """Return the SHA-256 of all latents and symbols of some files."""
    state = hashlib.sha256()
    for path in paths:
        with open_container(path) as container:
            symbols = SymbolReader(container, load_model_by_id(container.header.model_id))
            for index in range(len(container.chunks)):
                chunk = symbols.read(index)
                state.update(chunk.latent.tobytes() + chunk.weights.tobytes())
    return state.hexdigest()


@pytest.fixture(scope="module")
def speech_file(tmp_path_factory, speech):
    """Return the sentence as the shipped model encodes it: its products are large enough for several threads."""
    path = tmp_path_factory.mktemp("speech") / "speech.hsnd"
    encode_file(speech, path, model=load_model("hsc-1"), device="cpu")
    return path


@pytest.fixture(scope="module")
def files(long_file, speech_file):
    return [long_file, speech_file]


@pytest.fixture(scope="module")
def expected(files, reference):
    """Return what `symbols_hash` must be, by the second implementation."""
    state = hashlib.sha256()
    for path in files:
        with open_container(path) as container:
            tables = load_file(load_model_by_id(container.header.model_id).path)
        for chunk in reference.read_file(path.read_bytes(), tables).chunks:
            state.update(chunk.latent.astype(np.int32).tobytes() + chunk.symbols.astype(np.int32).tobytes())
    return state.hexdigest()


def test_symbols_are_those_of_the_second_implementation(files, expected):
    assert symbols_hash(files) == expected


@pytest.mark.parametrize(("threads", "mkldnn"), [(1, "on"), (2, "off"), (8, "on")])
def test_threads_and_kernels_do_not_matter(files, expected, threads, mkldnn):
    environment = dict.fromkeys(THREAD_VARIABLES, str(threads))
    assert child(DECODE, Path(__file__).parent, threads, mkldnn, *files, **environment) == expected


@pytest.mark.parametrize("name", ["tiny", "hsc-1"])
@pytest.mark.parametrize("quality", [0, 337, 1000])
def test_channels_may_be_taken_together_or_one_by_one(tiny_model_path, reference, name, quality):
    model = load_model(name)
    random = np.random.default_rng(quality)
    latent = random.laplace(0, 6, (8, 25, model.config.latent_channels)).round().astype(np.int32)
    latent.flat[::331] = [-(2**31), 2**31 - 1, *random.integers(-(2**21), 2**21, latent.flat[::331].size - 2)]
    together = scale_classes(model.tables, latent, quality, 300)
    one_by_one = [scale_classes(model.tables, channel[None], quality, 300)[0] for channel in latent]
    np.testing.assert_array_equal(together, one_by_one)
    np.testing.assert_array_equal(together, reference.scale_classes(latent, load_file(model.path), quality, 300))
    assert len(np.unique(together)) >= 8


def test_encoding_again_gives_the_same_bytes(speech, speech_file, tmp_path):
    encode_file(speech, tmp_path / "again.hsnd", model=load_model("hsc-1"), device="cpu")
    child(ENCODE, torch.get_num_threads(), speech, tmp_path / "fresh.hsnd")
    assert (tmp_path / "again.hsnd").read_bytes() == speech_file.read_bytes()
    assert (tmp_path / "fresh.hsnd").read_bytes() == speech_file.read_bytes()


# CUDA


@pytest.fixture
def cuda():
    """Return the device; skip without one, unless the environment says that there must be one."""
    if not torch.cuda.is_available():
        if os.environ.get("HSCODEC_REQUIRE_CUDA"):
            pytest.fail("HSCODEC_REQUIRE_CUDA is set, and there is no CUDA")
        pytest.skip("no CUDA")
    return torch.device("cuda")


@pytest.mark.parametrize("encoder", ["cpu", "cuda"])
def test_cuda_decodes_the_same_symbols(cuda, speech, tmp_path, encoder):
    """Files may be encoded on one device and decoded on another; only the samples may be rounded differently."""
    path = tmp_path / "speech.hsnd"
    encode_file(speech, path, model=load_model("hsc-1"), device=encoder)
    with Reader(path, device=cuda) as there, Reader(path, device="cpu") as here, open_container(path) as container:
        for index in range(len(container.chunks)):
            np.testing.assert_array_equal(there.symbols(index).latent, here.symbols(index).latent)
            np.testing.assert_array_equal(there.symbols(index).weights, here.symbols(index).weights)
        samples = there.read(0, there.num_samples)
        assert samples.device.type == "cuda"
        torch.testing.assert_close(samples.cpu(), here.read(0, here.num_samples), rtol=0, atol=1e-3)
