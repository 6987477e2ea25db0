import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from safetensors.numpy import save

from benchmarks import hypersound
from benchmarks.hypersound_codecs import fitted, flagship, generated
from benchmarks.hypersound_runs import ABLATED, ABLATIONS, planned_runs, training_records
from benchmarks.hypersound_tables import markdown
from hscodec.codec.fit import FitConfig
from hscodec.container.codes import Storage
from hscodec.errors import HscodecError
from hscodec.hypernet.hypersound import HyperSound, HyperSoundConfig
from hscodec.inr.mlp import MlpConfig
from hscodec.registry import HYPERSOUND_FAMILY

SHAPE = HyperSoundConfig(
    target=MlpConfig(hidden_layers=1, width=4, num_frequencies=3),
    modes=("standard",),
    segment_samples=512,
    channels=2,
    strides=(8, 8),
    latent_channels=2,
    dense=(8, 6),
)
NUM_WEIGHTS = 7 * 4 + 5


@pytest.fixture
def models(tmp_path):
    """Return the folder of a random model, called as the one that is ablated, with a record of its training."""
    torch.manual_seed(0)
    arrays = {f"network.{name}": value.numpy() for name, value in HyperSound(SHAPE).state_dict().items()}
    metadata = {
        "family": HYPERSOUND_FAMILY,
        "hypernetwork": json.dumps(SHAPE.to_mapping()),
        "training": json.dumps({"minutes": 3.0, "steps": 1200}),
    }
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / f"{ABLATED}.safetensors").write_bytes(save(arrays, metadata))
    return folder


@pytest.fixture
def clip(speech):
    return speech(hypersound.SAMPLE_RATE, 2.0)[None, : hypersound.CLIP_SAMPLES]


def test_all_runs_have_one_budget_and_one_corpus():
    runs = planned_runs(minutes=3, corpus=Path("here"))
    names = [run.name for run in runs]
    assert len(set(names)) == 8 + len(ABLATIONS)
    assert {"fmlp-standard", "siren-multiplicative", "fmlp-standard-no-stft-loss"} <= set(names)
    assert {(run.config.optimizer.minutes, run.config.optimizer.steps) for run in runs} == {(3, 0)}
    assert {run.config.data.corpus for run in runs} == {"here"}
    assert all(run.config.name == run.name for run in runs[:8])


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("no-stft-loss", "loss"),
        ("no-frequency-weighting", "loss"),
        ("no-augmentation", "augment"),
        ("hyperfan-start", "start"),
        ("plain-start", "start"),
    ],
)
def test_an_ablation_changes_one_part(name, part):
    runs = {run.name: run.config for run in planned_runs(minutes=3, corpus=Path())}
    complete, ablated = runs[ABLATED], runs[f"{ABLATED}-{name}"]
    changed = {
        field.name for field in fields(complete) if getattr(complete, field.name) != getattr(ablated, field.name)
    }
    assert changed == {part}


@pytest.mark.parametrize(("storage", "numbers"), [(Storage.WEIGHTS, NUM_WEIGHTS), (Storage.BOTTLENECK, 6)])
def test_a_row_of_a_generated_network(monkeypatch, models, clip, storage, numbers):
    monkeypatch.setattr(hypersound, "METRICS", ("mse", "si_snr"))
    codec = generated(ABLATED, models / f"{ABLATED}.safetensors", storage, 8)
    row = hypersound.measure(codec, clip, "a")
    assert row["num_stored"] == 64 * numbers
    assert row["kbps"] == pytest.approx(row["file_bytes"] * 8 * 22_050 / 32_768 / 1000, abs=1e-3)
    assert row["file_bytes"] > 64 * numbers / 4
    assert set(row["scores"]) == {"mse", "si_snr"}
    assert row["encode_seconds"] > 0 and row["decode_seconds"] > 0


def test_a_fitted_network_and_the_flagship(monkeypatch, clip, tiny_model_path):
    monkeypatch.setattr(hypersound, "METRICS", ("mse",))
    network = MlpConfig(hidden_layers=1, width=8, num_frequencies=8)
    fit = fitted("fmlp fitted", FitConfig(network=network, steps=3, bits=8, segment_seconds=None))
    row = hypersound.measure(fit, clip, "a")
    assert row["num_stored"] == 17 * 8 + 9
    assert row["version"] == "3 steps"
    row = hypersound.measure(flagship("tiny", 5.0), clip, "a")
    assert row["num_stored"] >= 32_768


def test_from_folders_to_tables(monkeypatch, tmp_path, models, speech, tiny_model_path):
    monkeypatch.setattr(hypersound, "METRICS", ("mse", "l1"))
    monkeypatch.setattr(hypersound, "DEFAULT_MODEL", "tiny")
    folder = tmp_path / "held-out"
    folder.mkdir()
    soundfile.write(folder / "one.wav", speech(22_050, 2.5), 22_050)
    out = tmp_path / "out.json"
    arguments = ["measure", str(folder), "--runs", str(models), "--fit-steps", "1", "--out", str(out)]
    done = CliRunner().invoke(hypersound.main, arguments)
    assert done.exit_code == 0, done.output
    written = out.read_text()
    content = json.loads(written)
    codecs = {(row["codec"], row["setting"]) for row in content["rows"]}
    assert {(f"{ABLATED}, latent", 8), (f"{ABLATED}, weights", 8), (f"{ABLATED}, latent", 4), ("tiny", 2.0)} <= codecs
    assert content["runs"][0]["training"] == training_records(models) == {ABLATED: {"minutes": 3.0, "steps": 1200}}
    for row in content["rows"]:
        row["scores"] |= dict.fromkeys(("lsd", "si_snr", "pesq", "stoi", "cdpam"), 1.0)
    text = markdown(content)
    latent = next(row for row in content["rows"] if (row["codec"], row["setting"]) == (f"{ABLATED}, latent", 8))
    assert f"| {ABLATED}, latent (1,200 steps) | 258 | {latent['kbps']:.1f} |" in text
    assert "3 minutes of one CPU core, 1,200 to 1,200 steps" in text
    again = CliRunner().invoke(hypersound.main, arguments)
    assert again.exit_code == 0
    assert out.read_text() == written  # nothing was measured again


def test_clips_that_are_too_short_are_named(speech):
    with pytest.raises(HscodecError, match="a is shorter than 1.99 s"):
        hypersound._cut(speech(16_000, 1.9)[None], 16_000, "a")
    assert hypersound._cut(speech(16_000, 2.1)[None], 16_000, "a").shape == (1, 32_768)


def test_representations_tell_tones_from_noise(tmp_path, models, tiny_model_path):
    pytest.importorskip("sklearn")
    from benchmarks import representation

    random, times = np.random.default_rng(0), np.arange(12_000) / 16_000
    for index in range(10):
        for name, samples in (
            ("tones", np.sin(2 * np.pi * random.uniform(200, 400) * times)),
            ("noise", random.uniform(-1, 1, times.size)),
        ):
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / f"{index}.wav", 0.5 * samples, 16_000)
    out = tmp_path / "out.json"
    arguments = [str(tmp_path / "tones"), str(tmp_path / "noise"), "--model", "tiny", "--out", str(out)]
    model = ["--hypersound", str(models / f"{ABLATED}.safetensors")]
    done = CliRunner().invoke(representation.main, [*arguments, *model])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    assert content["options"]["recordings"] == {"tones": 10, "noise": 10}
    sizes = {row["features"].split(": ")[-1]: row["size"] for row in content["rows"]}
    assert sizes["weights"] == 2 * NUM_WEIGHTS and sizes["bottleneck"] == 12 and sizes["mel spectrogram"] == 128
    for row in content["rows"]:
        assert len(row["accuracy"]) == 5
        if not row["features"].startswith("tiny: precision"):  # a random encoder's latent may be constant
            assert np.mean(row["accuracy"]) > 0.9, row


def test_a_class_needs_enough_recordings(tmp_path):
    from benchmarks.representation import excerpts

    soundfile.write(tmp_path / "a.wav", np.full(16_000, 0.1), 16_000)
    with pytest.raises(HscodecError, match="holds 1 recordings"):
        excerpts(tmp_path, seconds=0.5, limit=10)
