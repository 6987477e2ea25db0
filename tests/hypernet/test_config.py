import pytest

from hscodec.config import from_mapping
from hscodec.errors import ConfigError
from hscodec.hypernet.config import HypernetworkConfig


def test_round_trip():
    config = HypernetworkConfig(width=32, level_per_quality=0.5)
    assert from_mapping(HypernetworkConfig, config.to_mapping(), "test") == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width must be greater than 0"),
        ({"num_weights": -1}, "num_weights must be greater than 0"),
        ({"block_kernel": 4}, "block_kernel must be odd"),
        ({"refine_kernel": 6}, "refine_kernel must be odd"),
        ({"width": 10**9}, "width must be at most"),
        ({"refine_blocks": 65}, "refine_blocks must be at most 64"),
        ({"initial_step": float("nan")}, "initial_step must be greater than 0"),
        ({"step_per_level": float("inf")}, "step_per_level must be greater than 0"),
    ],
)
def test_bad_values_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        HypernetworkConfig(**changes)


def test_level_is_zero_at_the_neutral_quality():
    config = HypernetworkConfig(level_per_quality=0.3, neutral_quality=5.0)
    assert config.level(5.0) == 0
    assert config.level(10.0) == pytest.approx(1.5)
    assert config.level(0) == pytest.approx(-1.5)


def test_refine_context():
    assert HypernetworkConfig(refine_blocks=4, refine_kernel=7).refine_context == 12
