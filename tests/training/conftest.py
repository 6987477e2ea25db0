"""A corpus of a few seconds, in the form that `hscodec corpus prepare` writes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hscodec.hypernet.config import HypernetworkConfig
from hscodec.hypernet.hypersound import HyperSoundConfig
from hscodec.inr.mlp import MlpConfig
from hscodec.training.config import DataConfig, OptimizerConfig, TrainingConfig
from hscodec.training.corpus_pack import pack
from hscodec.training.hypersound_config import (
    HyperSoundDataConfig,
    HyperSoundLossConfig,
    HyperSoundTrainingConfig,
    OneCycleConfig,
)

RATE = 48_000
TINY = HypernetworkConfig(
    latent_channels=4,
    width=8,
    encoder_blocks=1,
    decoder_blocks=1,
    scale_width=8,
    refine_width=8,
    refine_blocks=1,
    refine_kernel=3,
)
TINY_HYPERSOUND = HyperSoundConfig(
    target=MlpConfig(hidden_layers=2, width=12, num_frequencies=6),
    modes=("standard",),
    segment_samples=1024,
    channels=2,
    strides=(4, 4, 8),
    latent_channels=4,
    dense=(24, 24),
)


def _write_corpus(folder: Path, *shards: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for index, shard in enumerate(shards):
        values = {"role": "train", "kind": "speech", "seconds": 3.0, "bandwidth_hz": 8000, "level": 8000} | shard
        num_samples = round(values["seconds"] * RATE)
        random = np.random.default_rng(index)
        samples = (values["level"] * random.uniform(-1, 1, num_samples)).astype(np.int16)
        np.save(folder / f"{values['name']}.npy", samples)
        clips = values.get("clips", [[0, num_samples, values["bandwidth_hz"]]])
        entry = {name: values[name] for name in ("name", "role", "kind")}
        entries.append(entry | {"num_samples": num_samples, "clips": clips})
    manifest = {"version": 1, "sample_rate": RATE, "shards": entries, "eval": []}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def write_corpus():
    return _write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Return the folder of a corpus with a sound of each kind, and one that is held out."""
    return _write_corpus(
        tmp_path_factory.mktemp("corpus"),
        {"name": "talk"},
        {"name": "song", "kind": "music", "bandwidth_hz": 24_000},
        {"name": "bang", "kind": "effects", "bandwidth_hz": 22_050},
        {"name": "held", "role": "eval"},
    )


@pytest.fixture
def config(corpus):
    """Return a run of three steps of a tiny network."""
    return TrainingConfig(
        name="test",
        hypernetwork=TINY,
        data=DataConfig(corpus=str(corpus), batch_size=2, crop_segments=16),
        optimizer=OptimizerConfig(steps=3, warmup_steps=1, scale_steps=2, frequency_batches=2),
        log_steps=1,
    )


@pytest.fixture(scope="session")
def packed(corpus, tmp_path_factory) -> Path:
    """Parts of the corpus; not to be changed."""
    folder = tmp_path_factory.mktemp("packed")
    pack(corpus, folder, part_bytes=200_000)
    return folder


@pytest.fixture
def parts(packed, tmp_path) -> Path:
    """Parts of the corpus, to be damaged."""
    return shutil.copytree(packed, tmp_path / "parts")


@pytest.fixture
def hypersound_config(corpus):
    """Return a run of three steps of a tiny network of the HyperSound family."""
    return HyperSoundTrainingConfig(
        name="test",
        hypernetwork=TINY_HYPERSOUND,
        data=HyperSoundDataConfig(corpus=str(corpus), batch_size=2),
        loss=HyperSoundLossConfig(fft_samples=(256, 128), num_mels=16),
        optimizer=OneCycleConfig(steps=3),
        log_steps=1,
    )
