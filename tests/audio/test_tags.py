import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hscodec.audio.files import AudioReader, AudioWriter
from hscodec.audio.tags import MAX_KEY_BYTES, combined, parse_tag, read_tags, write_tags
from hscodec.errors import HscodecError

RATE_HZ = 48_000
ALL = ("TITLE", "ARTIST", "ALBUM", "TRACKNUMBER", "DATE", "GENRE", "COMMENT", "COPYRIGHT", "LICENSE")
KEPT = {
    ".wav": [key for key in ALL if key != "LICENSE"],
    ".flac": ALL,
    ".ogg": ALL,
    ".opus": ALL,
    ".mp3": [key for key in ALL if key not in ("COPYRIGHT", "LICENSE")],
    ".aiff": ["TITLE", "ARTIST", "COMMENT", "COPYRIGHT"],
    ".caf": ALL,
    ".rf64": [key for key in ALL if key != "LICENSE"],
    ".w64": [],
    ".au": [],
}
"""The table in docs/cli.md."""
SAMPLES = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 4801)).astype(np.float32)


def through(folder, extension, tags, **options):
    """Write a sound with tags, check that it is whole, and return the tags that come back."""
    path = folder / f"a{extension}"
    with AudioWriter(path, RATE_HZ, num_channels=1, tags=tags, overwrite=True, **options) as writer:
        writer.write(SAMPLES)
    with AudioReader(path) as reader:
        assert sum(block.shape[1] for block in reader.blocks()) == SAMPLES.shape[1]
        return reader.tags


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tags")


@pytest.mark.parametrize("extension", KEPT)
def test_each_format_keeps_what_the_documentation_says(folder, extension):
    values = {"TRACKNUMBER": "3/12", "DATE": "2024", "GENRE": "Jazz"}
    tags = tuple((key, values.get(key, f"the {key.lower()}")) for key in ALL)
    assert through(folder, extension, tags) == tuple(tag for tag in tags if tag[0] in KEPT[extension])


@pytest.mark.parametrize("extension", KEPT)
def test_no_tags_are_no_tags(folder, extension):
    assert through(folder, extension, ()) == ()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("text", ["a", "ab", "abc", "abcd"])
def test_odd_lengths_do_not_shift_the_sound(folder, subtype, text):
    """RIFF chunks have even lengths: both the text and 4,801 samples of 8 or 24 bits need a byte of padding."""
    assert through(folder, ".wav", [("TITLE", text), ("ARTIST", "x")], subtype=subtype) == (
        ("TITLE", text),
        ("ARTIST", "x"),
    )


def test_free_tags_and_software_are_skipped(folder):
    tags = [("SOFTWARE", "theirs"), ("ENCODER", "theirs"), ("MOOD", "calm"), ("title", "x")]
    assert through(folder, ".flac", tags) == (("TITLE", "x"),)


def test_repeated_keys_are_joined(folder):
    tags = [("ARTIST", "A"), ("TITLE", "T"), ("artist", "B"), ("ARTIST", "")]
    assert through(folder, ".flac", tags) == (("TITLE", "T"), ("ARTIST", "A; B"))


HOSTILE = [
    "",
    "ab\0cd",
    "\0",
    "a\x01b\nc\r\nd\te\x7f",
    "\x1b[31mred",
    "Käse 音楽 \N{MUSICAL KEYBOARD}",
    "\N{COPYRIGHT SIGN} 2024",
    "\ufeffmark",
    "line\u2028separator",
    "  spaces  ",
    "lone \udc80 surrogate",
    "=;%s%n",
    *("x" * length for length in (2044, 2045, 2046, 2047, 8189, 8190, 16_000, 30_000, 70_000, 2_000_000)),
    "音" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{len(text)}-{ascii(text[:12])}")
@pytest.mark.parametrize("extension", KEPT)
def test_hostile_text_comes_back_as_it_is_or_not_at_all(folder, extension, text):
    for key in ("TITLE", "COPYRIGHT", "COMMENT"):
        assert through(folder, extension, [(key, text)]) in ((), ((key, text),))
    others = dict(through(folder, extension, [("TITLE", "before"), ("COMMENT", text), ("ARTIST", "behind")]))
    if "TITLE" in KEPT[extension]:
        assert (others["TITLE"], others["ARTIST"]) == ("before", "behind")


@pytest.mark.parametrize("extension", [extension for extension in KEPT if extension not in (".mp3", ".w64", ".au")])
def test_any_language_is_kept(folder, extension):
    text = "Käse 音楽 \N{MUSICAL KEYBOARD}\nnext line"
    assert through(folder, extension, [("TITLE", text)]) == (("TITLE", text),)


@pytest.mark.parametrize(
    "date", ["2024", "2024-03-01", "1999 or so", "12", "0", "unknown", "99999", "20240301", "0099"]
)
def test_dates_in_mp3_keep_at_least_the_year(folder, date):
    tags = dict(through(folder, ".mp3", [("DATE", date)]))
    assert date.startswith(tags.get("DATE", ""))
    assert ("DATE" in tags) == (date in ("2024", "2024-03-01", "1999 or so", "12"))


@pytest.mark.parametrize("extension", KEPT)
@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.sampled_from(ALL), st.tuples(st.text(min_size=1, max_size=9), st.integers(1, 3000))))
def test_tags_never_harm_the_sound(folder, extension, texts):
    through(folder, extension, [(key, text * count) for key, (text, count) in texts.items()])


@pytest.mark.parametrize("extension", [".aiff", ".caf", ".opus", ".wav"])
def test_all_slots_full_of_long_text(folder, extension):
    limit = {".aiff": 8189, ".wav": 2045}.get(extension, 4000)
    tags = tuple((key, key[0] * limit) for key in ALL)
    kept = through(folder, extension, tags)
    assert set(kept) <= set(tags)
    assert len(kept) >= 4


def test_formats_that_the_codec_does_not_write_are_no_trouble():
    with soundfile.SoundFile(io.BytesIO(), "w", RATE_HZ, 1, format="VOC", subtype="PCM_16") as file:
        write_tags(file, [("TITLE", "x")])
        file.write(SAMPLES[0])


def test_latin_1_reads_as_replacement_characters(folder):
    path = folder / "latin.wav"
    soundfile.write(path, SAMPLES[0], RATE_HZ)
    data = path.read_bytes()
    info = b"INFOINAM\x05\0\0\0K\xe4se\0\0"
    data += b"LIST" + len(info).to_bytes(4, "little") + info
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    with soundfile.SoundFile(path) as file:
        assert read_tags(file) == (("TITLE", "K\ufffdse"),)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.wav", {"subtype": "PCM_24"}, "WAV PCM_24"),
        ("a.flac", {}, "FLAC PCM_16"),
        ("a.ogg", {}, "OGG VORBIS"),
        ("a.opus", {}, "OGG OPUS"),
        ("a.mp3", {}, "MP3 MPEG_LAYER_III"),
    ],
)
def test_source_format(tmp_path, name, options, expected):
    with AudioWriter(tmp_path / name, RATE_HZ, num_channels=1, **options) as writer:
        writer.write(SAMPLES)
    with AudioReader(tmp_path / name) as reader:
        assert reader.source_format == expected


KEYS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="="), min_size=1, max_size=5)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
PAIRS = st.lists(st.tuples(st.sampled_from(["A", "a", "B", "C", "c", "Title"]) | KEYS, VALUES), max_size=8)


@given(PAIRS, PAIRS)
def test_combination(tags, edits):
    result = combined(tags, edits)
    edited = {key.upper() for key, _ in edits}
    kept = [(key.upper(), value) for key, value in tags if key.upper() not in edited]
    assert list(result[: len(kept)]) == kept
    assert all(value and key in edited for key, value in result[len(kept) :])
    for key in edited:
        given_values = [value for other, value in edits if other.upper() == key]
        last_empty = max((index for index, value in enumerate(given_values) if not value), default=-1)
        assert [value for other, value in result if other == key] == given_values[last_empty + 1 :]
    assert combined(result, ()) == result
    assert combined(tags, edits) == combined(combined(tags, edits), edits)


@given(PAIRS)
def test_without_edits_only_the_case_of_keys_changes(tags):
    assert combined(tags, ()) == tuple((key.upper(), value) for key, value in tags)


def test_combination_examples():
    source = (("TITLE", "old"), ("ARTIST", "A"), ("ARTIST", "B"), ("DATE", "1999"))
    assert combined(source, [("title", "new")]) == (*source[1:], ("TITLE", "new"))
    assert combined(source, [("Artist", "C"), ("artist", "D")]) == (
        source[0],
        source[3],
        ("ARTIST", "C"),
        ("ARTIST", "D"),
    )
    assert combined(source, [("ARTIST", "")]) == (source[0], source[3])
    assert combined(source, [("MISSING", "")]) == source
    assert combined((), [("MOOD", "calm")]) == (("MOOD", "calm"),)


@given(KEYS, VALUES)
@example("KEY", "a=b=c")
@example("K" * MAX_KEY_BYTES, "")
def test_parse(key, value):
    assert parse_tag(f"{key}={value}") == (key.upper(), value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TITLE", "'TITLE' is not a tag of the form KEY=VALUE"),
        ("", "'' is not a tag"),
        ("=value", "'' cannot be the key of a tag"),
        ("TÏTLE=x", "printable ASCII"),
        ("TIT\nLE=x", r"'TIT\\nLE' cannot be the key"),
        ("TITLE\0=x", "cannot be the key"),
        ("K" * (MAX_KEY_BYTES + 1) + "=x", "1 to 255 printable"),
        ("TITLE=lone \udc80", "the value of the tag TITLE cannot be written as UTF-8"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(HscodecError, match=message) as caught:
        parse_tag(text)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("pair", [("", "x"), ("A=B", "x"), ("Ä", "x"), ("A", "\ud800")])
def test_combination_refuses_what_cannot_be_stored(pair):
    with pytest.raises(HscodecError):
        combined((), [pair])


def test_editing_tags_does_not_load_soundfile():
    code = "import sys, hscodec.audio.tags; sys.exit(bool({'soundfile', 'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
