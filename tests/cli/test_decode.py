import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.cli import decode as decode_module


@pytest.fixture
def hsnd_path(run, tiny_model_path, tone_path, tmp_path) -> Path:
    """The tone, encoded, in a folder of its own."""
    (tmp_path / "coded").mkdir()
    path = tmp_path / "coded" / "tone.hsnd"
    result = run("encode", "-q", "--model", tiny_model_path, "--device", "cpu", tone_path, path)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def decode(run):
    def invoke(*arguments: object, stdin: bytes | None = None):
        return run("decode", "--device", "cpu", *arguments, stdin=stdin)

    return invoke


def test_the_output_stands_beside_the_input_and_is_summed_up(decode, hsnd_path):
    result = decode(hsnd_path)
    assert result.exit_code == 0, result.output
    target = hsnd_path.with_suffix(".wav")
    about = soundfile.info(target)
    assert (about.format, about.subtype, about.samplerate) == ("WAV", "PCM_16", 16_000)
    assert (about.frames, about.channels) == (16_000, 1)
    assert result.stderr.startswith(f"{target}: 16000 Hz, 1 channel, 1.00 s of sound in ")
    assert result.stdout == ""


@pytest.mark.parametrize("rate", [1_000, 22_050, 44_100, 384_000])
def test_any_rate_has_the_same_duration(decode, hsnd_path, tmp_path, rate):
    path = tmp_path / "other.wav"
    assert decode("-q", "--rate", rate, hsnd_path, path).exit_code == 0
    about = soundfile.info(path)
    assert (about.samplerate, about.frames) == (rate, rate)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "float"])
def test_subtypes(decode, hsnd_path, tmp_path, subtype):
    path = tmp_path / "other.wav"
    assert decode("-q", "--subtype", subtype, hsnd_path, path).exit_code == 0
    assert soundfile.info(path).subtype == subtype.upper()


@pytest.mark.parametrize(("suffix", "container_format"), [(".flac", "FLAC"), (".ogg", "OGG"), (".aiff", "AIFF")])
def test_the_suffix_says_the_format(decode, hsnd_path, tmp_path, suffix, container_format):
    path = tmp_path / f"other{suffix}"
    result = decode("-q", hsnd_path, "-o", path)
    assert (result.exit_code, result.output) == (0, "")
    assert soundfile.info(path).format == container_format


def test_an_unknown_suffix_is_refused(fails, hsnd_path, tmp_path):
    line = fails("decode", "--device", "cpu", hsnd_path, tmp_path / "other.txt")
    assert line.startswith(f"{tmp_path / 'other.txt'}: unknown extension '.txt'")


def test_force_replaces_an_existing_output(decode, hsnd_path):
    target = hsnd_path.with_suffix(".wav")
    target.write_bytes(b"old")
    assert decode(hsnd_path).exit_code == 1
    assert target.read_bytes() == b"old"
    assert decode("-f", hsnd_path).exit_code == 0
    assert soundfile.info(target).frames == 16_000


def test_standard_streams_give_the_same_samples(decode, hsnd_path):
    decode("-q", hsnd_path)
    result = decode("-", "-", stdin=hsnd_path.read_bytes())
    assert result.exit_code == 0, result.output
    samples, rate = soundfile.read(io.BytesIO(result.stdout_bytes), dtype="int16")
    expected, _ = soundfile.read(hsnd_path.with_suffix(".wav"), dtype="int16")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, expected)


def test_the_model_may_be_given(decode, hsnd_path, tiny_model_path, monkeypatch, tmp_path):
    manifest = tmp_path / "none"
    manifest.mkdir()
    (manifest / "manifest.json").write_text(json.dumps({"models": []}))
    monkeypatch.setenv("HSCODEC_MODELS", str(manifest))
    missing = decode("-q", hsnd_path)
    assert missing.exit_code == 1
    assert "which is not installed" in missing.stderr
    assert decode("-q", "--model", tiny_model_path, hsnd_path).exit_code == 0


def test_a_sound_is_no_hsnd_file(fails, tone_path, tmp_path):
    assert fails("decode", tone_path, tmp_path / "other.wav") == f"{tone_path}: not a .hsnd file"


def test_a_newer_format_is_named(fails, make_container):
    path = make_container()
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    assert fails("decode", path).startswith(f"{path}: made by a newer version: it has format 2.0")
    assert not path.with_suffix(".wav").exists()


def test_a_file_cut_short_is_refused(fails, hsnd_path):
    hsnd_path.write_bytes(hsnd_path.read_bytes()[:-1])
    assert fails("decode", hsnd_path) == f"{hsnd_path} is cut short or damaged; `hscodec verify` says where"
    assert not hsnd_path.with_suffix(".wav").exists()


def test_the_limits_of_the_rate_are_the_codec_s():
    from hscodec.codec import files

    limits = (decode_module.MIN_RATE_HZ, decode_module.MAX_RATE_HZ)
    assert limits == (files.MIN_OUTPUT_RATE_HZ, files.MAX_OUTPUT_RATE_HZ)
