"""The measures by name, and sounds of several channels."""

import importlib.util
import math

import numpy as np
import pytest

from hscodec.errors import AudioError, HscodecError
from hscodec.metrics.comparison import METRICS, Score, check_names, compare, default_names
from hscodec.metrics.waveform import l1, mse, psnr_db, si_sdr_db, si_snr_db, snr_db

RATE_HZ = 16_000
PLAIN = ("mse", "l1", "snr", "psnr", "si_sdr", "si_snr", "lsd")


def noise(seed, num_channels=2, level=0.1):
    return (level * np.random.default_rng(seed).normal(size=(num_channels, RATE_HZ))).astype(np.float32)


@pytest.fixture
def without(monkeypatch):
    """Hide installed packages."""
    find = importlib.util.find_spec

    def hide(*packages: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else find(name))

    return hide


def test_every_channel_is_measured_by_itself():
    original, decoded = noise(0), noise(0) + noise(1, level=0.01) * np.array([[1], [0.1]], np.float32)
    scores = compare(original, decoded, RATE_HZ, ("snr", "mse"))
    assert list(scores) == ["snr", "mse"]
    assert scores["snr"].channels == tuple(map(snr_db, original, decoded))
    assert scores["snr"].channels[1] > scores["snr"].channels[0] + 15
    assert scores["mse"].mean == pytest.approx(mse(original.ravel(), decoded.ravel()))


@pytest.mark.parametrize(
    ("name", "measure"),
    [("mse", mse), ("l1", l1), ("snr", snr_db), ("psnr", psnr_db), ("si_sdr", si_sdr_db), ("si_snr", si_snr_db)],
)
def test_names_are_those_of_the_functions(name, measure):
    original, decoded = noise(2, 1), noise(3, 1)
    assert compare(original, decoded, RATE_HZ, [name])[name].channels == (measure(original[0], decoded[0]),)


@pytest.mark.parametrize("name", PLAIN)
def test_less_noise_is_better_in_the_direction_that_is_given(name):
    original, disturbance = noise(4, 1), noise(5, 1, level=0.001)
    near, far = (compare(original, original + gain * disturbance, RATE_HZ, [name])[name].mean for gain in (1, 10))
    assert (near > far) == METRICS[name].higher_is_better


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if not metric.packages])
def test_what_needs_no_package_is_measured_by_default(name):
    assert name in PLAIN
    assert METRICS[name].is_default and METRICS[name].is_installed


def test_a_mean_has_no_value_if_a_channel_has_none():
    assert Score((1.0, 2.0)).mean == 1.5
    assert math.isnan(Score((1.0, math.nan)).mean)
    assert Score((math.inf, 3.0)).mean == math.inf


def test_the_default_leaves_out_what_is_not_installed_and_says_why(without):
    without("pesq", "pystoi")
    names, left_out = default_names(1.0)
    assert names == PLAIN
    assert left_out == dict.fromkeys(("pesq", "stoi"), "needs an optional package: pip install 'hscodec[bench]'")


def test_the_default_leaves_out_pesq_for_long_sounds():
    pytest.importorskip("pesq")
    assert "pesq" in default_names(20.0)[0]
    names, left_out = default_names(20.1)
    assert "pesq" not in names
    assert left_out["pesq"] == "takes up to 20 s of sound"


def test_what_is_asked_for_must_be_there(without):
    without("cdpam")
    with pytest.raises(HscodecError, match=r"cdpam needs an optional package: pip install 'hscodec\[bench\]'"):
        check_names(["mse", "cdpam"])
    with pytest.raises(HscodecError, match="unknown metric 'loudness'; there are mse, l1"):
        compare(noise(0), noise(0), RATE_HZ, ["loudness"])


def test_a_sound_that_is_too_long_is_refused_before_anything_is_measured():
    pytest.importorskip("pesq")
    long = np.zeros((1, 21 * 8000), np.float32)
    measured = []
    with pytest.raises(AudioError, match=r"pesq takes up to 20 s of sound, not 21.00 s"):
        compare(long, long, 8000, ["mse", "pesq"], progress=lambda *step: measured.append(step))
    assert measured == []


@pytest.mark.parametrize(
    "shapes", [((1, 9), (2, 9)), ((1, 9), (1, 8)), ((9,), (9,)), ((1, 0), (1, 0)), ((0, 9), (0, 9))]
)
def test_shapes_must_be_equal(shapes):
    with pytest.raises(AudioError, match="of one shape"):
        compare(*(np.zeros(shape, np.float32) for shape in shapes), RATE_HZ, ["mse"])


def test_progress_counts_values():
    steps = []
    compare(noise(0), noise(1), RATE_HZ, ("mse", "l1", "mse"), progress=lambda *step: steps.append(step))
    assert steps == [("mse", 0, 4), ("mse", 1, 4), ("l1", 2, 4), ("l1", 3, 4)]
