"""`hscodec compare`: what is printed where, and the exit status."""

import contextlib
import importlib.util
import io
import json

import numpy as np
import pytest
import soundfile

from hscodec.cli import compare, console
from hscodec.metrics.comparison import METRICS

RATE_HZ = 16_000


@pytest.fixture
def noise():
    return np.random.default_rng(0).uniform(-0.5, 0.5, (RATE_HZ, 2))


@pytest.fixture
def write(tmp_path):
    def to_file(name, samples, rate=RATE_HZ):
        path = tmp_path / name
        soundfile.write(path, samples, rate, subtype="FLOAT")
        return path

    return to_file


def strict(text):
    """Parse JSON as the standard has it, without NaN and Infinity."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_the_help_page_knows_every_measure():
    assert tuple(METRICS) == compare.METRICS


def test_a_table_of_a_mono_sound(run, write, noise):
    reference, test = write("a.wav", noise[:, 0]), write("b.wav", 0.5 * noise[:, 0])
    result = run("compare", "--metrics", "snr,lsd,mse", reference, test)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["metric", "value", "unit", "better"]
    assert rows[1] == ["snr", "6.021", "dB", "higher"]
    assert rows[2] == ["lsd", "0.6021", "decades", "lower"]
    assert rows[3][0] == "mse" and rows[3][2:] == ["lower"]


def test_a_table_of_a_stereo_sound(run, write, noise):
    reference, test = write("a.wav", noise), write("b.wav", noise * [1, 0.5])
    result = run("compare", "--metrics", "snr,si_sdr,l1", reference, test)
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0] == "metric"
    assert [part for part in ("mean", "channel 1", "channel 2") if part not in lines[0]] == []
    assert lines[1].split() == ["snr", "inf", "inf", "6.021", "dB", "higher"]
    assert lines[3].split()[2] == "0"


def test_what_is_not_defined_is_a_dash(run, write, noise):
    reference, test = write("a.wav", noise * [1, 0]), write("b.wav", 0.7 * noise)
    result = run("compare", "--metrics", "si_sdr", reference, test)
    assert result.stdout.splitlines()[1].split()[1] == "-"
    value = strict(run("compare", "--metrics", "si_sdr", "--json", reference, test).stdout)["metrics"]["si_sdr"]
    assert value["mean"] is value["channels"][1] is None
    assert value["channels"][0] > 100


def test_json_says_everything(run, write, noise):
    reference, test = write("a.wav", noise), write("b.wav", 0.5 * noise)
    result = run("compare", "--json", "--metrics", "snr,l1", reference, test)
    assert (result.exit_code, result.stderr) == (0, "")
    assert strict(result.stdout) == {
        "reference": {"file": str(reference), "sample_rate_hz": RATE_HZ, "num_samples": RATE_HZ},
        "test": {"file": str(test), "sample_rate_hz": RATE_HZ, "num_samples": RATE_HZ},
        "sample_rate_hz": RATE_HZ,
        "num_channels": 2,
        "num_samples": RATE_HZ,
        "identical": False,
        "metrics": {
            "snr": {"mean": pytest.approx(6.0206), "channels": pytest.approx([6.0206] * 2)},
            "l1": {"mean": pytest.approx(0.125, abs=2e-3), "channels": pytest.approx([0.125] * 2, abs=2e-3)},
        },
        "left_out": {},
    }


def test_identical_sounds_have_no_finite_ratio(run, write, noise):
    path = write("a.wav", noise)
    told = strict(run("compare", "--json", "--metrics", "snr,mse", path, path).stdout)
    assert told["identical"] is True
    assert told["metrics"] == {
        "snr": {"mean": None, "channels": [None, None]},
        "mse": {"mean": 0, "channels": [0, 0]},
    }


def test_the_default_is_what_is_quick_and_installed(run, write, noise):
    path = write("a.wav", noise)
    told = strict(run("compare", "--json", path, path).stdout)
    quick = {name for name, metric in METRICS.items() if metric.is_default}
    assert set(told["metrics"]) | set(told["left_out"]) == quick
    assert {"mse", "l1", "snr", "psnr", "si_sdr", "si_snr", "lsd"} <= set(told["metrics"])
    assert not {"visqol", "visqol_audio", "cdpam"} & quick


@pytest.fixture
def no_packages(monkeypatch):
    missing = {package for metric in METRICS.values() for package in metric.packages}
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))


def test_missing_packages_are_named_once(run, write, noise, no_packages):
    path = write("a.wav", noise)
    result = run("compare", path, path)
    assert result.exit_code == 0
    assert result.stderr == (
        "hscodec: left out: pesq, stoi (needs an optional package: pip install 'hscodec[bench]')\n"
    )
    assert run("compare", "-q", path, path).stderr == ""
    assert set(strict(run("compare", "-q", "--json", path, path).stdout)["left_out"]) == {"pesq", "stoi"}


def test_missing_packages_are_an_error_where_they_are_asked_for(fails, write, noise, no_packages):
    path = write("a.wav", noise)
    message = fails("compare", "--metrics", "mse,cdpam", path, path)
    assert message == "cdpam needs an optional package: pip install 'hscodec[bench]'"


def test_another_rate_is_told(run, write, noise):
    reference, test = write("a.wav", noise), write("b.wav", np.repeat(noise, 2, axis=0), 2 * RATE_HZ)
    result = run("compare", "--metrics", "mse", reference, test)
    assert (result.exit_code, result.stderr) == (0, f"hscodec: {test}: resampled from 32000 Hz to 16000 Hz\n")


def test_other_lengths_are_refused_or_trimmed(run, fails, write, noise):
    reference, test = write("a.wav", noise), write("b.wav", noise[:15_000])
    told = f"{reference} has 16000 samples, {test} has 15000 samples"
    assert fails("compare", reference, test) == (
        f"the lengths differ at 16000 Hz: {told}; --trim compares the common part"
    )
    result = run("compare", "--trim", "--metrics", "mse", "--json", reference, test)
    assert result.stderr == "hscodec: lengths of 16,000 and 15,000 samples, compared 15,000\n"
    assert [strict(result.stdout)[key] for key in ("num_samples", "identical")] == [15_000, True]


def test_other_channels_are_refused(fails, write, noise):
    mono, stereo = write("a.wav", noise[:, 0]), write("b.wav", noise)
    assert fails("compare", mono, stereo) == f"the numbers of channels differ: {mono} has 1, {stereo} has 2"


def test_a_container_is_decoded(run, tone_path, tiny_model_path, tmp_path):
    container = tmp_path / "tone.hsnd"
    assert run("encode", "-q", "--model", tiny_model_path, "--device", "cpu", tone_path, container).exit_code == 0
    result = run("compare", "--metrics", "snr", "--device", "cpu", "--json", tone_path, container)
    assert (result.exit_code, result.stderr) == (0, f"hscodec: {container}: decoded at 16000 Hz\n")
    by_pipe = run(
        "compare", "--metrics", "snr", "--device", "cpu", "--json", tone_path, "-", stdin=container.read_bytes()
    )
    assert by_pipe.stderr == "hscodec: standard input: decoded at 16000 Hz\n"
    first, second = strict(result.stdout), strict(by_pipe.stdout)
    assert second["test"].pop("file") == "standard input"
    assert first["test"].pop("file") == str(container)
    assert first == second


def test_failures_name_the_file(fails, tone_path, make_container, tmp_path):
    missing = tmp_path / "missing.wav"
    assert fails("compare", tone_path, missing) == f"{missing}: no such file"
    assert fails("compare", tmp_path, tone_path) == f"{tmp_path}: is a folder"
    unknown = make_container(model_id=b"\xff" * 16, num_channels=1)
    for pair in ((tone_path, unknown), (unknown, tone_path)):
        message = fails("compare", "--metrics", "mse", *pair)
        assert message.startswith(f"{unknown}: ") and "not installed" in message
        assert str(tone_path) not in message
    message = fails("compare", "--metrics", "mse", unknown, "-", stdin=tone_path.read_bytes())
    assert message.startswith(f"{unknown}: ")
    assert fails("compare", "-", tone_path, stdin=b"not a sound").startswith("standard input: ")


@pytest.mark.parametrize(
    "arguments",
    [["a.wav"], ["-", "-"], ["--metrics", "loudness", "a.wav", "a.wav"], ["--metrics", "", "a.wav", "a.wav"]],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").touch()
    result = run("compare", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: hscodec compare")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_on_a_terminal_is_ruled(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    with contextlib.redirect_stdout(screen):
        console.table(["metric", "value"], [["snr", "6.021"], ["[bold]\x1b[2J", "1"]], numbers=[1])
    assert [part for part in ("metric", "snr", "6.021", "─", "[bold]\\x1b[2J") if part not in screen.getvalue()] == []
