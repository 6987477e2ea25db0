import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hscodec.coding.frequencies import TABLE_NAMES
from hscodec.errors import ModelError
from hscodec.model import Hypernetwork
from hscodec.registry import load_model
from hscodec.training.config import LossConfig
from hscodec.training.export import export_checkpoint, model_bytes
from hscodec.training.loop import load_checkpoint
from hscodec.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def trained(config, tmp_path):
    trainer = Trainer(config, tmp_path / "run", device=CPU)
    trainer.run()
    return trainer


def test_three_steps(config, tmp_path):
    trainer = Trainer(config, tmp_path / "run", device=CPU)
    before = {name: weight.clone() for name, weight in trainer.network.state_dict().items()}
    reports = []
    trainer.run(reports.append)
    assert trainer.step == 3
    assert trainer.fraction == 1
    assert [report.step for report in reports] == [1, 2, 3]
    assert [report.fraction for report in reports] == pytest.approx([1 / 3, 2 / 3, 1])
    assert trainer.seconds > 0
    assert any((weight != before[name]).any() for name, weight in trainer.network.state_dict().items())
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line.get("step") for line in lines] == [1, 2, 3, None]
    assert set(lines[-1]) == {"scale_steps", "minutes", "weight_kbps"}
    assert set(lines[0]) == {
        "step",
        "minutes",
        "loss",
        "spectral",
        "waveform",
        "weight_kbps",
        "latent_kbps",
    }
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "log.jsonl"]


def test_a_run_goes_on_where_it_stopped(config, trained):
    longer = replace(config, optimizer=replace(config.optimizer, steps=5))
    trainer = Trainer(longer, trained.folder, device=CPU)
    assert trainer.resume()
    assert (trainer.step, trainer.seconds, trainer.figures) == (3, trained.seconds, trained.figures)
    assert trainer.average.updates == 3
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, trainer.network.state_dict()[name])
    trainer.run()
    assert trainer.step == 5
    lines = (trained.folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line).get("step") for line in lines] == [1, 2, 3, None, 4, 5, None]


def test_a_finished_run_stays_as_it_is(config, trained):
    trainer = Trainer(config, trained.folder, device=CPU)
    trainer.run()
    assert trainer.step == 3


def test_nothing_to_resume(config, tmp_path):
    assert not Trainer(config, tmp_path, device=CPU).resume()


def test_same_seed_same_run(config, tmp_path, trained):
    again = Trainer(config, tmp_path / "again", device=CPU)
    again.run()
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, again.network.state_dict()[name])


def test_a_checkpoint_of_another_shape_is_refused(config, trained):
    other = replace(config, hypernetwork=replace(config.hypernetwork, width=16))
    with pytest.raises(ModelError, match="another shape"):
        Trainer(other, trained.folder, device=CPU).resume()


def test_unreadable_checkpoints(trained, tmp_path):
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "nowhere.pt", CPU)
    path = tmp_path / "a.pt"
    path.write_bytes(trained.checkpoint_path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        load_checkpoint(path, CPU)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="not a checkpoint of a training run"):
        load_checkpoint(path, CPU)


def test_a_step_without_a_finite_gradient_is_skipped(config, tmp_path, caplog):
    trainer = Trainer(config, tmp_path, device=CPU)
    with torch.no_grad():
        trainer.network.decoder.leave.bias[0] = float("nan")
    before = trainer.network.encoder.leave.weight.clone()
    batches = trainer._batches()
    trainer._train_step(next(batches))
    batches.close()
    assert trainer.step == 1
    assert trainer.average.updates == 0
    assert torch.equal(trainer.network.encoder.leave.weight, before)
    assert "not finite" in caplog.text


def test_an_exported_model_loads(config, trained, tmp_path):
    path = tmp_path / "mine.safetensors"
    entry = export_checkpoint(trained.checkpoint_path, path)
    assert entry.name == "mine"
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps({"models": [asdict(entry)]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSCODEC_MODELS", str(tmp_path))
        model = load_model("mine")
    assert model.config == config.hypernetwork
    assert str(Path(config.data.corpus).parent).encode() not in path.read_bytes()
    averaged = trained.average.weights
    for name, weight in model.network(CPU).state_dict().items():
        torch.testing.assert_close(weight, averaged[name], rtol=1e-3, atol=1e-6)
    again = tmp_path / "again.safetensors"
    assert export_checkpoint(trained.checkpoint_path, again).sha256 == entry.sha256


def test_a_checkpoint_of_another_version_cannot_be_exported(config, trained, tmp_path):
    state = load_checkpoint(trained.checkpoint_path, CPU)
    for change in ({"width": 9}, {"depth": 3}):
        torch.save(state | {"config": {"hypernetwork": asdict(config.hypernetwork) | change}}, tmp_path / "a.pt")
        with pytest.raises(ModelError, match="another version"):
            export_checkpoint(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("refinement.leave.weight", 1e6, "half precision"),
        ("refinement.leave.weight", float("nan"), "half precision"),
        ("scale.leave.weight", float("inf"), "not finite"),
        ("scale.enter.weight", 1e3, "table enter"),
        ("scale.enter.weight", 2.0**21, "table enter"),
        ("prior.log_step", 3.0, "table latent_step"),
    ],
)
def test_weights_that_a_model_file_cannot_hold(tiny_network, name, value, message):
    network = type(tiny_network)(tiny_network.config)
    network.load_state_dict(tiny_network.state_dict())
    with torch.no_grad():
        network.get_parameter(name).view(-1)[0] = value
    with pytest.raises(ModelError, match=message):
        model_bytes(network)


def test_perceptual_terms_take_part(config, tmp_path):
    trainer = Trainer(replace(config, loss=LossConfig(disturbance=0.5, neurogram=1.0)), tmp_path / "run", device=CPU)
    trainer.run()
    assert trainer.figures["disturbance"] > 0
    assert trainer.figures["neurogram"] > 0
    assert all(weight.isfinite().all() for weight in trainer.network.state_dict().values())


def test_a_run_may_start_from_another(config, trained, tmp_path):
    path = tmp_path / "other.pt"
    path.write_bytes(trained.checkpoint_path.read_bytes())
    trainer = Trainer(config, tmp_path / "next", device=CPU)
    trainer.start_from(path)
    for name, weight in trainer.network.state_dict().items():
        assert torch.equal(weight, trained.average.weights[name]), name
    trainer.run()
    assert trainer.step == 3
    for other in (replace(config.hypernetwork, width=16), replace(config.hypernetwork, refine_blocks=2, width=16)):
        with pytest.raises(ModelError, match="another shape"):
            Trainer(replace(config, hypernetwork=other), tmp_path / "third", device=CPU).start_from(path)


def test_a_run_may_start_from_the_mean_of_several(config, trained, tmp_path):
    other = Trainer(replace(config, seed=5), tmp_path / "other", device=CPU)
    other.run()
    paths = []
    for index, trainer in enumerate((trained, other)):
        paths.append(tmp_path / f"{index}.pt")
        paths[-1].write_bytes(trainer.checkpoint_path.read_bytes())
    mean = Trainer(config, tmp_path / "mean", device=CPU)
    mean.start_from(*paths)
    for name, weight in mean.network.state_dict().items():
        torch.testing.assert_close(weight, (trained.average.weights[name] + other.average.weights[name]) / 2)
    before = {name: weight.clone() for name, weight in mean.network.state_dict().items()}
    mean.run(finish=True)  # nothing but the scale network changes
    assert mean.step == 0
    assert mean.is_finished
    changed = {name for name, weight in mean.average.weights.items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith("scale.") for name in changed)


def test_refinement_grows_without_a_change_of_sound(config, trained, tmp_path):
    path = tmp_path / "other.pt"
    path.write_bytes(trained.checkpoint_path.read_bytes())
    deeper = Trainer(
        replace(config, hypernetwork=replace(config.hypernetwork, refine_blocks=3)), tmp_path / "next", device=CPU
    )
    deeper.start_from(path)
    network = type(trained.network)(config.hypernetwork)
    network.load_state_dict(trained.average.weights)
    theta = 0.01 * torch.randn(1, 8, config.hypernetwork.num_weights, generator=torch.Generator().manual_seed(0))
    quality, mask = torch.tensor([5.0]), torch.ones(1, 1, config.hypernetwork.num_weights)
    with torch.no_grad():
        torch.testing.assert_close(deeper.network(theta, quality, mask).theta, network(theta, quality, mask).theta)
    deeper.run()
    assert deeper.step == 3
    with pytest.raises(ModelError, match="another shape"):  # nothing is cut off
        Trainer(config, tmp_path / "third", device=CPU).start_from(deeper.checkpoint_path)


def assert_same_frequencies(found, expected):
    for name in TABLE_NAMES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_last_stage_counts_statistics(config, trained, tmp_path):
    assert trained.frequencies.latent_channels == config.hypernetwork.latent_channels
    assert (trained.frequencies.weights.max(-1) > 1).all()
    again = Trainer(config, trained.folder, device=CPU)
    assert again.frequencies is None
    assert again.resume()
    assert_same_frequencies(again.frequencies, trained.frequencies)
    export_checkpoint(trained.checkpoint_path, tmp_path / "mine.safetensors")
    assert_same_frequencies(load_model(tmp_path / "mine.safetensors").frequencies, trained.frequencies)


def test_without_the_last_stage_there_are_no_statistics(config, tmp_path):
    optimizer = replace(config.optimizer, steps=1, scale_steps=0)
    trainer = Trainer(replace(config, optimizer=optimizer), tmp_path / "run", device=CPU)
    trainer.run()
    assert trainer.is_finished
    assert trainer.frequencies is None
    assert load_checkpoint(trainer.checkpoint_path, CPU)["frequencies"] is None
    export_checkpoint(trainer.checkpoint_path, tmp_path / "mine.safetensors")
    assert load_model(tmp_path / "mine.safetensors").frequencies is None


def test_a_longer_run_counts_anew(config, trained):
    longer = Trainer(replace(config, optimizer=replace(config.optimizer, steps=5)), trained.folder, device=CPU)
    longer.run()
    assert (longer.frequencies.weights != trained.frequencies.weights).any()


def test_checkpoints_of_before_there_were_statistics(config, trained, tmp_path):
    state = load_checkpoint(trained.checkpoint_path, CPU)
    del state["frequencies"]
    torch.save(state, tmp_path / "checkpoint.pt")
    trainer = Trainer(config, tmp_path, device=CPU)
    assert trainer.resume()
    assert trainer.frequencies is None
    export_checkpoint(tmp_path / "checkpoint.pt", tmp_path / "mine.safetensors")
    assert load_model(tmp_path / "mine.safetensors").frequencies is None


def test_damaged_statistics_are_refused(config, trained, tmp_path):
    state = load_checkpoint(trained.checkpoint_path, CPU)
    state["frequencies"]["latent"][0, 0, 0] += 1
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match="frequency table latent"):
        Trainer(config, tmp_path, device=CPU).resume()
    with pytest.raises(ModelError, match="frequency table latent"):
        export_checkpoint(tmp_path / "checkpoint.pt", tmp_path / "mine.safetensors")


QUALITY_TABLES = ("prior.log_step", "prior.log_scale", "scale.enter_bias", "scale.leave_bias")


@pytest.fixture
def moved(config, trained, tmp_path):
    """Return a function: (older ratio, newer ratio) to (network of a checkpoint, network that starts from it)."""

    def start(older, newer):
        shapes = [replace(config.hypernetwork, level_ratio_above=ratio) for ratio in (older, newer)]
        state = load_checkpoint(trained.checkpoint_path, CPU)
        generator = torch.Generator().manual_seed(0)
        for name in QUALITY_TABLES:  # at first, and after three steps, they are nearly straight
            weights = state["average"]["weights"][name]
            weights += 0.2 * torch.randn(weights.shape, generator=generator)
        torch.nn.init.normal_(state["average"]["weights"]["scale.leave.weight"], std=0.1, generator=generator)
        state["config"]["hypernetwork"]["level_ratio_above"] = older
        torch.save(state, tmp_path / "older.pt")
        trainer = Trainer(replace(config, hypernetwork=shapes[1]), tmp_path / "newer", device=CPU)
        trainer.start_from(tmp_path / "older.pt")
        network = Hypernetwork(shapes[0])
        network.load_state_dict(state["average"]["weights"])
        return network.eval(), trainer.network.eval()

    return start


def at(table, quality):
    """Return the line through the two rows of a table that are nearest to a quality, at that quality."""
    lower = min(max(int(quality), 0), len(table) - 2)
    return table[lower] + (quality - lower) * (table[lower + 1] - table[lower])


@pytest.mark.parametrize(("older", "newer"), [(1.0, 2.0), (1.0, 1.6), (2.0, 1.0), (1.6, 2.5), (1.5, 1.5)])
def test_a_run_with_other_levels_takes_over_tables_of_the_same_level(moved, older, newer):
    known, network = moved(older, newer)
    reached = []
    for knot in range(11):
        # Above 5, so much of the older quality is one of the newer.
        quality = knot if knot <= 5 else 5 + (knot - 5) * newer / older
        reached.append(quality)
        assert known.config.level(quality) == pytest.approx(network.config.level(knot))
        for name in QUALITY_TABLES:
            expected = at(known.state_dict()[name], quality)
            torch.testing.assert_close(network.state_dict()[name][knot], expected, rtol=1e-4, atol=1e-5)
    assert (max(reached) > 10) == (newer > older)  # beyond what was known, the last line goes on
    for name, weight in network.state_dict().items():
        if name not in QUALITY_TABLES:
            assert torch.equal(weight, known.state_dict()[name]), name


def test_networks_agree_at_the_same_level(moved):
    known, network = moved(1.0, 2.0)
    theta = 0.01 * torch.randn(1, 8, known.config.num_weights, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for newer, older in ((0.0, 0.0), (2.5, 2.5), (5.0, 5.0), (6.0, 7.0), (7.0, 9.0)):
            torch.testing.assert_close(
                network.prior.step(torch.tensor([newer])), known.prior.step(torch.tensor([older]))
            )
            found, expected = network.encode_latent(theta, newer), known.encode_latent(theta, older)
            assert torch.equal(found, expected)
            found, expected = network.decode_precision(found, newer), known.decode_precision(expected, older)
            torch.testing.assert_close(found.step, expected.step)
            symbols = network.quantize(theta, found)
            found, expected = (
                net.ideal_bits(network.encode_latent(theta, newer), symbols, quality)
                for net, quality in ((network, newer), (known, older))
            )
            assert found == pytest.approx(expected, rel=1e-4)


def test_a_run_may_start_from_one_of_before_levels_could_bend(config, trained, tmp_path):
    state = load_checkpoint(trained.checkpoint_path, CPU)
    del state["config"]["hypernetwork"]["level_ratio_above"]
    torch.save(state, tmp_path / "older.pt")
    trainer = Trainer(config, tmp_path / "next", device=CPU)
    trainer.start_from(tmp_path / "older.pt")
    for name, weight in trainer.network.state_dict().items():
        torch.testing.assert_close(weight, trained.average.weights[name])
