import importlib
import importlib.util
import math
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import soxr

from hscodec.errors import AudioError, HscodecError
from hscodec.metrics import perceptual
from hscodec.metrics.perceptual import cdpam, pesq_wb, stoi, visqol

BOTH = pytest.mark.parametrize(("metric", "package"), [(pesq_wb, "pesq"), (stoi, "pystoi")])


def with_noise(signal, level):
    return signal + np.random.default_rng(1).normal(size=signal.size) * level


@BOTH
def test_the_best_score_is_for_identical_signals(metric, package, speechlike):
    pytest.importorskip(package)
    signal, rate = speechlike
    assert metric(signal, signal, rate) == pytest.approx({"pesq": 4.644, "pystoi": 1.0}[package], abs=1e-3)


@BOTH
def test_scores_fall_with_the_noise(metric, package, speechlike):
    pytest.importorskip(package)
    signal, rate = speechlike
    scores = [metric(signal, with_noise(signal, level), rate) for level in (0.0003, 0.003, 0.03, 0.3)]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4


@BOTH
def test_scores_do_not_depend_on_the_rate_at_which_a_signal_is_held(metric, package, speechlike):
    pytest.importorskip(package)
    signal, rate = speechlike
    degraded = with_noise(signal, 0.01)
    held = [soxr.resample(each, rate, 44_100, quality="VHQ") for each in (signal, degraded)]
    assert metric(held[0], held[1], 44_100) == pytest.approx(metric(signal, degraded, rate), rel=0.02)


@BOTH
def test_scores_do_not_depend_on_the_level_of_the_decoded_signal(metric, package, speechlike):
    pytest.importorskip(package)
    signal, rate = speechlike
    degraded = with_noise(signal, 0.01)
    assert metric(signal, 0.5 * degraded, rate) == pytest.approx(metric(signal, degraded, rate), rel=0.01)


@BOTH
def test_silence_and_very_short_signals_have_no_score(metric, package, speechlike):
    pytest.importorskip(package)
    signal, rate = speechlike
    silence = np.zeros_like(signal)
    assert math.isnan(metric(silence, silence, rate))
    assert math.isnan(metric(silence, signal, rate))
    for num_samples in (1, 100, 3000):
        assert math.isnan(metric(signal[-num_samples:], signal[-num_samples:], rate))


def test_stoi_of_mostly_silent_speech_has_no_score(speechlike):
    pytest.importorskip("pystoi")
    signal, rate = speechlike
    signal = np.concatenate([np.zeros(rate), signal[: rate // 8]])
    assert math.isnan(stoi(signal, with_noise(signal, 0.001), rate))


@BOTH
def test_signals_of_different_length_are_refused(metric, package):
    pytest.importorskip(package)
    with pytest.raises(AudioError):
        metric(np.zeros(16_000), np.zeros(16_001), 16_000)


def test_pesq_refuses_what_may_hold_more_utterances_than_it_has_room_for():
    pytest.importorskip("pesq")
    with pytest.raises(AudioError, match="20 s of sound, not 20.50 s"):
        pesq_wb(np.zeros(164_000), np.zeros(164_000), 8000)


def test_visqol_prefers_less_noise_and_has_no_score_for_nothing(speechlike):
    pytest.importorskip("visqol")
    pytest.importorskip("ai_edge_litert")
    signal, rate = speechlike
    clean, noisy = (visqol(signal, with_noise(signal, level), rate) for level in (0.0001, 0.03))
    assert 1 <= noisy < clean - 0.5 <= 5
    assert math.isnan(visqol(np.zeros(16_000), np.zeros(16_000), rate))
    assert math.isnan(visqol(signal[:4000], signal[:4000], rate))


def test_visqol_refuses_an_unknown_mode():
    with pytest.raises(ValueError, match="'speech' or 'audio'"):
        visqol(np.zeros(9), np.zeros(9), 16_000, mode="loud")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("metric", "package"), [(pesq_wb, "pesq"), (stoi, "pystoi"), (visqol, "visqol")])
def test_a_missing_package_names_the_extra(metric, package, monkeypatch):
    def without_package(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", without_package)
    perceptual._visqol_api.cache_clear()
    with pytest.raises(HscodecError, match=r"hscodec\[bench\]"):
        metric(np.ones(16_000), np.ones(16_000), 16_000)


@pytest.fixture
def clip(speechlike):
    """A fifth of a second: the network of CDPAM takes its time."""
    if importlib.util.find_spec("cdpam") is None:
        pytest.skip("could not import 'cdpam'")
    signal, rate = speechlike
    return signal[4000 : 4000 + rate // 5], rate


def test_cdpam_is_a_distance_that_grows_with_the_noise(clip):
    signal, rate = clip
    assert cdpam(signal, signal, rate, device="cpu") == 0
    distances = [cdpam(signal, with_noise(signal, level), rate, device="cpu") for level in (0.0001, 0.0003, 0.001)]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert distances[2] > 5 * distances[0]
    assert cdpam(with_noise(signal, 0.0003), signal, rate, device="cpu") == distances[1]


def test_cdpam_has_no_value_where_nothing_is_left(clip):
    assert math.isnan(cdpam(np.ones(1), np.ones(1), 96_000, device="cpu"))


def test_cdpam_is_what_the_package_itself_computes(clip, monkeypatch):
    import torch

    signal, rate = clip
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: load(*args, **(options | {"weights_only": False})))
    for unused in ("librosa", "resampy"):  # its modules import them, the network does without
        monkeypatch.setitem(sys.modules, unused, types.ModuleType(unused))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("cdpam")
        network = package.CDPAM(dev="cpu")
    pair = soxr.resample(np.stack([signal, with_noise(signal, 0.003)], axis=1), rate, 22_050, quality="VHQ")
    ours = cdpam(*pair.T, 22_050, device="cpu")
    theirs = network.forward(*(np.round(each.astype(np.float32) * 32_768)[None] for each in pair.T)).item()
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_other_weights_of_cdpam_are_not_loaded(tmp_path, monkeypatch):
    path = tmp_path / "CDPAM_trained" / "scratchJNDdefault_best_model.pth"
    path.parent.mkdir()
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    perceptual._cdpam_networks.cache_clear()
    with pytest.raises(HscodecError, match="not the weights of cdpam 0.0.6"):
        cdpam(np.ones(16_000), np.ones(16_000), 16_000)
    path.unlink()
    with pytest.raises(HscodecError, match="No such file"):
        cdpam(np.ones(16_000), np.ones(16_000), 16_000)


def test_a_missing_cdpam_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    perceptual._cdpam_networks.cache_clear()
    with pytest.raises(HscodecError, match=r"CDPAM needs an optional package: pip install 'hscodec\[bench\]'"):
        cdpam(np.ones(16_000), np.ones(16_000), 16_000)


def test_importing_the_metrics_loads_neither_torch_nor_the_extra():
    script = (
        "import sys, hscodec.metrics.comparison;"
        "print(sorted({'torch', 'pesq', 'pystoi', 'visqol', 'cdpam'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
