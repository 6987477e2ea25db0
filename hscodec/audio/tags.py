"""Tags: title, artist and so on, between audio files and `.hsnd` files, and as a user edits them.

Keys are those of Vorbis comments. Audio files are read and written through soundfile, which knows nine of them; what a
format cannot hold, or libsndfile 1.2.2 would not read back as it was, is left out.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hscodec.errors import HscodecError

if TYPE_CHECKING:
    from soundfile import SoundFile

Tags = tuple[tuple[str, str], ...]
"""(key, value) pairs, in order. Keys are in upper case and may repeat."""

MAX_KEY_BYTES = 255
SEPARATOR = "; "
"""Stands between the values of a repeated key where a file holds one value for each key."""

_SLOTS = {
    "TITLE": "title",
    "ARTIST": "artist",
    "ALBUM": "album",
    "TRACKNUMBER": "tracknumber",
    "DATE": "date",
    "GENRE": "genre",
    "COMMENT": "comment",
    "COPYRIGHT": "copyright",
    "LICENSE": "license",
}
"""Keys and what soundfile calls them. Not `software`: it names the program that wrote that file."""
_KEY = re.compile(rf"[ -<>-~]{{1,{MAX_KEY_BYTES}}}")
"""Printable ASCII without `=`: the rule of Vorbis comments (Vorbis I specification, section 5.2.1), and `~`."""

_MAX_TEXT_BYTES = {"WAV": 2045, "WAVEX": 2045, "RF64": 2045, "AIFF": 8189}
"""A longer text hides the others from libsndfile's WAV reader; it cannot open such an AIFF file at all."""
_MAX_TOTAL_BYTES = {"CAF": 1 << 14, "OPUS": 40_000}
"""By format or subtype: libsndfile drops what is beyond in CAF, and cannot open an Opus file with more than 50 kB."""
_DEFAULT_MAX_TOTAL_BYTES = 1 << 20
_YEAR = re.compile(r"[1-9][0-9]{0,3}(?![0-9])")


def parse_tag(text: str) -> tuple[str, str]:
    """Return the pair that `KEY=VALUE` stands for; the value may be empty and may hold `=`.

    Raises:
        HscodecError: There is no `=`, or the key or the value cannot be stored.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise HscodecError(f"{_shortened(text)} is not a tag of the form KEY=VALUE")
    return _checked(key, value)


def combined(tags: Iterable[tuple[str, str]], edits: Iterable[tuple[str, str]]) -> Tags:
    """Return the tags of a source as a user edited them.

    A key that is edited loses the source's values, whatever its case, and gets the edited ones in their order; an empty
    value takes away what came before it. Other tags stay first and in their order.

    Args:
        tags: The source's.
        edits: (key, value) pairs, in the order in which they were given.

    Raises:
        HscodecError: A key has not 1 to `MAX_KEY_BYTES` printable ASCII characters other than `=`, or a value cannot be
            written as UTF-8.
    """
    checked_edits = [_checked(key, value) for key, value in edits]
    edited = {key for key, _ in checked_edits}
    result = [tag for tag in (_checked(key, value) for key, value in tags) if tag[0] not in edited]
    for key, value in checked_edits:
        if value:
            result.append((key, value))
        else:
            result = [tag for tag in result if tag[0] != key]
    return tuple(result)


def read_tags(file: "SoundFile") -> Tags:
    """Return the tags of an open file that soundfile knows, the same keys always in the same order.

    Of a repeated key libsndfile tells one value. Bytes that are not UTF-8 read as U+FFFD.
    """
    texts = ((key, str(getattr(file, slot))) for key, slot in _SLOTS.items())
    return tuple((key, text) for key, text in texts if text)


def write_tags(file: "SoundFile", tags: Iterable[tuple[str, str]]) -> None:
    """Write what the format can hold, and leave out the rest; never fails.

    Args:
        file: Open for writing, still without samples.
        tags: Values of a repeated key are joined by `SEPARATOR`.
    """
    room = _MAX_TOTAL_BYTES.get(file.subtype, _MAX_TOTAL_BYTES.get(file.format, _DEFAULT_MAX_TOTAL_BYTES))
    for key, text in _joined(tags):
        num_bytes = len(key) + len(text.encode(errors="replace")) + 2
        if num_bytes > room or not _can_hold(file.format, key, text):
            continue
        room -= num_bytes
        # soundfile's errors are RuntimeErrors: some formats have no tags, or not this one.
        with contextlib.suppress(RuntimeError):
            setattr(file, _SLOTS[key], text)


def _checked(key: str, value: str) -> tuple[str, str]:
    if not _KEY.fullmatch(key):
        rule = f"1 to {MAX_KEY_BYTES} printable ASCII characters without '='"
        raise HscodecError(f"{_shortened(key)} cannot be the key of a tag; a key has {rule}")
    if not _is_utf8(value):
        raise HscodecError(f"the value of the tag {key} cannot be written as UTF-8")
    return key.upper(), value


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _joined(tags: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    values: dict[str, list[str]] = {}
    for key, value in tags:
        if key.upper() in _SLOTS and value:
            values.setdefault(key.upper(), []).append(value)
    return ((key, SEPARATOR.join(texts)) for key, texts in values.items())


def _can_hold(file_format: str, key: str, text: str) -> bool:
    """Whether a format keeps a text, by experiment with libsndfile 1.2.2."""
    if "\0" in text or not _is_utf8(text):
        return False
    if len(text.encode()) > _MAX_TEXT_BYTES.get(file_format, _DEFAULT_MAX_TOTAL_BYTES):
        return False
    if file_format == "MP3":
        # The ID3 tag says Latin-1 but gets UTF-8; a date that starts with no year is lost without a word.
        return text.isascii() and (key != "DATE" or _YEAR.match(text) is not None)
    if file_format == "AIFF" and key == "COPYRIGHT":
        return text.isascii() and text.isprintable()
    return True


def _is_utf8(text: str) -> bool:
    """Whether text has no lone surrogates, which stand for bytes of a command line that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
