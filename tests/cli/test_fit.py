import json

import numpy as np
import pytest
import soundfile

SMALL = ("--hidden-layers", 1, "--width", 4, "--steps", 2)


@pytest.fixture
def wave(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.3 * np.sin(np.arange(2_000) / 9), 8_000)
    return path


def about(run, path):
    (found,) = json.loads(run("info", "--json", path).stdout)
    return found


@pytest.mark.parametrize(
    ("options", "network"),
    [
        (
            ("--omega-0", 90, "--omega", 7),
            {"omega_0": 90.0, "omega": 7.0, "num_frequencies": None, "num_stored": 13},
        ),
        (
            ("--network", "fmlp", "--frequencies", 3),
            {"omega_0": None, "omega": None, "num_frequencies": 3, "num_stored": 33},
        ),
    ],
)
def test_a_recording_becomes_a_file_that_decodes(run, wave, tmp_path, options, network):
    result = run("fit", *SMALL, *options, "--device", "cpu", wave)
    assert result.exit_code == 0, result.output
    assert "SNR of segments" in result.stderr
    target = tmp_path / "a.hsnd"
    found = about(run, target)
    assert found["network"] == {"hidden_layers": 1, "width": 4, "stored": "weights"} | network
    assert (found["model_id"], found["quality"], found["bandwidth_hz"], found["hop_s"]) == (None, None, None, 0.5)
    assert run("decode", "--device", "cpu", target, tmp_path / "out.wav").exit_code == 0
    assert soundfile.info(tmp_path / "out.wav").frames == 2_000
    assert run("verify", target).exit_code == 0


def test_segments_may_have_any_length(run, wave, tmp_path):
    target = tmp_path / "a.hsnd"
    for option, hop_s in (("0.05", 0.05), ("0", 0.25)):
        assert run("fit", *SMALL, "--segment-seconds", option, "-f", "-q", wave, target).exit_code == 0
        assert about(run, target)["hop_s"] == hop_s


@pytest.mark.parametrize(
    ("options", "omega_0"), [((), 500.0), (("--segment-seconds", "0.1"), 100.0), (("--segment-seconds", "0"), 250.0)]
)
def test_the_first_factor_follows_the_segment(run, wave, tmp_path, options, omega_0):
    assert run("fit", *SMALL, *options, wave).exit_code == 0
    assert about(run, tmp_path / "a.hsnd")["network"]["omega_0"] == omega_0


def test_an_existing_file_is_kept(fails, wave, tmp_path):
    (tmp_path / "a.hsnd").write_bytes(b"mine")
    assert "exists" in fails("fit", *SMALL, wave)
    assert (tmp_path / "a.hsnd").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "options", [("--bits", 17), ("--bits", 3), ("--width", 0), ("--network", "mlp"), ("--segment-seconds", "x")]
)
def test_wrong_usage(run, wave, options):
    assert run("fit", *options, wave).exit_code == 2


def test_options_of_the_other_family_are_refused(run, wave):
    for option in (("--store", "latent"), ("--bits", 8)):
        result = run("encode", *option, wave)
        assert result.exit_code == 2
        assert "HyperSound family" in result.stderr
