from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hscodec.errors import ConfigError
from hscodec.training.adversarial import Adversary, SpectrogramDiscriminator
from hscodec.training.config import (
    AdversarialConfig,
    DataConfig,
    OptimizerConfig,
    load_training_config,
)
from hscodec.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = AdversarialConfig(weight=0.1, fft_samples=(512, 256), width=4, learning_rate=1e-2)
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def sounds():
    random = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(2, 8000, generator=random)
    return noise, torch.nn.functional.avg_pool1d(noise[:, None], 9, 1, 4)[:, 0]


def test_discriminators_learn_to_tell_sounds_apart(sounds):
    torch.manual_seed(0)
    adversary = Adversary(SMALL, CPU)
    losses = [adversary.learn(*sounds).item() for _ in range(30)]
    assert losses[0] == pytest.approx(2, abs=0.2)
    assert losses[-1] < 0.5
    _, alike = adversary.distortion(sounds[0], sounds[0])
    _, different = adversary.distortion(*sounds)
    assert alike["features"] == 0
    assert different["features"] > 0.05
    assert different["deception"] > alike["deception"] + 1


def test_the_gradient_of_the_codec_leaves_discriminators_alone(sounds):
    adversary = Adversary(SMALL, CPU)
    estimate = sounds[1].clone().requires_grad_(True)
    total, terms = adversary.distortion(sounds[0], estimate)
    expected = SMALL.weight * terms["deception"] + SMALL.feature_weight * terms["features"]
    assert total.item() == pytest.approx(expected.item())
    total.backward()
    assert estimate.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in adversary.discriminators.parameters())


def test_level_does_not_matter(sounds):
    adversary = Adversary(SMALL, CPU)
    loud, _ = adversary.distortion(*sounds)
    quiet, _ = adversary.distortion(*(0.1 * sound for sound in sounds))
    assert quiet.item() == pytest.approx(loud.item(), rel=0.02)


def test_gradients_are_finite_in_silence():
    discriminator = SpectrogramDiscriminator(256, 4)
    silence = torch.zeros(1, 2000, requires_grad=True)
    verdict, _ = discriminator(silence)
    verdict.sum().backward()
    assert silence.grad.isfinite().all()


def test_an_adversary_takes_part_and_survives_a_stop(config, tmp_path):
    config = replace(config, adversarial=replace(SMALL, start_step=1))
    trainer = Trainer(config, tmp_path, device=CPU)
    trainer.run()
    assert {"deception", "features", "hinge"} <= set(trainer.figures)
    again = Trainer(config, tmp_path, device=CPU)
    assert again.resume()
    for name, weight in trainer.adversary.discriminators.state_dict().items():
        assert torch.equal(weight, again.adversary.discriminators.state_dict()[name]), name
    alone = Trainer(replace(config, adversarial=AdversarialConfig()), tmp_path, device=CPU)
    assert alone.resume()  # and a run may go on without it
    assert alone.adversary is None


@pytest.mark.parametrize(
    "change", [{"weight": -1.0}, {"fft_samples": ()}, {"fft_samples": (32,)}, {"width": 0}, {"learning_rate": 0.0}]
)
def test_what_makes_no_sense_is_refused(change):
    with pytest.raises(ConfigError, match="adversarial"):
        AdversarialConfig(**change)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("hsc-*.toml")), ids=lambda path: path.stem)
def test_the_recipes_run(path, corpus, tmp_path):
    """Two steps of each recipe as it is, but for the length of a batch."""
    config = load_training_config(path)
    config = replace(
        config,
        data=DataConfig(corpus=str(corpus), batch_size=1, crop_segments=16),
        adversarial=replace(config.adversarial, start_step=1),
        optimizer=OptimizerConfig(steps=2, scale_steps=1, frequency_batches=1),
        log_steps=1,
    )
    trainer = Trainer(config, tmp_path, device=CPU)
    trainer.run()
    assert trainer.step == 2
    assert all(weight.isfinite().all() for weight in trainer.network.state_dict().values())
