import io
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from hscodec.cli.info import describe
from hscodec.container import ChunkOrder, ContainerReader
from hscodec.registry import TUNED_MODELS

SUMMARY = re.compile(r"^(.+): ([\d,]+) bytes, ([\d.]+) kbit/s, 1\.00 s of sound in [\d.]+ s \([\d.]+x real time\)\n$")


@pytest.fixture
def encode(run, tiny_model_path):
    def invoke(*arguments: object, stdin: bytes | None = None):
        return run("encode", "--model", tiny_model_path, "--device", "cpu", *arguments, stdin=stdin)

    return invoke


@pytest.fixture
def encode_fails(fails, tiny_model_path):
    def invoke(*arguments: object, stdin: bytes | None = None) -> str:
        return fails("encode", "--model", tiny_model_path, "--device", "cpu", *arguments, stdin=stdin)

    return invoke


def test_the_output_stands_beside_the_input_and_is_summed_up(encode, tone_path):
    result = encode(tone_path)
    target = tone_path.with_suffix(".hsnd")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    summary = SUMMARY.match(result.stderr)
    assert summary is not None, result.stderr
    file_bytes = target.stat().st_size
    assert summary[1] == str(target)
    assert int(summary[2].replace(",", "")) == file_bytes
    assert float(summary[3]) == pytest.approx(file_bytes * 8 / 1000, abs=0.005)


def test_the_file_says_what_was_asked_for(encode, tone_path, tmp_path):
    assert encode("-q", "-Q", "7.25", tone_path, tmp_path / "a.hsnd").exit_code == 0
    about = describe(tmp_path / "a.hsnd")
    assert (about["quality"], about["sample_rate_hz"], about["num_channels"]) == (7.25, 16_000, 1)
    assert (about["num_samples"], about["model_name"]) == (16_000, "tiny")


def test_the_default_quality(encode, tone_path):
    assert encode("-q", tone_path).exit_code == 0
    assert describe(tone_path.with_suffix(".hsnd"))["quality"] == 5


def test_quiet_prints_nothing(encode, tone_path, tmp_path):
    result = encode("-q", tone_path, "-o", tmp_path / "b.hsnd")
    assert (result.exit_code, result.output) == (0, "")
    assert [path.name for path in tmp_path.glob("*.hsnd")] == ["b.hsnd"]


def test_a_known_model_goes_by_its_name(run, tiny_model_path, tone_path):
    assert run("encode", "-q", "--model", "tiny", "--device", "cpu", tone_path).exit_code == 0


@pytest.mark.parametrize("tuning", TUNED_MODELS)
def test_a_tuning_chooses_the_model(run, tone_path, tuning):
    assert run("encode", "-q", "--tune", tuning, "--device", "cpu", tone_path).exit_code == 0
    assert describe(tone_path.with_suffix(".hsnd"))["model_name"] == TUNED_MODELS[tuning]


def test_tuning_and_model_exclude_each_other(run, tone_path):
    result = run("encode", "--tune", "ear", "--model", "hsc-1", tone_path)
    assert result.exit_code == 2
    assert "either --tune or --model" in result.stderr


def orders_of(path):
    with path.open("rb") as file:
        container = ContainerReader(file)
        return {container.read_chunk(index).header.order for index in range(len(container.chunks))}


def test_zstd_alone_on_request(encode, run, speech, tmp_path):
    source = tmp_path / "word.wav"
    samples, rate = soundfile.read(speech, frames=22_050)
    soundfile.write(source, samples, rate)
    for name, options in (("default", ()), ("zstd", ("--zstd",))):
        assert encode("-q", *options, source, tmp_path / f"{name}.hsnd").exit_code == 0
        result = run("decode", "-q", "--device", "cpu", tmp_path / f"{name}.hsnd", tmp_path / f"{name}.wav")
        assert (result.exit_code, result.output) == (0, "")
    assert orders_of(tmp_path / "default.hsnd") == {ChunkOrder.BY_CONTEXT}
    assert orders_of(tmp_path / "zstd.hsnd") <= {ChunkOrder.PLAIN, ChunkOrder.BY_CLASS}
    assert (tmp_path / "default.wav").read_bytes() == (tmp_path / "zstd.wav").read_bytes()


def test_force_replaces_an_existing_output(encode, tone_path):
    target = tone_path.with_suffix(".hsnd")
    target.write_bytes(b"old")
    assert encode("-f", tone_path).exit_code == 0
    assert describe(target)["num_samples"] == 16_000


def test_standard_streams_give_the_same_bytes(encode, tone_path):
    encode("-q", tone_path)
    result = encode("-", "-", stdin=tone_path.read_bytes())
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == tone_path.with_suffix(".hsnd").read_bytes()
    assert result.stderr.startswith("standard output: ")


def test_an_unknown_model_is_named(fails, tone_path):
    assert fails("encode", "--model", "no-such-model", tone_path).startswith("no model called 'no-such-model'; known: ")


def test_a_model_file_may_be_missing(fails, tone_path, tmp_path):
    path = tmp_path / "missing.safetensors"
    assert fails("encode", "--model", path, tone_path) == f"cannot read the model {path}: No such file or directory"


def test_what_is_not_audio_is_named(encode_fails, tmp_path):
    path = tmp_path / "page.wav"
    path.write_text("<html>this is not a sound</html>")
    assert encode_fails(path).startswith(f"{path}: not an audio file")


def test_standard_input_that_is_not_audio_is_named(encode_fails):
    assert encode_fails("-", "-", stdin=b"not a sound").startswith("standard input: not an audio file")


def test_an_empty_file_is_named(encode_fails, tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    assert encode_fails(path) == f"{path}: the file is empty"


def test_a_sample_that_is_no_number_is_located(encode_fails, tmp_path):
    samples = np.zeros((16_000, 2), np.float32)
    samples[4_000, 1] = np.nan
    path = tmp_path / "nan.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    assert encode_fails(path) == f"{path}: not-finite sample at 0.250 s, channel 2"
    assert not path.with_suffix(".hsnd").exists()


def test_a_failure_leaves_no_partial_output(encode_fails, tmp_path):
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, 100_000), 16_000)
    path.write_bytes(path.read_bytes()[:100_000])
    assert str(path) in encode_fails(path)
    assert [file.name for file in tmp_path.iterdir()] == ["cut.flac"]


def test_a_device_that_is_not_there_is_named(run, tiny_model_path, tone_path):
    result = run("encode", "--model", tiny_model_path, "--device", "cuda:99", tone_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("hscodec: error: device 'cuda:99' is not available")


def test_stereo_and_other_formats_are_read(encode, tmp_path):
    path = tmp_path / "stereo.flac"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, (11_025, 2)), 11_025)
    assert encode("-q", path).exit_code == 0
    about = describe(path.with_suffix(".hsnd"))
    assert (about["num_channels"], about["num_samples"], about["sample_rate_hz"]) == (2, 11_025, 11_025)


def test_an_empty_sound_is_a_small_file(encode, tmp_path):
    path = tmp_path / "nothing.wav"
    soundfile.write(path, np.zeros(0), 16_000)
    result = encode(path)
    assert result.exit_code == 0, result.output
    assert describe(path.with_suffix(".hsnd"))["num_samples"] == 0


def test_audio_arrives_through_a_pipe(encode, tmp_path):
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(800), 8_000, format="FLAC")
    assert encode("-q", "-", "-o", tmp_path / "piped.hsnd", stdin=stream.getvalue()).exit_code == 0
    assert describe(tmp_path / "piped.hsnd")["num_samples"] == 800


def tags_of(path):
    return [tuple(tag) for tag in describe(path)["tags"]]


@pytest.fixture
def tagged_path(tmp_path, tone_path):
    path = tmp_path / "tagged.flac"
    samples, rate = soundfile.read(tone_path)
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_24") as file:
        file.title, file.artist = "Tone", "Nobody"
        file.write(samples)
    return path


@pytest.mark.parametrize(
    ("options", "tags"),
    [
        ((), [("TITLE", "Tone"), ("ARTIST", "Nobody")]),
        (("--no-tags",), []),
        (("--no-tags", "--tag", "TITLE=Mine"), [("TITLE", "Mine")]),
        (("--tag", "artist=One", "--tag", "Artist=Two"), [("TITLE", "Tone"), ("ARTIST", "One"), ("ARTIST", "Two")]),
        (("--tag", "title="), [("ARTIST", "Nobody")]),
        (("--tag", "x=a=b"), [("TITLE", "Tone"), ("ARTIST", "Nobody"), ("X", "a=b")]),
    ],
)
def test_tags(encode, tagged_path, options, tags):
    result = encode("-q", *options, tagged_path)
    assert (result.exit_code, result.output) == (0, "")
    assert tags_of(tagged_path.with_suffix(".hsnd")) == tags
    assert describe(tagged_path.with_suffix(".hsnd"))["sample_format"] == "pcm_24"


@pytest.mark.parametrize("tag", ["no equals", "=value", "k\u00e9y=1"])
def test_what_is_no_tag(encode_fails, tone_path, tag):
    assert "tag" in encode_fails("--tag", tag, tone_path)


def test_too_many_tags(encode_fails, tone_path):
    assert "tag bytes" in encode_fails("--tag", f"LYRICS={'la' * 20_000}", tone_path)
    assert not tone_path.with_suffix(".hsnd").exists()


def test_live_is_for_standard_input(encode, tone_path):
    result = encode("--live", tone_path)
    assert result.exit_code == 2
    assert "standard input" in result.stderr


def command_line(*arguments):
    return [sys.executable, "-m", "hscodec", *map(str, arguments)]


def test_a_chain_of_pipes(tiny_model_path, tmp_path):
    """Samples go in at one end and come out at the other, with nothing on disk and no length known in advance."""
    time = np.arange(96_000) / 8000
    sound = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    wav = io.BytesIO()
    soundfile.write(wav, sound, 8000, format="WAV", subtype="PCM_16")
    content = bytearray(wav.getvalue())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"  # as ffmpeg and arecord write it to a pipe
    encode = command_line("encode", "--live", "-q", "--model", tiny_model_path, "--device", "cpu", "-", "-")
    decode = command_line("decode", "-q", "--device", "cpu", "-", "-")
    with (
        subprocess.Popen(encode, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first,
        subprocess.Popen(decode, stdin=first.stdout, stdout=subprocess.PIPE) as second,
    ):
        first.stdin.write(content)
        first.stdin.close()
        received = second.stdout.read()
    assert (first.returncode, second.returncode) == (0, 0)
    samples = np.frombuffer(received[44:], "<i2")
    assert len(samples) == len(sound)
    assert np.corrcoef(samples, sound)[0, 1] > 0.5


def test_who_stops_listening_gets_no_complaint(tiny_model_path, tone_path):
    encode = command_line("encode", "-q", "--model", tiny_model_path, "--device", "cpu", tone_path, "-")
    with subprocess.Popen(encode, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_chunks_may_be_short(encode, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), 8000)
    counts = []
    for arguments in ((), ("--chunk", "1")):
        assert encode("-f", *arguments, tmp_path / "a.wav").exit_code == 0
        with open(tmp_path / "a.hsnd", "rb") as file:
            counts.append(len(ContainerReader(file).chunks))
    assert counts == [1, 5]
