"""A packed corpus comes back as it was; nothing is overwritten, and nothing done twice."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hscodec.errors import CorpusError
from hscodec.training import corpus_contents, corpus_parts, corpus_unpack
from hscodec.training.corpus_pack import MIN_PART_BYTES, pack
from hscodec.training.corpus_parts import list_parts, part_name
from hscodec.training.corpus_pieces import (
    CODECS,
    MAX_PIECE_SAMPLES,
    decode_piece,
    encode_piece,
    max_piece_bytes,
    samples_that_fit,
)
from hscodec.training.corpus_unpack import JOURNAL_FILE, unpack
from hscodec.training.data import CropSampler, load_shards

PART_BYTES = 200_000
RATE = 48_000


def read_manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_bytes())


def member_names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def tone(num_samples: int, *, swell: bool = True) -> np.ndarray:
    time = np.arange(num_samples) / RATE
    level = np.sin(2 * np.pi * time) ** 2 if swell else 1
    return (10_000 * level * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


def snr_db(samples: np.ndarray, decoded: np.ndarray) -> float:
    error = decoded.astype(float) - samples
    return float(10 * np.log10(np.mean(samples.astype(float) ** 2) / np.mean(error**2)))


# Round trips


def test_flac_comes_back_exactly(corpus, packed, tmp_path):
    manifest = unpack(packed, tmp_path / "out")
    expected = [entry for entry in read_manifest(corpus)["shards"] if entry["role"] == "train"]
    assert manifest["shards"] == expected
    assert read_manifest(tmp_path / "out") == manifest
    for entry in expected:
        name = f"{entry['name']}.npy"
        assert (tmp_path / "out" / name).read_bytes() == (corpus / name).read_bytes()


def test_training_draws_the_same_from_it(corpus, packed, tmp_path):
    unpack(packed, tmp_path)
    first, second = (
        CropSampler(load_shards(folder), batch_size=3, crop_samples=9600, kind_weights={"speech": 1, "music": 1}).draw()
        for folder in (corpus, tmp_path)
    )
    np.testing.assert_array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(first.num_weights, second.num_weights)


def test_evaluation_stays_behind(packed, tmp_path):
    unpack(packed, tmp_path)
    assert not (tmp_path / "held.npy").exists()
    assert not any("held" in name for path in list_parts(packed).values() for name in member_names(path))


def test_opus_keeps_length_and_place_and_is_close(write_corpus, tmp_path):
    folder = write_corpus(tmp_path / "corpus", {"name": "talk", "seconds": 2.00001})
    samples = tone(len(np.load(folder / "talk.npy")))
    np.save(folder / "talk.npy", samples)
    manifest = read_manifest(folder)
    manifest["shards"][0]["sha256"] = "of the original"
    (folder / "manifest.json").write_text(json.dumps(manifest))

    pack(folder, tmp_path / "parts", part_bytes=MIN_PART_BYTES, codec="opus")
    unpacked = unpack(tmp_path / "parts", tmp_path / "out")
    (shard,) = load_shards(tmp_path / "out")
    assert len(shard.samples) == len(samples)
    assert snr_db(samples, shard.samples) > 35
    assert "sha256" not in unpacked["shards"][0]


def test_joints_of_opus_pieces_are_as_good_as_the_rest():
    length, step = 10 * 16_000, 16_000
    samples = tone(length, swell=False)
    pieces = [encode_piece(samples, start, start + step, "opus") for start in range(0, length, step)]
    decoded = np.concatenate([decode_piece(data, "opus", num_samples=step) for data in pieces])
    places = np.arange(length) % step
    assert snr_db(samples, decoded) > 35
    for at_joint in (places < 48, places >= step - 48):
        at_joint[:48] = at_joint[-48:] = False  # beyond the ends of the shard there is silence
        assert snr_db(samples[at_joint], decoded[at_joint]) > 30


def test_opus_does_not_wrap_around_at_full_scale():
    samples = (32767 * np.sign(np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE))).astype(np.int16)
    decoded = decode_piece(encode_piece(samples, 0, RATE, "opus"), "opus", num_samples=RATE)
    middle = np.arange(40, RATE, 80)  # of each half wave
    assert np.abs(decoded[middle].astype(int) - samples[middle]).max() < 16_384


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("num_samples", [1, 959, 16_001])
def test_pieces_have_any_length_and_a_bounded_size(codec, num_samples):
    samples = np.random.default_rng(0).integers(-32768, 32768, num_samples).astype(np.int16)
    data = encode_piece(samples, 0, num_samples, codec)
    assert len(data) <= max_piece_bytes(num_samples)
    assert len(decode_piece(data, codec, num_samples=num_samples)) == num_samples
    with pytest.raises(CorpusError, match="samples of"):
        decode_piece(data, codec, num_samples=num_samples + 1)


def test_the_size_of_pieces_follows_that_of_parts():
    assert samples_that_fit(1 << 30) == MAX_PIECE_SAMPLES
    assert samples_that_fit(MIN_PART_BYTES // 2) >= corpus_contents.MIN_PIECE_SAMPLES
    assert max_piece_bytes(samples_that_fit(100_000)) <= 100_000


# Parts


@pytest.mark.parametrize("part_bytes", [MIN_PART_BYTES, PART_BYTES, 1 << 20])
@pytest.mark.parametrize("codec", CODECS)
def test_no_part_is_larger_than_it_may_be(corpus, tmp_path, part_bytes, codec):
    result = pack(corpus, tmp_path, part_bytes=part_bytes, codec=codec)
    sizes = [path.stat().st_size for path in list_parts(tmp_path).values()]
    assert max(sizes) <= part_bytes
    assert (result.num_parts, result.num_bytes) == (len(sizes), sum(sizes))
    assert all(size > part_bytes / 2 for size in sizes[1:-1])
    assert sorted(path.name for path in tmp_path.iterdir()) == [part_name(index) for index in range(len(sizes))]


def test_a_part_holds_only_so_many_pieces(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_parts, "MAX_PIECES_PER_PART", 2)
    result = pack(corpus, tmp_path / "parts", part_bytes=1 << 20)
    assert result.num_parts > 2
    unpack(tmp_path / "parts", tmp_path / "out")


def test_any_zip_program_reads_a_part(packed):
    with zipfile.ZipFile(packed / part_name(1)) as archive:
        assert archive.testzip() is None
        assert all(info.external_attr >> 16 == 0o644 for info in archive.infolist())


def test_parts_are_not_overwritten_unless_told(corpus, parts):
    before = {path.name: path.read_bytes() for path in parts.iterdir()}
    with pytest.raises(CorpusError, match="holds parts already.*-f"):
        pack(corpus, parts, part_bytes=PART_BYTES)
    assert {path.name: path.read_bytes() for path in parts.iterdir()} == before
    pack(corpus, parts, part_bytes=1 << 20, overwrite=True)
    assert 0 < len(list_parts(parts)) < len(before)


def test_packing_that_fails_leaves_no_pack(corpus, tmp_path):
    def stop(name: str, done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(corpus, tmp_path / "parts", part_bytes=PART_BYTES, progress=stop)
    assert 0 not in list_parts(tmp_path / "parts")
    assert not list((tmp_path / "parts").glob(".*"))
    with pytest.raises(CorpusError, match=r"part-000\.zip is missing"):
        unpack(tmp_path / "parts", tmp_path / "out")


def test_what_cannot_be_packed(corpus, write_corpus, tmp_path):
    def fails(folder: Path, message: str, **options: int) -> None:
        with pytest.raises(CorpusError, match=message):
            pack(folder, tmp_path / "parts", **({"part_bytes": PART_BYTES} | options))
        assert not (tmp_path / "parts").exists()

    fails(corpus, "parts of 1 bytes", part_bytes=1)
    fails(tmp_path, "manifest")
    fails(write_corpus(tmp_path / "held", {"name": "held", "role": "eval"}), "no training shards")
    folder = write_corpus(tmp_path / "damaged", {"name": "talk"})
    np.save(folder / "talk.npy", np.zeros(5, np.int16))
    fails(folder, "talk.npy: not 144000 samples")
    (folder / "talk.npy").unlink()
    fails(folder, "talk.npy: cannot be read")
    folder = write_corpus(tmp_path / "many", {"name": "talk", "clips": [[0, 144_000, 8000]] * 20_000})
    fails(folder, "parts of 0.19 MiB are too small")


# Unpacking again


def test_unpacking_twice_writes_nothing(packed, tmp_path):
    unpack(packed, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    unpack(packed, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("where", ["inside a shard", "before the note", "before the manifest"])
def test_an_interrupted_run_goes_on(packed, tmp_path, monkeypatch, where):
    def stop(*arguments: object) -> None:
        if where == "before the note" or arguments[0] == "song":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if where == "before the note":
            original = corpus_unpack._write_journal
            patch.setattr(
                corpus_unpack, "_write_journal", lambda *given: stop() if given[1].shards else original(*given)
            )
        if where == "before the manifest":
            patch.setattr(corpus_unpack, "_write_shards", lambda *given: stop("song"))
        unpack(packed, tmp_path, progress=stop if where == "inside a shard" else None)
    assert not (tmp_path / "manifest.json").exists()
    assert not list(tmp_path.glob(".*"))
    finished = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert set(finished) == (set() if where == "before the manifest" else {"talk.npy"})
    unpack(packed, tmp_path)
    assert len(load_shards(tmp_path)) == 3
    if where == "inside a shard":
        assert (tmp_path / "talk.npy").stat().st_mtime_ns == finished["talk.npy"]


def test_files_of_another_corpus_stay(packed, write_corpus, tmp_path):
    other = write_corpus(tmp_path / "other", {"name": "else"})
    with pytest.raises(CorpusError, match=r"manifest\.json is of another corpus; use -f"):
        unpack(packed, other)
    assert [shard.name for shard in load_shards(other)] == ["else"]
    unpack(packed, other, overwrite=True)
    assert [shard.name for shard in load_shards(other)] == ["talk", "song", "bang"]

    folder = tmp_path / "without-manifest"
    folder.mkdir()
    np.save(folder / "song.npy", np.zeros(5, np.int16))
    with pytest.raises(CorpusError, match=r"song\.npy is not of this pack; use -f"):
        unpack(packed, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["song.npy"]


def test_a_shard_that_was_changed_stays(packed, tmp_path):
    unpack(packed, tmp_path)
    np.save(tmp_path / "song.npy", np.zeros(3 * RATE, np.int16))
    with pytest.raises(CorpusError, match=r"song\.npy was changed since it was unpacked; use -f"):
        unpack(packed, tmp_path)
    assert not np.load(tmp_path / "song.npy").any()
    unpack(packed, tmp_path, overwrite=True)
    assert np.load(tmp_path / "song.npy").any()


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b'{"pack_id": 3}', b"\xff"])
def test_a_damaged_journal_is_none(packed, tmp_path, content):
    (tmp_path / JOURNAL_FILE).write_bytes(content)
    unpack(packed, tmp_path)
    assert len(load_shards(tmp_path)) == 3


def test_a_full_disk_is_said_before(packed, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(corpus_unpack.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CorpusError, match=r"0\.00 GB are needed"):
        unpack(packed, tmp_path)
