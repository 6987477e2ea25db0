import io
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.cli.options import Time


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


@pytest.mark.parametrize(("rate", "header_rate"), [("44100/1.001", 44_056), ("22050.5", 22_050), ("48000.0", 48_000)])
def test_a_rate_that_is_not_whole_is_told_where_the_header_cannot_say_it(
    decode, hsnd_path, tmp_path, rate, header_rate
):
    path = tmp_path / "other.wav"
    result = decode("--rate", rate, hsnd_path, path)
    assert result.exit_code == 0, result.output
    about = soundfile.info(path)
    exact = Fraction(Fraction(rate.split("/")[0]), Fraction(rate.partition("/")[2] or 1))
    assert (about.samplerate, about.frames) == (header_rate, int(exact + Fraction(1, 2)))
    notes = [line for line in result.stderr.splitlines() if "note" in line]
    expected = [f"hscodec: note: the rate is {float(exact):.6f} Hz, the header says {header_rate} Hz"]
    assert notes == (expected if exact.denominator > 1 else [])
    assert decode("-q", "-f", "--rate", rate, hsnd_path, path).stderr == ""


@pytest.mark.parametrize(("speed", "num_samples"), [("0.25", 64_000), ("4", 4_000), ("3/2", 10_667), ("1.0", 16_000)])
@pytest.mark.parametrize("through_pipe", [False, True])
def test_speed_changes_duration_and_pitch(decode, hsnd_path, tmp_path, speed, num_samples, through_pipe):
    path = tmp_path / "other.wav"
    stdin = hsnd_path.read_bytes() if through_pipe else None
    result = decode("--speed", speed, "-" if through_pipe else hsnd_path, path, stdin=stdin)
    assert result.exit_code == 0, result.output
    assert f"16000 Hz, 1 channel, {num_samples / 16_000:.2f} s of sound in " in result.stderr
    samples, rate = soundfile.read(path)
    assert (len(samples), rate) == (num_samples, 16_000)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(num_samples)))
    assert spectrum.argmax() * 16_000 / num_samples == pytest.approx(440 * Fraction(speed), abs=8)


@pytest.mark.parametrize("through_pipe", [False, True])
def test_reverse_is_the_range_backwards(decode, hsnd_path, tmp_path, through_pipe):
    decode("-q", hsnd_path)
    path = tmp_path / "other.wav"
    source, stdin = ("-", hsnd_path.read_bytes()) if through_pipe else (hsnd_path, None)
    result = decode("--reverse", "--start", "0.25", "--stop", "0.75", source, path, stdin=stdin)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(samples_of(path), samples_of(hsnd_path.with_suffix(".wav"))[4000:12_000][::-1])
    result = decode("--reverse", source, "-", stdin=stdin)
    assert result.exit_code == 0, result.output
    samples, _ = soundfile.read(io.BytesIO(result.stdout_bytes), dtype="int16")
    np.testing.assert_array_equal(samples, samples_of(hsnd_path.with_suffix(".wav"))[::-1])


@pytest.mark.parametrize(
    "options",
    [
        ("--rate", "999"),
        ("--rate", "384000.001"),
        ("--rate", "48000/0"),
        ("--rate", "48k"),
        ("--rate", "nan"),
        ("--rate", "1e4"),
        ("--rate", "1/2/3"),
        ("--speed", "0"),
        ("--speed", "0.2499"),
        ("--speed", "4.01"),
        ("--speed", "-1"),
        ("--speed", ""),
    ],
)
def test_numbers_out_of_range_are_wrong_usage(run, hsnd_path, options):
    result = run("decode", *options, hsnd_path)
    assert result.exit_code == 2
    limits = "1000 to 384000" if options[0] == "--rate" else "0.25 to 4"
    assert f"is not a number from {limits}" in result.stderr


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
    assert fails("decode", path).startswith(f"{path}: made by a newer version: it has format 2.5")
    assert not path.with_suffix(".wav").exists()


def test_a_file_cut_short_is_refused(fails, hsnd_path):
    hsnd_path.write_bytes(hsnd_path.read_bytes()[:-1])
    advice = "`hscodec verify` says where, --keep-going decodes the rest"
    assert fails("decode", hsnd_path) == f"{hsnd_path} is cut short or damaged; {advice}"
    assert not hsnd_path.with_suffix(".wav").exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("12", 12), ("1.25", "5/4"), (".5", "1/2"), ("7.", 7), ("90:00", 5400), ("1:02:03.001", "3723001/1000")],
)
def test_times(text, seconds):
    assert Time().convert(text, None, None) == Fraction(seconds)


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:60:00", "1:2:3:4", "a", "1e3", "nan", ":5", "1::2", "1 2", "."])
def test_what_is_no_time(run, hsnd_path, text):
    result = run("decode", f"--start={text}", hsnd_path)
    assert result.exit_code == 2
    assert "is not a time" in result.stderr


def samples_of(path):
    return soundfile.read(path, dtype="int16")[0]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--start", "0.25", "--stop", "0:00.75"), slice(4000, 12_000)),
        (("--start", "0.9999"), slice(15_998, None)),
        (("--stop", "99:00:00"), slice(None)),
    ],
)
@pytest.mark.parametrize("through_pipe", [False, True])
def test_a_range_is_the_slice_of_the_whole(decode, hsnd_path, tmp_path, options, part, through_pipe):
    decode("-q", hsnd_path)
    path = tmp_path / "part.wav"
    stdin = hsnd_path.read_bytes() if through_pipe else None
    result = decode(*options, "-" if through_pipe else hsnd_path, path, stdin=stdin)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(samples_of(path), samples_of(hsnd_path.with_suffix(".wav"))[part])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--start", "1"), "the range starts at 1 s, the sound stops at 1 s"),
        (("--start", "0.5", "--stop", "0.5"), "the range from 0.5 s to 0.5 s holds nothing"),
        (("--stop", "0"), "the range from 0 s to 0 s holds nothing"),
    ],
)
def test_a_range_that_holds_nothing(fails, hsnd_path, options, reason):
    assert fails("decode", *options, hsnd_path) == reason
    assert not hsnd_path.with_suffix(".wav").exists()


@pytest.mark.parametrize("through_pipe", [False, True])
def test_keep_going_decodes_what_is_left_and_says_what_is_not(decode, run, tiny_model_path, tmp_path, through_pipe):
    sound, path = tmp_path / "long.wav", tmp_path / "long.hsnd"
    soundfile.write(sound, np.random.default_rng(1).uniform(-0.5, 0.5, 96_000), 8_000)
    run("encode", "-q", "--model", tiny_model_path, "--device", "cpu", sound, path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    assert decode("-q", "-f", path, sound).exit_code == 1
    stdin = path.read_bytes() if through_pipe else None
    result = decode("--keep-going", "-f", "-" if through_pipe else path, sound, stdin=stdin)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1:] == ["hscodec: warning: lost [4.98 s, 12.00 s)"]
    assert len(samples_of(sound)) == 249 * 160
    quiet = decode("--keep-going", "-q", "-f", path, sound)
    assert quiet.stderr == "hscodec: warning: lost [4.98 s, 12.00 s)\n"


def test_tags_come_back(decode, encode_with_tags, tmp_path):
    assert decode("-q", encode_with_tags, tmp_path / "tagged.flac").exit_code == 0
    with soundfile.SoundFile(tmp_path / "tagged.flac") as file:
        assert (file.title, file.artist) == ("Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich", "one; two")


@pytest.fixture
def encode_with_tags(run, tiny_model_path, tone_path, tmp_path):
    path = tmp_path / "tagged.hsnd"
    tags = ("title=Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich", "ARTIST=one", "artist=two", "Mood=calm")
    options = [part for tag in tags for part in ("--tag", tag)]
    result = run("encode", "-q", "--model", tiny_model_path, "--device", "cpu", *options, tone_path, path)
    assert result.exit_code == 0, result.output
    return path
