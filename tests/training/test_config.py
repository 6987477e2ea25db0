from pathlib import Path

import pytest

from hscodec.errors import ConfigError
from hscodec.hypernet.config import HypernetworkConfig
from hscodec.training.config import DataConfig, LossConfig, OptimizerConfig, TrainingConfig, load_training_config

CONFIGS = Path(__file__).parents[2] / "configs"


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_tables_and_defaults(tmp_path):
    config = load_training_config(
        write(
            tmp_path,
            'name = "a"\nseed = 3\n[hypernetwork]\nwidth = 32\n[data]\ncorpus = "x"\n'
            "[data.source_weights]\ntalk = 2\n[loss]\nrate = 1\n[optimizer]\nsteps = 5\n",
        )
    )
    assert config == TrainingConfig(
        name="a",
        seed=3,
        hypernetwork=HypernetworkConfig(width=32),
        data=DataConfig(corpus="x", source_weights={"talk": 2.0}),
        loss=LossConfig(rate=1.0),
        optimizer=OptimizerConfig(steps=5),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 'name' is missing"),
        ("name = 3", "name: expected str"),
        ('name = "a"\ncolour = 1', "unknown key 'colour'"),
        ('name = "a"\n[optimiser]\nsteps = 1', "unknown key 'optimiser'"),
        ('name = "a"\n[data]\nbatch = 8', r"\[data\].*unknown key 'batch'"),
        ('name = "a"\n[hypernetwork]\nwidth = 0', "width must be greater than 0"),
        ('name = "a"\n[data]\ncrop_segments = 97', "even number"),
        ('name = "a"\n[data]\nbatch_size = 0', "batch_size"),
        ('name = "a"\n[data]\nspeech = -1', "must not be negative"),
        ('name = "a"\n[data]\nspeech = 0\nmusic = 0\neffects = 0', "nor all zero"),
        ('name = "a"\n[data.source_weights]\ntalk = -1', "source_weights"),
        ('name = "a"\n[loss]\nresolutions_per_step = 0', "resolutions_per_step"),
        ('name = "a"\n[loss]\nlog_floor = 0', "log_floor"),
        ('name = "a"\n[optimizer]\nsteps = 3\nminutes = 3', "either steps or minutes"),
        ('name = "a"\n[optimizer]\nlearning_rate = 1e-3', "either steps or minutes"),
        ('name = "a"\n[optimizer]\nsteps = 3\nlearning_rate = 0', "learning_rate"),
        ('name = "a"\n[optimizer]\nsteps = 3\nwarmup_steps = -1', "must not be negative"),
        ('name = "a"\n[optimizer]\nsteps = 3\naverage_decay = 1', "average_decay"),
        ('name = "a"\nlog_steps = 0', "log_steps"),
    ],
)
def test_bad_configurations_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_training_config(write(tmp_path, text))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("hsc-*.toml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path):
    assert load_training_config(path).name
