import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hscodec.errors import ConfigError, ModelError
from hscodec.hypernet.hypersound import HyperSoundConfig
from hscodec.inr.mlp import MlpConfig, layer_shapes
from hscodec.training.config import TrainingConfig, load_training_config
from hscodec.training.families import make_trainer
from hscodec.training.hypersound_config import (
    HyperSoundDataConfig,
    HyperSoundLossConfig,
    HyperSoundTrainingConfig,
    OneCycleConfig,
)
from hscodec.training.hypersound_trainer import HyperSoundTrainer, segment_grid
from hscodec.training.trainer import Trainer

CPU = torch.device("cpu")
CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(CONFIGS.glob("hypersound-*.toml"))
MIXED = ("shared", "standard", "additive")


@pytest.fixture
def trained(hypersound_config, tmp_path):
    trainer = HyperSoundTrainer(hypersound_config, tmp_path / "run", device=CPU)
    trainer.run()
    return trainer


def shaped(config, **changes):
    """Return the configuration with another hypernetwork; `kind` and `learn_frequencies` are the target network's."""
    shape = config.hypernetwork
    target = {name: changes.pop(name) for name in ("kind", "learn_frequencies") if name in changes}
    if target.get("kind") == "siren":
        target["omega_0"] = 100.0
    return replace(config, hypernetwork=replace(shape, target=replace(shape.target, **target), **changes))


def test_a_configuration_chooses_its_trainer(config, hypersound_config, tmp_path):
    assert type(make_trainer(config, tmp_path, device=CPU)) is Trainer
    assert type(make_trainer(hypersound_config, tmp_path, device=CPU)) is HyperSoundTrainer


def test_three_steps(hypersound_config, tmp_path):
    trainer = HyperSoundTrainer(hypersound_config, tmp_path / "run", device=CPU)
    before = {name: weight.clone() for name, weight in trainer.network.state_dict().items()}
    reports = []
    trainer.run(reports.append)
    assert trainer.step == 3
    assert trainer.is_finished
    assert [report.step for report in reports] == [1, 2, 3]
    assert trainer.seconds > 0
    assert any((weight != before[name]).any() for name, weight in trainer.network.state_dict().items())
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert set(lines[0]) == {"step", "minutes", "loss", "waveform", "spectral", "snr_db"}
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "log.jsonl"]


def speech_like(config, generator):
    """Return two segments of a few harmonics each."""
    time = segment_grid(config.hypernetwork.segment_samples)
    pitch = 20 * torch.pi * (1 + torch.rand(2, 1, 1, generator=generator))
    amplitude = torch.rand(2, 4, 1, generator=generator) * torch.tensor([0.2, 0.1, 0.05, 0.02])[:, None]
    return (amplitude * torch.sin(pitch * torch.arange(1, 5)[:, None] * time)).sum(1).numpy()


@pytest.mark.parametrize("mode", ["standard", "additive", "multiplicative", MIXED], ids=str)
@pytest.mark.parametrize("kind", ["fmlp", "siren"])
def test_a_tiny_run_lowers_the_loss_of_a_fixed_batch(hypersound_config, tmp_path, kind, mode):
    config = shaped(hypersound_config, kind=kind, modes=mode if isinstance(mode, tuple) else (mode,))
    config = replace(config, optimizer=OneCycleConfig(steps=60, learning_rate=5e-3, initial_learning_rate=1e-3))
    trainer = HyperSoundTrainer(config, tmp_path, device=CPU)
    batch = speech_like(config, torch.Generator().manual_seed(0))
    losses = []
    for _ in range(60):
        losses.append(trainer._outcome(batch).loss.item())
        trainer._train_step(batch)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def test_learned_frequencies_learn_and_do_not_decay(hypersound_config, tmp_path):
    config = shaped(hypersound_config, learn_frequencies=True)
    config = replace(config, optimizer=replace(config.optimizer, weight_decay=0.5))
    trainer = HyperSoundTrainer(config, tmp_path, device=CPU)
    before = trainer.network.mlp.frequencies.detach().clone()
    trainer.run()
    after = trainer.network.mlp.frequencies.detach()
    assert (after != before).all()
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.5, 0.0}
    trained = [id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]]
    assert sorted(trained) == sorted(id(parameter) for parameter in trainer.network.parameters())
    assert HyperSoundTrainer(config, tmp_path, device=CPU).resume()


def test_the_learning_rate_follows_one_cycle(hypersound_config, tmp_path):
    optimizer = OneCycleConfig(steps=10, learning_rate=2e-3, initial_learning_rate=1e-4, rising_share=0.5)
    trainer = HyperSoundTrainer(replace(hypersound_config, optimizer=optimizer), tmp_path, device=CPU)
    rates = []
    batch = speech_like(hypersound_config, torch.Generator().manual_seed(0))
    for _ in range(10):
        trainer._train_step(batch)
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(1e-4)
    assert rates[5] == pytest.approx(2e-3)
    assert rates[:6] == sorted(rates[:6])
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_the_frequency_weighting_follows_the_run(hypersound_config, tmp_path):
    config = replace(hypersound_config, loss=replace(hypersound_config.loss, frequency_power=3.0))
    trainer = HyperSoundTrainer(config, tmp_path, device=CPU)
    batch = speech_like(config, torch.Generator().manual_seed(0))
    before = trainer._outcome(batch).loss.item()
    trainer.step = 3
    assert trainer._outcome(batch).loss.item() != pytest.approx(before)
    assert trainer.loss.power(trainer.fraction) == 3.0


def test_without_an_average_the_weights_themselves_are_kept(hypersound_config, tmp_path):
    config = replace(hypersound_config, optimizer=replace(hypersound_config.optimizer, average_decay=0.0))
    trainer = HyperSoundTrainer(config, tmp_path, device=CPU)
    trainer.run()
    for name, weight in trainer.network.state_dict().items():
        assert torch.equal(weight, trainer.average.weights[name])


def test_a_run_goes_on_where_it_stopped(hypersound_config, trained):
    longer = replace(hypersound_config, optimizer=replace(hypersound_config.optimizer, steps=5))
    trainer = HyperSoundTrainer(longer, trained.folder, device=CPU)
    assert trainer.resume()
    assert (trainer.step, trainer.seconds, trainer.figures) == (3, trained.seconds, trained.figures)
    assert trainer.average.updates == 3
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, trainer.network.state_dict()[name])
        assert torch.equal(trained.average.weights[name], trainer.average.weights[name])
    trainer.run()
    assert trainer.step == 5
    lines = (trained.folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5]


def test_a_stop_changes_nothing_where_batches_are_the_same(hypersound_config, tmp_path):
    config = replace(hypersound_config, optimizer=replace(hypersound_config.optimizer, steps=6))
    batch = speech_like(config, torch.Generator().manual_seed(0))
    whole = HyperSoundTrainer(config, tmp_path / "whole", device=CPU)
    first = HyperSoundTrainer(config, tmp_path / "parts", device=CPU)
    first.folder.mkdir()
    for _ in range(3):
        whole._train_step(batch)
        first._train_step(batch)
    first.save()
    second = HyperSoundTrainer(replace(config, seed=7), first.folder, device=CPU)
    assert second.resume()
    for _ in range(3):
        whole._train_step(batch)
        second._train_step(batch)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name])


def test_same_seed_same_run(hypersound_config, tmp_path, trained):
    again = HyperSoundTrainer(hypersound_config, tmp_path / "again", device=CPU)
    again.run()
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name])


def test_a_run_may_start_from_the_mean_of_several(hypersound_config, trained, tmp_path):
    other = HyperSoundTrainer(replace(hypersound_config, seed=5), tmp_path / "other", device=CPU)
    other.run()
    mean = HyperSoundTrainer(hypersound_config, tmp_path / "mean", device=CPU)
    mean.start_from(trained.checkpoint_path, other.checkpoint_path)
    for name, weight in mean.network.state_dict().items():
        expected = (trained.average.weights[name] + other.average.weights[name]) / 2
        torch.testing.assert_close(weight, expected)
    mean.run(finish=True)
    assert (mean.step, mean.is_finished) == (0, True)


def test_checkpoints_of_another_shape_are_refused(config, hypersound_config, trained, tmp_path):
    other = shaped(hypersound_config, modes=("additive",))
    with pytest.raises(ModelError, match="another shape"):
        HyperSoundTrainer(other, trained.folder, device=CPU).resume()
    with pytest.raises(ModelError, match="another shape"):
        HyperSoundTrainer(other, tmp_path / "next", device=CPU).start_from(trained.checkpoint_path)
    with pytest.raises(ModelError, match="another shape"):
        Trainer(config, trained.folder, device=CPU).resume()


def test_a_step_without_a_finite_gradient_is_skipped(hypersound_config, tmp_path, caplog):
    trainer = HyperSoundTrainer(hypersound_config, tmp_path, device=CPU)
    before = trainer.network.last.weight.detach().clone()
    trainer._train_step(np.full((2, 1024), np.nan, np.float32))
    assert (trainer.step, trainer.average.updates) == (1, 0)
    assert torch.equal(trainer.network.last.weight, before)
    assert "not finite" in caplog.text


def test_the_grid_is_centred():
    assert segment_grid(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text('name = "a"\n' + text)
    return path


def test_tables_and_defaults(tmp_path):
    text = (
        'family = "hypersound"\n[hypernetwork]\nmodes = ["shared", "additive", "additive"]\nstrides = [4, 4]\n'
        'segment_samples = 4096\n[hypernetwork.target]\nkind = "siren"\nhidden_layers = 2\n[data]\nbatch_size = 3\n'
        "[loss]\nspectral = 2\n[optimizer]\nsteps = 5\n"
    )
    assert load_training_config(write(tmp_path, text)) == HyperSoundTrainingConfig(
        name="a",
        hypernetwork=HyperSoundConfig(
            target=MlpConfig(kind="siren", hidden_layers=2),
            modes=("shared", "additive", "additive"),
            strides=(4, 4),
            segment_samples=4096,
        ),
        data=HyperSoundDataConfig(batch_size=3),
        loss=HyperSoundLossConfig(spectral=2.0),
        optimizer=OneCycleConfig(steps=5),
    )
    assert type(load_training_config(write(tmp_path, 'family = "hsc"\n'))) is TrainingConfig


def test_the_defaults_are_the_paper_s(tmp_path):
    config = load_training_config(write(tmp_path, 'family = "hypersound"\n'))
    assert config == HyperSoundTrainingConfig(name="a")
    assert config.data.kind_weights == {"speech": 1.0, "music": 0.0, "effects": 0.0}
    assert (config.hypernetwork.sample_rate, config.hypernetwork.segment_samples) == (22_050, 32_768)
    assert config.optimizer.learning_rate == 2.5e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('family = "other"', "family must be one of hsc, hypersound"),
        ("family = 3", "family must be one of"),
        ('family = ["hsc"]', "family must be one of"),
        ('family = "hypersound"\n[adversarial]\nweight = 1', "unknown key 'adversarial'"),
        ('family = "hypersound"\n[data]\ncrop_segments = 0', "crop_segments must be at least 1"),
        ('family = "hypersound"\nstart = "late"', "start"),
        ('family = "hypersound"\n[hypernetwork]\nmodes = ["standard"]\n[hypernetwork.target]\nwidht = 3', "'widht'"),
        ('family = "hypersound"\n[optimizer]\nsteps = 3\ninitial_learning_rate = 1', "initial_learning_rate"),
        ('family = "hypersound"\n[optimizer]\nsteps = 3\nrising_share = 1', "rising_share"),
        ('family = "hypersound"\n[loss]\nfft_samples = [65536]', "not be longer"),
        ('family = "hypersound"\n[augment]\nphase_high_hz = 20000', "half the sample rate"),
    ],
)
def test_bad_configurations_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_training_config(write(tmp_path, text))


def test_there_is_a_recipe_for_each_kind_and_mode():
    wanted = {
        f"hypersound-{kind}-{mode}{size}"
        for kind in ("fmlp", "siren")
        for mode in ("standard", "shared", "additive", "multiplicative")
        for size in ("", "-small")
    }
    assert {path.stem for path in SHIPPED} == wanted


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_are_what_they_are_called(path):
    config = load_training_config(path)
    assert isinstance(config, HyperSoundTrainingConfig)
    assert config.name == path.stem
    _, kind, mode, *size = path.stem.split("-")
    shape = config.hypernetwork
    assert shape.target.kind == kind
    assert len(shape.layer_modes) == len(layer_shapes(shape.target))
    assert set(shape.layer_modes) == ({"shared", "standard"} if mode == "shared" else {mode})
    if not size:
        assert shape == replace(HyperSoundConfig(MlpConfig(kind=kind), ("standard",)), modes=shape.modes)
    else:
        # Of one kind, small variants differ in their modes alone.
        standard = load_training_config(path.with_name(f"hypersound-{kind}-standard-small.toml"))
        assert isinstance(standard, HyperSoundTrainingConfig)
        other = replace(config, name=standard.name, hypernetwork=replace(shape, modes=standard.hypernetwork.modes))
        assert other == standard


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_recipes_run(path, corpus, tmp_path):
    """Two steps of each recipe as it is, but for the sizes."""
    config = load_training_config(path)
    shape = config.hypernetwork
    config = replace(
        config,
        hypernetwork=replace(
            shape,
            target=replace(shape.target, width=8),
            segment_samples=2048,
            channels=2,
            latent_channels=2,
            dense=(16, 16),
        ),
        data=replace(config.data, corpus=str(corpus), batch_size=1),
        optimizer=replace(config.optimizer, minutes=0.0, steps=2),
        log_steps=1,
    )
    trainer = HyperSoundTrainer(config, tmp_path, device=CPU)
    trainer.run()
    assert trainer.step == 2
    assert all(weight.isfinite().all() for weight in trainer.network.state_dict().values())
