"""`docs/format.md` is normative: its tables, caps and hex dump agree with the code."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from hscodec.coding import attacks, bandwidth, coupling, layered, rotations
from hscodec.container import ContainerReader, network
from hscodec.container import format as fmt

TEXT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
STRUCT_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "f32": "f"}
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "f32": 4}
ROW = re.compile(r"^\| (\d+) \| (\d+) \| (\w+) \| (\w+) \| (.+) \|$")


def byte_tables() -> list[list[tuple[int, int, str, str, str]]]:
    """Return the rows (offset, size, type, name, meaning) of each byte table, in the order of the page."""
    tables = []
    for line in TEXT.splitlines():
        if line.startswith("| offset | size | type | name | meaning |"):
            tables.append([])
        elif match := ROW.match(line):
            offset, size, kind, name, meaning = match.groups()
            tables[-1].append((int(offset), int(size), kind, name, meaning))
    return tables


STRUCTS = {
    "file header": fmt.HEADER.format,
    "tag": fmt.TAG.format,
    "network record": network.NETWORK.format,
    "header checksum": fmt.CHECKSUM.format,
    "chunk header": fmt.CHUNK_HEADER.format,
    "chunk checksum": fmt.CHECKSUM.format,
    "trailer marker": f"<{len(fmt.TRAILER_MARKER)}s",
    "index entry": fmt.INDEX_ENTRY.format,
    "counts": fmt.TRAILER_COUNTS.format,
    "end": fmt.TRAILER_END.format,
    "number of couplings": coupling.COUNT.format,
    "coupling": coupling.COUPLING.format,
    "number of attacks": attacks.COUNT.format,
    "attack": attacks.ATTACK.format,
    "rotation": rotations.ROTATION.format,
    "bandwidth": bandwidth.BANDWIDTH.format,
    "layered symbols": layered.HEAD.format,
    "group of symbols": layered.GROUP.format,
}


def test_there_is_one_table_for_each_struct():
    assert len(byte_tables()) == len(STRUCTS)


@pytest.mark.parametrize("index", range(len(STRUCTS)), ids=list(STRUCTS))
def test_byte_tables_match_the_structs(index):
    table, layout = byte_tables()[index], list(STRUCTS.values())[index]
    position = 0
    codes = "<"
    for offset, size, kind, _, _ in table:
        assert offset == position
        assert kind == "bytes" or size == SIZES[kind]
        codes += f"{size}s" if kind == "bytes" else STRUCT_CODES[kind]
        position += size
    assert codes == layout


def test_chunk_flags_match_the_code():
    meanings = [row[4] for table in byte_tables() for row in table if row[3] == "flags"]
    bits = [1 << int(bit) for bit in re.findall(r"[Bb]it (\d):", meanings[1])]
    known = [fmt.CHUNK_FLAG_LAST, fmt.CHUNK_FLAG_ATTACKS, fmt.CHUNK_FLAG_ROTATIONS, fmt.CHUNK_FLAG_BANDWIDTH]
    assert bits == known


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("magic", fmt.MAGIC),
        ("marker", fmt.CHUNK_MARKER),
        ("marker", fmt.TRAILER_MARKER),
        ("end_marker", fmt.END_MARKER),
    ],
)
def test_documented_magic_and_markers(name, value):
    meanings = [row[4] for table in byte_tables() for row in table if row[3] == name]
    assert any(f"`{value.hex(' ').upper()}`" in meaning for meaning in meanings)


def test_caps_match_the_code():
    documented = {name: int(value) for name, value in re.findall(r"^\| `(MAX_\w+)` \| (\d+) \|", TEXT, re.MULTILINE)}
    assert documented == {name: value for name, value in vars(fmt).items() if name.startswith("MAX_")}


def test_the_snippet_prints_the_hex_dump():
    snippet, dump = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet, {})
    assert printed.getvalue() == dump


def test_the_hex_dump_is_the_smallest_file():
    dump = re.search(r"```text\n(0000 .*?)```", TEXT, re.DOTALL).group(1)
    data = bytes.fromhex("".join(line[6:] for line in dump.splitlines()))
    assert len(data) == 96
    reader = ContainerReader(io.BytesIO(data))
    assert not reader.index_was_rebuilt
    assert (reader.num_samples, reader.chunks) == (0, [])


def test_the_version_log_has_this_version():
    assert f"* **{fmt.VERSION_MAJOR}.{fmt.VERSION_MINOR}**" in TEXT
