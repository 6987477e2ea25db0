import hashlib
import io
import logging
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.errors import AudioError, ConfigError, CorpusError
from hscodec.training import corpus_fetch
from hscodec.training.corpus import CorpusConfig, Source, load_corpus_config
from hscodec.training.corpus_decode import Recording, probe
from hscodec.training.corpus_fetch import fetch, source_folder
from hscodec.training.corpus_prepare import load_manifest, prepare
from hscodec.training.corpus_select import choose_pieces, spread
from hscodec.training.corpus_signal import cut_silence, to_clip, to_mono
from hscodec.training.soundfont import read_notes

PROJECT = Path(__file__).parents[2]


def tone(seconds, sample_rate, frequency_hz=440.0, level=0.5):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


def source(name, **changes):
    values = {"registry": "debian", "kind": "speech", "role": "train", "glob": ("**/*.wav",), "licence": "CC0"}
    return Source(name, **({"package": name} | values | changes))


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    for package, rate, channels, seconds in [
        ("talk", 16_000, 1, 1.0),
        ("song", 44_100, 2, 3.0),
        ("held", 48_000, 2, 20),
    ]:
        place = folder / "unpacked" / package / "usr" / "share"
        place.mkdir(parents=True)
        for index in range(3):
            samples = np.stack([tone(seconds, rate, 300 * (index + 1))] * channels, axis=1)
            soundfile.write(place / f"{index}.wav", samples, rate, subtype="PCM_16")
    return folder


def test_shipped_configuration_keeps_its_promises():
    config = load_corpus_config(PROJECT / "configs" / "corpus.toml")
    packages = {item.package for item in config.source}
    assert not packages & {"warzone2100-music", "planetblupi-music-ogg"}
    assert {item.kind for item in config.source if item.role == "train"} == {"speech", "music", "effects"}
    train, held_out = ({item.origin for item in config.source if item.role == role} for role in ("train", "eval"))
    assert held_out
    assert not train & held_out
    assert all(item.licence for item in config.source)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("colour = 'red'", r"source\[0\]: unknown key 'colour'"),
        ("kind = 'noise'", "must be one of 'speech'"),
        ("glob = '*.wav'", "expected a list"),
        ("glob = []", "glob is empty"),
        ("exclude = '('", "not a regular expression"),
        ("max_minutes = 0", "max_minutes must be positive"),
        ("path = 'x'", "needs 'package' and no 'path'"),
        ("package = '../x'", "not a Debian package name"),
        ("name = 'a/b'", "may hold letters"),
    ],
)
def test_mistakes_in_a_configuration(tmp_path, line, message):
    lines = {"name": "'n'", "registry": "'debian'", "package": "'pp'", "kind": "'speech'", "role": "'train'"}
    lines |= {"glob": "['*.wav']", "licence": "'CC0'"}
    lines |= dict([line.split(" = ")])
    path = tmp_path / "c.toml"
    path.write_text("[[source]]\n" + "\n".join(f"{key} = {value}" for key, value in lines.items()))
    with pytest.raises(ConfigError, match=message):
        load_corpus_config(path)


def test_a_package_has_one_role():
    with pytest.raises(ConfigError, match="pp is both a train and an eval source"):
        CorpusConfig((source("a", package="pp"), source("b", package="pp", role="eval")))
    CorpusConfig((source("a", package="pp"), source("b", package="pp", kind="music")))


def test_names_are_unique():
    with pytest.raises(ConfigError, match="two sources are named 'aa'"):
        CorpusConfig((source("aa"), source("aa", kind="music")))


def test_long_silences_are_cut_and_short_ones_kept():
    rate = 16_000
    parts = [tone(0.5, rate), np.zeros(2 * rate), tone(0.5, rate), np.zeros(rate * 4 // 10), tone(0.5, rate, 100)]
    samples = np.concatenate(parts).astype(np.float32)
    cut = cut_silence(samples, rate)
    assert len(cut) / rate == pytest.approx(0.5 + 0.2 + 0.5 + 0.4 + 0.5, abs=0.02)
    np.testing.assert_array_equal(cut[: rate // 2], samples[: rate // 2])
    np.testing.assert_array_equal(cut[-rate:], samples[-rate:])


@pytest.mark.parametrize(("level_db", "is_silence"), [(-50, False), (-60, True)])
def test_silence_is_relative_to_the_peak(level_db, is_silence):
    quiet = tone(2, 16_000, level=0.01 * 10 ** (level_db / 20))
    samples = np.concatenate([tone(1, 16_000, level=0.01), quiet])
    assert (len(cut_silence(samples, 16_000)) < len(samples)) == is_silence


@pytest.mark.parametrize("num_samples", [0, 1, 159, 161])
def test_silence_of_tiny_signals(num_samples):
    samples = np.ones(num_samples, np.float32)
    np.testing.assert_array_equal(cut_silence(samples, 16_000), samples)


def test_clip_is_48_khz_at_the_common_peak():
    clip = to_clip(tone(1, 11_025, 1000, level=0.1), 11_025)
    assert clip.dtype == np.int16
    assert abs(len(clip) - 48_000) <= 1
    assert np.abs(clip).max() / 32767 == pytest.approx(10 ** (-1 / 20), abs=0.001)
    assert np.argmax(np.abs(np.fft.rfft(clip[:48_000]))) == pytest.approx(1000, abs=1)


def test_gain_has_a_limit():
    clip = to_clip(tone(1, 48_000, level=0.001), 48_000)
    assert np.abs(clip).max() / 32767 == pytest.approx(0.001 * 10**1.5, rel=0.01)
    assert not to_clip(np.zeros(1000, np.float32), 48_000).any()


def test_mono_is_the_mean():
    np.testing.assert_allclose(to_mono(np.array([[1.0, 0.5], [0.0, -0.5]], np.float32)), [0.5, 0])


def test_cap_takes_something_of_everything():
    recordings = [Recording(Path(f"{index}.ogg"), 1000, 240_000) for index in range(5)]
    recordings += [Recording(Path(f"s{index}.ogg"), 1000, 5_000) for index in range(60)]
    pieces = choose_pieces(recordings, 10.0)
    taken_s = sum(piece.stop_samples - piece.start_samples for piece in pieces) / 1000
    assert taken_s == pytest.approx(600, rel=0.1)
    assert {piece.recording for piece in pieces} >= set(recordings[:5])
    assert len({piece.recording for piece in pieces}) == 5 + 24
    assert all(0 <= piece.start_samples < piece.stop_samples <= piece.recording.num_samples for piece in pieces)
    everything = choose_pieces(recordings, None)
    assert [piece.recording for piece in everything] == recordings


def test_evaluation_clips_are_spread():
    recordings = [Recording(Path(f"{index}.ogg"), 1000, 100_000) for index in range(30)]
    pieces = spread(recordings, count=12, clip_seconds=8)
    assert len({piece.recording for piece in pieces}) == 12
    assert len({piece.start_samples for piece in pieces}) == 12
    assert {piece.stop_samples - piece.start_samples for piece in pieces} == {8000}
    assert len(spread(recordings[:1], count=12, clip_seconds=8)) == 12
    assert len(spread([Recording(Path("x"), 1000, 500)], count=12, clip_seconds=8)) == 1
    assert spread([], count=12, clip_seconds=8) == []


def test_manifest_describes_the_shards(cache, tmp_path):
    calls = []
    config = CorpusConfig((source("song", kind="music"), source("talk"), source("held", role="eval", kind="music")))
    out = tmp_path / "out"
    manifest = prepare(config, cache, out_folder=out, workers=2, progress=lambda *call: calls.append(call))
    assert load_manifest(out) == manifest
    assert manifest["sample_rate"] == 48_000
    assert [shard["name"] for shard in manifest["shards"]] == ["talk", "song"]
    for shard, seconds, bandwidth_hz in zip(manifest["shards"], (1.0, 3.0), (8000, 22_050), strict=True):
        samples = np.load(out / shard["file"], mmap_mode="r")
        assert samples.dtype == np.int16
        assert samples.shape == (shard["num_samples"],)
        assert hashlib.sha256((out / shard["file"]).read_bytes()).hexdigest() == shard["sha256"]
        assert (shard["role"], shard["licence"], shard["package"]) == ("train", "CC0", shard["name"])
        assert len(shard["clips"]) == 3
        for start, stop, bandwidth in shard["clips"]:
            assert bandwidth == bandwidth_hz
            assert (stop - start) / 48_000 == pytest.approx(seconds, abs=0.001)
            assert np.abs(samples[start:stop]).max() > 28_000
        gaps = [(a[1], b[0]) for a, b in zip(shard["clips"][:-1], shard["clips"][1:], strict=True)]
        assert all(stop - start == 4800 and not samples[start:stop].any() for start, stop in gaps)
    assert ("song", 3, 3) in calls
    (held,) = manifest["eval"]
    assert len(held["files"]) == 12
    for entry in held["files"]:
        info = soundfile.info(str(out / entry["file"]))
        assert (info.samplerate, info.channels, info.frames) == (48_000, 2, 8 * 48_000)
        assert hashlib.sha256((out / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


def test_one_source_can_be_prepared_again(cache, tmp_path):
    config = CorpusConfig((source("song", kind="music"), source("talk")))
    prepare(config, cache, out_folder=tmp_path / "out")
    manifest = prepare(config, cache, out_folder=tmp_path / "out", only=["song"])
    assert sorted(shard["name"] for shard in manifest["shards"]) == ["song", "talk"]
    with pytest.raises(CorpusError, match="no source is named 'sing'"):
        prepare(config, cache, out_folder=tmp_path / "out", only=["sing"])


def test_broken_and_tiny_files_are_dropped(cache, tmp_path, caplog):
    place = cache / "unpacked" / "talk"
    (place / "broken.wav").write_bytes(b"RIFF" + bytes(100))
    soundfile.write(place / "tiny.wav", tone(0.2, 16_000), 16_000)
    soundfile.write(place / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(place / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    (place / "again.wav").symlink_to(place / "usr" / "share" / "0.wav")
    with caplog.at_level(logging.WARNING):
        manifest = prepare(CorpusConfig((source("talk"),)), cache, out_folder=tmp_path / "out")
    (shard,) = manifest["shards"]
    assert len(shard["clips"]) == 3
    assert shard["num_dropped"] == 2
    assert "talk: dropped 2 files" in caplog.text


def test_folder_sources_are_optional(cache, tmp_path, caplog, monkeypatch):
    local = source("local", registry="folder", package=None, path="$HSCODEC_TEST_FOLDER", exclude="/2[.]")
    config = CorpusConfig((local, source("talk")))
    monkeypatch.delenv("HSCODEC_TEST_FOLDER", raising=False)
    with caplog.at_level(logging.WARNING):
        manifest = prepare(config, cache, out_folder=tmp_path / "out")
    assert [shard["name"] for shard in manifest["shards"]] == ["talk"]
    assert "local: no folder" in caplog.text
    folder = cache / "unpacked" / "song"
    monkeypatch.setenv("HSCODEC_TEST_FOLDER", str(folder))
    assert source_folder(local, cache) == folder
    manifest = prepare(config, cache, out_folder=tmp_path / "out")
    assert [len(shard["clips"]) for shard in manifest["shards"] if shard["name"] == "local"] == [2]
    other = {"local": cache / "unpacked" / "held"}
    assert source_folder(local, cache, folders=other) == other["local"]
    with pytest.raises(CorpusError, match="no folder source is named 'talk'"):
        prepare(config, cache, out_folder=tmp_path / "out", folders={"talk": folder})
    with pytest.raises(CorpusError, match="missing"):
        prepare(config, cache, out_folder=tmp_path / "out", folders={"local": tmp_path / "nowhere"})


def test_sources_without_files_are_errors(cache, tmp_path):
    with pytest.raises(CorpusError, match="no usable file"):
        prepare(CorpusConfig((source("talk", glob=("*.ogg",)),)), cache, out_folder=tmp_path / "out")
    with pytest.raises(CorpusError, match="fetch the corpus first"):
        prepare(CorpusConfig((source("gone"),)), cache, out_folder=tmp_path / "out")
    with pytest.raises(CorpusError, match="not a corpus manifest"):
        load_manifest(tmp_path)


def soundfont_bytes(notes):
    smpl = b"".join(samples.astype("<i2").tobytes() for _, _, samples in notes)
    shdr, start = b"", 0
    for name, rate, samples in notes:
        stop = start + len(samples)
        shdr += struct.pack("<20sIIIIIBbHH", name.encode(), start, stop, start, stop, rate, 60, 0, 0, 1)
        start = stop
    shdr += struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def chunk(name, body):
        return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    lists = chunk(b"LIST", b"sdta" + chunk(b"smpl", smpl)) + chunk(b"LIST", b"pdta" + chunk(b"shdr", shdr))
    return chunk(b"RIFF", b"sfbk" + lists)


def test_notes_of_a_soundfont(tmp_path):
    notes = [("Oboe C4", 22_050, np.arange(100)), ("Flute/D", 44_100, -np.arange(50))]
    path = tmp_path / "a.sf2"
    path.write_bytes(soundfont_bytes(notes))
    for note, (name, rate, samples) in zip(read_notes(path), notes, strict=True):
        assert (note.name, note.sample_rate) == (name, rate)
        np.testing.assert_array_equal(note.samples, samples)
    whole = path.read_bytes()
    for stop in range(0, len(whole), 7):
        path.write_bytes(whole[:stop])
        with pytest.raises(CorpusError):
            list(read_notes(path))


def test_fetch_downloads_once_and_unpacks_archives(tmp_path, monkeypatch):
    commands = []

    def call(command, folder):
        commands.append(command[0])
        if command[0] == "apt-get":
            (folder / f"{command[2]}_1.0_all.deb").write_bytes(b"")
            return
        target = Path(command[-1])
        target.mkdir()
        (target / "a.sf2").write_bytes(soundfont_bytes([("Oboe C4", 22_050, np.arange(100))]))
        with zipfile.ZipFile(target / "b.pk3", "w") as archive:
            buffer = io.BytesIO()
            soundfile.write(buffer, tone(1, 16_000), 16_000, format="WAV")
            archive.writestr("music/a.wav", buffer.getvalue())

    monkeypatch.setattr(corpus_fetch, "_call", call)
    config = CorpusConfig((source("talk"), source("song"), source("more", package="talk", kind="music")))
    fetch(config, tmp_path, only=["talk", "more"])
    assert commands == ["apt-get", "dpkg-deb"]
    found = sorted(str(path.relative_to(tmp_path / "unpacked")) for path in tmp_path.glob("unpacked/**/*.wav"))
    assert found == ["talk/a.sf2.d/00000-Oboe_C4.wav", "talk/b.pk3.d/music/a.wav"]
    fetch(config, tmp_path, only=["talk"])
    assert commands == ["apt-get", "dpkg-deb"]
    (tmp_path / "song_2_all.deb").write_bytes(b"")
    fetch(config, tmp_path)
    assert commands == ["apt-get", "dpkg-deb", "dpkg-deb"]


def test_fetch_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="apt-get is not installed"):
        fetch(CorpusConfig((source("talk"),)), tmp_path / "cache")
    tool = tmp_path / "apt-get"
    tool.write_text("#!/bin/sh\necho 'E: Unable to locate package talk' >&2\nexit 100\n")
    tool.chmod(0o755)
    with pytest.raises(CorpusError, match="apt-get download talk failed: E: Unable to locate package talk"):
        fetch(CorpusConfig((source("talk"),)), tmp_path / "cache")


def test_implausible_rates_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 128_000)
    with pytest.raises(AudioError, match="sample rate of 128000 Hz"):
        probe(tmp_path / "a.wav")


def test_g722_is_decoded(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "unpacked" / "phone" / "a.g722"
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16_000, layout="mono")
        levels = (tone(1, 16_000) * 32767).astype(np.int16)
        for start in range(0, 16_000, 320):
            frame = av.AudioFrame.from_ndarray(levels[None, start : start + 320], format="s16", layout="mono")
            frame.sample_rate = 16_000
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    config = CorpusConfig((source("phone", glob=("*.g722",)),))
    manifest = prepare(config, tmp_path, out_folder=tmp_path / "out")
    samples = np.load(tmp_path / "out" / "phone.npy")
    assert manifest["shards"][0]["clips"][0][2] == 8000
    assert len(samples) == pytest.approx(48_000, abs=100)
    assert np.argmax(np.abs(np.fft.rfft(samples))) == pytest.approx(440, abs=2)
