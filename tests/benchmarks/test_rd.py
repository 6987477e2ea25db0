import json

import pytest
from click.testing import CliRunner

from benchmarks import measure, rd
from benchmarks.contenders import Encoded
from benchmarks.measure import Plan, contenders
from benchmarks.results import Results, load
from hscodec.errors import HscodecError


class Truncation:
    """A codec for tests: keeps `setting` bits of 16-bit samples, and counts how often it is called."""

    name = "truncation"
    settings = (4.0, 8.0)

    def __init__(self, version="1"):
        self._version = version
        self.calls = 0

    def version(self):
        return self._version

    def encode(self, samples, sample_rate, setting):
        self.calls += 1
        self._samples, self._levels = samples, 2 ** (setting - 1)
        num_bytes = int(samples.size * setting / 8)
        return Encoded(bytes(num_bytes + 10), num_bytes, sample_rate, *samples.shape)

    def decode(self, encoded):
        return (self._samples * self._levels).round() / self._levels


@pytest.fixture
def codec(monkeypatch):
    made = Truncation()
    monkeypatch.setattr(measure, "Opus", lambda settings, kind: made)
    contenders.cache_clear()
    yield made
    contenders.cache_clear()


def invoke(folders, out, *options):
    arguments = [*map(str, folders), "--codecs", "opus", "--metrics", "si_sdr,snr,lsd", "--out", str(out), *options]
    return CliRunner().invoke(rd.main, arguments)


def test_every_clip_and_setting_becomes_a_row(corpus, codec, tmp_path):
    done = invoke(corpus, tmp_path / "rd.json")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-1] == "5/5 mixed/deep/stereo#2" and not done.stdout
    content = load(tmp_path / "rd.json")
    assert len(content["rows"]) == 5 * 2 and codec.calls == 10
    row = content["rows"][0]
    assert (row["clip"], row["codec"], row["setting"]) == ("mixed/deep/stereo#1", "truncation", 4.0)
    assert row["file_bytes"] == row["payload_bytes"] + 10
    assert row["payload_kbps"] == pytest.approx(22.05 * 4, rel=1e-3)
    assert set(row["scores"]) == {"si_sdr", "snr", "lsd"}
    worse, better = (row["scores"]["snr"] for row in content["rows"][:2])
    assert worse < better


def test_rows_have_provenance(corpus, codec, tmp_path):
    invoke(corpus, tmp_path / "rd.json")
    (run,) = load(tmp_path / "rd.json")["runs"]
    assert {"date", "commit", "cpu", "cpu_count", "python", "packages", "threads"} < set(run)
    assert run["codecs"] == {"truncation": "1"}
    assert run["corpus"]["clips"] == 5 and len(run["corpus"]["sha256"]) == 64
    assert str(tmp_path) not in (tmp_path / "rd.json").read_text()


def test_a_second_run_measures_only_what_is_missing(corpus, codec, tmp_path):
    out = tmp_path / "rd.json"
    assert invoke(corpus[:1], out).exit_code == 0
    first = out.read_text()
    assert invoke(corpus[:1], out).exit_code == 0
    assert codec.calls == 6 and out.read_text() == first
    assert invoke(corpus, out).exit_code == 0
    content = load(out)
    assert codec.calls == 10 and len(content["runs"]) == 2
    assert {row["run"] for row in content["rows"] if row["clip"].startswith("voices")} == {0}
    assert {row["run"] for row in content["rows"] if row["clip"].startswith("mixed")} == {1}


def test_another_metric_or_another_version_is_measured_anew(corpus, codec, tmp_path):
    out = tmp_path / "rd.json"
    invoke(corpus[:1], out)
    assert invoke(corpus[:1], out, "--metrics", "snr,psnr").exit_code == 0
    assert codec.calls == 12
    codec._version = "2"
    assert invoke(corpus[:1], out, "--metrics", "snr").exit_code == 0
    content = load(out)
    assert codec.calls == 18 and len(content["rows"]) == 6
    assert {row["version"] for row in content["rows"]} == {"2"}


def test_what_was_measured_is_kept_when_a_run_stops(corpus, codec, tmp_path, monkeypatch):
    def third_clip_fails(plan, clip, points):
        if clip.name.endswith("2"):
            raise HscodecError("stopped")
        return measured(plan, clip, points)

    measured = measure.measure
    monkeypatch.setattr(measure, "measure", third_clip_fails)
    done = invoke(corpus[:1], tmp_path / "rd.json")
    assert done.exit_code == 1 and "stopped" in done.output
    assert len(load(tmp_path / "rd.json")["rows"]) == 4


def test_rows_of_other_options_are_not_mixed(corpus, codec, tmp_path):
    invoke(corpus[:1], tmp_path / "rd.json")
    done = invoke(corpus[:1], tmp_path / "rd.json", "--seconds", "0.5")
    assert done.exit_code == 1 and "use another --out" in done.output


def test_crop_limit_and_mix(corpus, codec, tmp_path):
    out = tmp_path / "rd.json"
    assert invoke(corpus, out, "--seconds", "0.5", "--limit", "1", "--mono").exit_code == 0
    content = load(out)
    assert [row["clip"] for row in content["rows"][::2]] == ["mixed/deep/stereo", "voices/clip-0"]
    assert [row["num_samples"] for row in content["rows"][::2]] == [11_025, 8000]
    assert content["options"] == {"seconds": 0.5, "kind": "speech", "mono": True, "stereo": False}


def test_stereo_files_are_coded_as_one_and_mono_files_skipped(corpus, codec, tmp_path):
    out = tmp_path / "rd.json"
    done = invoke(corpus, out, "--stereo")
    assert done.exit_code == 0, done.output
    content = load(out)
    assert content["options"] == {"seconds": None, "kind": "speech", "mono": False, "stereo": True}
    assert [row["clip"] for row in content["rows"]] == ["mixed/deep/stereo"] * 2
    row = content["rows"][0]
    assert row["num_samples"] == 22_050
    assert row["payload_kbps"] == pytest.approx(2 * 22.05 * 4, rel=1e-3)
    assert codec._samples.shape == (2, 22_050)
    done = invoke(corpus, out)
    assert done.exit_code == 1 and "use another --out" in done.output


def test_a_file_from_before_stereo_is_gone_on_with(corpus, codec, tmp_path):
    out = tmp_path / "rd.json"
    invoke(corpus[:1], out)
    content = json.loads(out.read_text())
    del content["options"]["stereo"]
    out.write_text(json.dumps(content))
    assert invoke(corpus[:1], out).exit_code == 0
    assert codec.calls == 6
    assert invoke(corpus[1:], out, "--stereo").exit_code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metrics", "loudness"), "loudness"),
        (("--codecs", "flac"), "flac"),
        (("--opus-kbps", "low"), "numbers"),
        (("--mono", "--stereo"), "exclude each other"),
    ],
)
def test_bad_options_are_refused(corpus, tmp_path, options, message):
    done = invoke(corpus, tmp_path / "rd.json", *options)
    assert done.exit_code == 2 and message in done.output


def test_settings_are_sorted_and_unique(corpus, codec, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(measure, "Opus", lambda settings, kind: seen.append((settings, kind)) or codec)
    invoke(corpus[:1], tmp_path / "rd.json", "--opus-kbps", "24,8,8,6.5", "--kind", "music")
    assert seen == [((6.5, 8.0, 24.0), "music")]


def test_a_file_that_does_not_hold_results_is_refused(tmp_path):
    for content in ("", "[1]", "{}", json.dumps({"schema": 99})):
        (tmp_path / "rd.json").write_text(content)
        with pytest.raises(HscodecError):
            Results(tmp_path / "rd.json", {})


def test_undefined_scores_are_null(corpus, codec, tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "decode", lambda encoded: codec._samples)
    plan = Plan((("opus", (4.0,)),), ("snr",), "speech", None)
    clip = rd.find_clips(corpus)[0]
    (row, _) = measure.measure(plan, clip, (("truncation", 4.0), ("truncation", 8.0)))
    assert row["scores"] == {"snr": None}


@pytest.mark.parametrize(("option", "num_clips"), [("--mono", 3), ("--stereo", 1)])
def test_real_codecs_and_several_processes(corpus, tmp_path, option, num_clips):
    pytest.importorskip("av")
    pytest.importorskip("pystoi")
    out = tmp_path / "rd.json"
    arguments = [*map(str, corpus), "--out", str(out), "--limit", "2", "--metrics", "stoi,si_sdr,lsd", "--jobs", "2"]
    arguments += ["--codecs", "opus,mp3,aac", "--opus-kbps", "24", "--mp3-kbps", "32", "--aac-kbps", "32", option]
    done = CliRunner().invoke(rd.main, arguments)
    assert done.exit_code == 0, done.output
    rows = load(out)["rows"]
    assert [row["codec"] for row in rows] == ["aac", "mp3", "opus"] * num_clips
    for row in rows:
        assert row["scores"]["stoi"] > 0.6
        assert abs(row["delay_us"]) <= 250
        assert row["encode_seconds"] > 0 and row["decode_seconds"] > 0
