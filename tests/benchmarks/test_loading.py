import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from benchmarks import loading
from benchmarks.contenders import Encoded
from benchmarks.crop_readers import OpusReader, SoundFileReader, around
from benchmarks.peers import Opus
from hscodec.audio.resample import resample

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.mark.parametrize(("rate", "file_rate"), [(16_000, 48_000), (22_050, 48_000), (48_000, 48_000), (8_000, 44_100)])
def test_ranges_begin_where_both_rates_have_a_sample(rate, file_rate):
    for start in (0, 1, 777, 100_003):
        first, last = around(start, start + rate, rate, file_rate)
        assert (first * rate) % file_rate == 0
        assert 0 <= first <= start * file_rate / rate and last >= (start + rate) * file_rate / rate


@pytest.mark.parametrize("name", ["wav", "flac", "opus"])
def test_crops_are_those_of_the_whole_file(tmp_path, speech, name):
    if name == "opus":
        pytest.importorskip("av")
    reader = OpusReader(64) if name == "opus" else SoundFileReader(name)
    samples = speech(48_000, 3.0)[None]
    path = tmp_path / f"a{reader.suffix}"
    reader.write(path, samples, 48_000)
    assert abs(reader.length(path) - 144_000) < 1_000
    if name == "opus":
        blob = path.read_bytes()
        whole = Opus((64,)).decode(Encoded(blob, len(blob), 48_000, 1, 144_000))
    else:
        whole = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    whole = resample(whole, 48_000, 16_000)
    scale = np.abs(whole).max()
    for start, stop in ((0, 4_000), (12_345, 20_001), (40_000, 48_000)):
        crop = reader.read(path, 16_000, start, stop)
        assert crop.shape == (1, stop - start)
        # Opus converges only after a seek, and another decoder read the whole.
        assert np.abs(crop - whole[:, start:stop]).max() < (0.03 if name == "opus" else 1e-3) * scale


def test_recordings_are_of_various_lengths(tmp_path, speech):
    soundfile.write(tmp_path / "a.wav", speech(16_000, 0.5), 16_000)
    lengths = {samples.shape for samples in loading.recordings(tmp_path, 3)}
    assert len(lengths) == 3
    assert all(30 * 48_000 <= length <= 60 * 48_000 for _, length in lengths)


def test_the_command_measures_and_writes_json(tmp_path, speech, monkeypatch, tiny_model):
    pytest.importorskip("av")
    monkeypatch.setattr(loading, "SHORTEST_S", 2.0)
    monkeypatch.setattr(loading, "LONGEST_S", 3.0)
    soundfile.write(tmp_path / "clip.wav", speech(16_000, 0.5), 16_000)
    options = {"files": 2, "crops": 2, "seconds": 0.5, "batch": 3, "repeats": 1, "workers": "0,1", "model": "tiny"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    done = CliRunner().invoke(
        loading.main, [str(tmp_path / "clip.wav"), *arguments, "--out", str(tmp_path / "out.json")]
    )
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["options"]["source"] == "clip.wav" and content["provenance"]["cpu"]
    assert content["provenance"]["model_sha256"] == tiny_model.sha256
    rows = {(row["format"], row["workers"]): row for row in content["rows"]}
    assert set(rows) == {(name, workers) for name in loading.FORMATS for workers in (0, 1)}
    assert all(len(row["crops_per_second"]) == 1 and row["crops_per_second"][0] > 0 for row in rows.values())
    assert rows["wav", 0]["kbps"] == pytest.approx(768, rel=0.01)
    assert rows["hscodec", 0]["bytes"] == rows["hscodec-batch", 0]["bytes"] < rows["flac", 0]["bytes"]
    assert "| wav |" in done.output
