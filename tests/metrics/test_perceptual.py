import importlib
import math
import subprocess
import sys

import numpy as np
import pytest
import soxr

from hscodec.errors import AudioError, HscodecError
from hscodec.metrics import perceptual
from hscodec.metrics.perceptual import pesq_wb, stoi, visqol

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


def test_importing_the_metrics_loads_neither_torch_nor_the_extra():
    script = (
        "import sys, hscodec.metrics.waveform, hscodec.metrics.spectral, hscodec.metrics.perceptual;"
        "print(sorted({'torch', 'pesq', 'pystoi', 'visqol'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
