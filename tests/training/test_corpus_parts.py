"""Parts that are missing, damaged, mixed up or meant to do harm: an error names the part, and nothing is written."""

import json
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hscodec.errors import CorpusError
from hscodec.training import corpus_contents, corpus_parts, corpus_unpack
from hscodec.training.corpus_contents import parse_contents, parse_manifest
from hscodec.training.corpus_pack import pack
from hscodec.training.corpus_parts import list_parts, open_part, part_name
from hscodec.training.corpus_pieces import MAX_PIECE_SAMPLES, encode_piece
from hscodec.training.corpus_unpack import unpack

PART_BYTES = 200_000


def write_zip(path: Path, members: dict[str, bytes], **options: int) -> None:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, options.get("compression"))


def read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def change_json(path: Path, member: str, **changes: object) -> None:
    """Replace keys of a JSON member."""
    members = read_zip(path)
    members[member] = json.dumps(json.loads(members[member]) | changes).encode()
    write_zip(path, members)


def flip(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :]


@pytest.fixture
def refused(parts, tmp_path):
    """Unpack, expect a failure that leaves nothing behind, and return the message without the folder."""

    def invoke() -> str:
        out = tmp_path / "refused"
        with pytest.raises(CorpusError) as error:
            unpack(parts, out)
        assert not out.exists()
        return str(error.value).removeprefix(f"{parts}/")

    return invoke


# Accidents


def test_missing_parts_are_named(parts, refused, monkeypatch):
    count = len(list_parts(parts))
    for index in (2, 3):
        (parts / part_name(index)).unlink()
    assert refused() == f"{parts}: part-002.zip, part-003.zip are missing; the pack has {count} parts"
    with monkeypatch.context() as patch:
        patch.setattr(corpus_unpack, "_MAX_NAMED", 1)
        assert "part-002.zip and 1 more are missing" in refused()
    (parts / part_name(0)).unlink()
    assert refused().startswith("part-000.zip is missing")
    shutil.rmtree(parts)
    assert refused().startswith("part-000.zip is missing")


def test_every_damaged_byte_is_noticed(parts, tmp_path):
    path = parts / part_name(1)
    content = path.read_bytes()
    for position in np.linspace(0, len(content) - 1, 40).astype(int):
        path.write_bytes(flip(content, position))
        with pytest.raises(CorpusError, match=r"part-001\.zip"):
            unpack(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_damaged_byte_of_the_first_part_is_noticed_or_means_nothing(parts, tmp_path):
    path = parts / part_name(0)
    content = path.read_bytes()
    members = read_zip(path)
    num_noticed = 0
    positions = range(0, len(content), 7)
    for position in positions:
        path.write_bytes(flip(content, position))
        try:
            with open_part(path) as part:
                assert {name: part.read(name) for name in members} == members
        except CorpusError as error:
            assert str(error).startswith(f"{path}: ")
            num_noticed += 1
    assert num_noticed > 0.9 * len(positions)  # what remains are dates and the like


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("size", [0, 1, 21, 1000, -1])
def test_a_cut_part_is_named(parts, refused, index, size):
    path = parts / part_name(index)
    path.write_bytes(path.read_bytes()[:size])
    assert refused().startswith(f"{path.name}: damaged")


def test_bytes_in_front_or_behind_are_damage(parts, refused):
    path = parts / part_name(2)
    content = path.read_bytes()
    for changed in (b"x" + content, content + b"x", content[:-2] + b"\1\0x"):
        path.write_bytes(changed)
        assert refused().startswith("part-002.zip: damaged")


def test_parts_of_another_pack_are_named(corpus, parts, refused, tmp_path):
    pack(corpus, tmp_path / "again", part_bytes=PART_BYTES)
    shutil.copy(tmp_path / "again" / part_name(2), parts)
    assert refused() == "part-002.zip: is a part of another pack"


def test_exchanged_parts_are_named(parts, refused):
    first, second = parts / part_name(1), parts / part_name(2)
    content = first.read_bytes()
    second.rename(first)
    second.write_bytes(content)
    assert refused() == "part-001.zip: is part 2 of this pack under a wrong name"


def test_parts_too_many_are_named(parts, refused):
    count = len(list_parts(parts))
    shutil.copy(parts / part_name(1), parts / part_name(count))
    assert refused() == f"{parts}: {part_name(count)} is not of this pack, which has {count} parts"


# Malice


def hostile_names() -> list[str]:
    return ["../evil", "/tmp/evil", "..", "a/b", "a\\b", "", ".hidden", "-f", "a\0b", "ä", "a" * 101, "a\n"]


@pytest.mark.parametrize("name", hostile_names())
def test_names_of_shards_cannot_leave_the_folder(parts, refused, name):
    manifest = json.loads(read_zip(parts / part_name(0))["manifest.json"])
    entry = manifest["shards"][0]
    change_json(parts / part_name(0), "manifest.json", shards=[entry | {"name": name}])
    assert "cannot be named" in refused()
    change_json(parts / part_name(0), "manifest.json", shards=[entry | {"file": f"{name}.npy"}])
    assert "file is missing or wrong" in refused()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "talk/../../evil.flac", "evil\0.flac"])
@pytest.mark.parametrize("index", [0, 1])
def test_stray_members_are_refused_and_not_written(parts, refused, tmp_path, name, index):
    path = parts / part_name(index)
    write_zip(path, read_zip(path) | {name: b"evil"})
    if index:
        content = json.loads(read_zip(parts / part_name(0))["contents.json"])
        entry = {"num_bytes": path.stat().st_size, "sha256": corpus_unpack.file_sha256(path)}
        content["parts"][index - 1] |= entry
        change_json(parts / part_name(0), "contents.json", parts=content["parts"])
    message = refused()
    assert message.startswith(f"{path.name}: holds ")
    assert not list(tmp_path.rglob("*evil*"))


def test_a_piece_that_announces_much_is_not_decoded(parts, tmp_path):
    """A part with an honest digest, whose piece is a minute of silence instead of what the table says."""
    path = parts / part_name(1)
    members = read_zip(path)
    victim = next(name for name in members if name.endswith(".flac"))
    members[victim] = encode_piece(np.zeros(MAX_PIECE_SAMPLES, np.int16), 0, MAX_PIECE_SAMPLES, "flac")
    write_zip(path, members)
    content = json.loads(read_zip(parts / part_name(0))["contents.json"])
    content["parts"][0] |= {"num_bytes": path.stat().st_size, "sha256": corpus_unpack.file_sha256(path)}
    change_json(parts / part_name(0), "contents.json", parts=content["parts"])
    with pytest.raises(CorpusError, match=rf"part-001\.zip/{victim}: not \d+ samples of flac"):
        unpack(parts, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.npy"))


def test_samples_that_are_not_those_that_were_packed(parts, tmp_path):
    digests = json.loads(read_zip(parts / part_name(0))["contents.json"])["pcm_sha256"]
    change_json(parts / part_name(0), "contents.json", pcm_sha256=digests | {"song": "0" * 64})
    with pytest.raises(CorpusError, match="the samples of song are not those that were packed"):
        unpack(parts, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.npy")] == ["talk.npy"]


def test_compressed_members_are_refused(parts, refused):
    path = parts / part_name(0)
    members = read_zip(path) | {"manifest.json": b" " * (100 << 20)}
    write_zip(path, members, compression=zipfile.ZIP_DEFLATED)
    assert refused() == "part-000.zip: damaged, or not a part: a member is compressed"


def test_members_that_are_there_twice_are_refused(parts, refused):
    with warnings.catch_warnings(), zipfile.ZipFile(parts / part_name(0), "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("manifest.json", b"{}")
    assert "twice" in refused()


def test_large_tables_and_parts_are_refused(parts, refused, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(corpus_unpack, "MAX_TABLE_BYTES", 100)
        assert refused().startswith("part-000.zip: contents.json has ")
    with monkeypatch.context() as patch:
        patch.setattr(corpus_parts, "_MAX_DIRECTORY_BYTES", 10)
        assert "directory" in refused()
    monkeypatch.setattr(corpus_parts, "MAX_PART_BYTES", 100)
    assert refused().startswith("part-000.zip: damaged, or not a part: ")


def test_a_zip64_record_cannot_move_the_directory(parts, refused):
    """The directory's last entry gets a comment that ends like a zip64 locator."""
    path = parts / part_name(0)
    members = read_zip(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.comment = b"PK\x06\x07" + bytes(16)
            archive.writestr(info, data)
    assert "its end is missing" in refused()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "something"),
        ("version", 2),
        ("codec", "mp3"),
        ("piece_samples", 1),
        ("piece_samples", 1 << 40),
        ("pcm_sha256", {}),
        ("parts", []),
        ("parts", [{"num_bytes": 1, "sha256": "0" * 64, "num_pieces": 1 << 40}]),
        ("parts", [{"num_bytes": 1, "sha256": "none", "num_pieces": 1}]),
        ("parts", "x" * 1_000_000),
        ("unknown", 1),
    ],
)
def test_impossible_tables_of_contents_are_refused(parts, refused, key, value):
    change_json(parts / part_name(0), "contents.json", **{key: value})
    message = refused()
    assert message.startswith("part-000.zip: ")
    assert len(message) < 500


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("role", "eval"),
        ("kind", "noise"),
        ("kind", ["speech"]),
        ("num_samples", 0),
        ("num_samples", -1),
        ("num_samples", 1 << 60),
        ("num_samples", True),
        ("num_samples", 1.5),
        ("clips", []),
        ("clips", None),
        ("clips", [[0, 10]]),
        ("clips", [[0, 10, "8000"]]),
        ("clips", [[10, 10, 8000]]),
        ("clips", [[0, 10, 1e9]]),
        ("clips", [[0, 10, float("nan")]]),
    ],
)
def test_impossible_shards_are_refused(packed, key, value):
    manifest = json.loads(read_zip(packed / part_name(0))["manifest.json"])
    manifest["shards"][0][key] = value
    with pytest.raises(CorpusError, match=f"talk of the manifest: {key}"):
        parse_manifest(json.dumps(manifest).encode())


def test_impossible_manifests_are_refused(packed, monkeypatch):
    manifest = json.loads(read_zip(packed / part_name(0))["manifest.json"])
    twin = manifest["shards"][0] | {"name": "TALK"}
    changes = (
        {"version": 2},
        {"sample_rate": 44_100},
        {"shards": []},
        {"shards": {}},
        {"shards": [[]]},
        {"shards": [*manifest["shards"], twin]},
    )
    for change in changes:
        with pytest.raises(CorpusError):
            parse_manifest(json.dumps(manifest | change).encode())
    for data in (b"", b"[]", b"[" * 100_000, b"\xff", b"9" * 10_000):
        with pytest.raises(CorpusError):
            parse_manifest(data)
        with pytest.raises(CorpusError):
            parse_contents(data)
    monkeypatch.setattr(corpus_contents, "MAX_CORPUS_SAMPLES", 400_000)
    with pytest.raises(CorpusError, match="hours"):
        parse_manifest(json.dumps(manifest).encode())


def test_a_stamp_that_says_nothing_is_damage(parts, refused):
    path = parts / part_name(1)
    for stamp in (b"", b"[]", b"3", b"[" * 1000):
        write_zip(path, read_zip(path) | {"part.json": stamp})
        assert refused() == "part-001.zip: damaged, or not a part: part.json cannot be read"
    write_zip(path, read_zip(path) | {"part.json": b" " * 2000})
    assert refused() == "part-001.zip: part.json has 2000 bytes"


def test_members_are_looked_for(packed):
    with open_part(packed / part_name(1)) as part:
        with pytest.raises(CorpusError, match="nothing is missing"):
            part.read("nothing")
        with pytest.raises(CorpusError, match="nothing is missing"):
            part.require(["nothing", *read_zip(part.path)])
