import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
        ({"level_ratio_above": 0.0}, "level_ratio_above must be greater than 0"),
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


RATIOS = st.floats(0.25, 4)


@given(ratio=RATIOS, quality=st.floats(0, 10))
def test_quality_undoes_level(ratio, quality):
    config = HypernetworkConfig(level_ratio_above=ratio)
    assert config.quality(config.level(quality)) == pytest.approx(quality, abs=1e-9)


@given(ratio=RATIOS, level=st.floats(-10, 10))
def test_level_undoes_quality(ratio, level):
    config = HypernetworkConfig(level_ratio_above=ratio)
    assert config.level(config.quality(level)) == pytest.approx(level, abs=1e-9)


@given(ratio=RATIOS, qualities=st.lists(st.floats(0, 10, width=32), min_size=1, max_size=8))
def test_levels_of_a_tensor_are_those_of_its_elements(ratio, qualities):
    config = HypernetworkConfig(level_ratio_above=ratio)
    levels = config.level(torch.tensor(qualities, dtype=torch.float64))
    assert isinstance(levels, torch.Tensor)
    assert levels.tolist() == pytest.approx([config.level(quality) for quality in qualities], abs=1e-12)


def test_levels_rise_faster_above_5():
    config = HypernetworkConfig(level_per_quality=0.25, level_ratio_above=1.6, neutral_quality=7.0)
    assert config.level(5.0) == pytest.approx(-0.5)
    assert config.level(6.0) - config.level(5.0) == pytest.approx(0.4)
    assert config.level(10.0) - config.level(5.0) == pytest.approx(2.0)
    assert config.level(5.0) - config.level(4.0) == pytest.approx(0.25)


@given(ratio=RATIOS)
def test_levels_are_continuous_at_5(ratio):
    config, same = HypernetworkConfig(level_ratio_above=ratio), HypernetworkConfig()
    assert config.level(5.0) == same.level(5.0)
    assert config.level(5 + 1e-9) == pytest.approx(config.level(5 - 1e-9), abs=1e-8)


@given(quality=st.floats(0, 10))
def test_a_ratio_of_1_is_a_line(quality):
    config = HypernetworkConfig(level_ratio_above=1.0)
    assert config.level(quality) == pytest.approx(config.level_per_quality * (quality - config.neutral_quality))


@given(ratio=RATIOS)
def test_the_ratio_does_not_matter_below_5(ratio):
    for quality in (0, 2.5, 4.99):
        assert HypernetworkConfig(level_ratio_above=ratio).level(quality) == HypernetworkConfig().level(quality)
