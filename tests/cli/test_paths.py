"""Names of outputs, and what is refused before any work is done."""

import os
from pathlib import Path

import pytest

from hscodec.cli import paths
from hscodec.errors import HscodecError


@pytest.mark.parametrize("name", ["talk.wav", "talk", "talk.tar.flac"])
def test_the_default_output_stands_beside_the_input(tmp_path, name):
    chosen = paths.choose_target(tmp_path / name, target=None, output=None, suffix=".hsnd")
    assert chosen == tmp_path / f"{name.rpartition('.')[0] or name}.hsnd"


def test_an_output_may_be_given_in_either_place():
    for given in ({"target": Path("b"), "output": None}, {"target": None, "output": Path("b")}):
        assert paths.choose_target(Path("a.wav"), **given, suffix=".hsnd") == Path("b")


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_a_missing_input_is_named(fails, tmp_path, command):
    missing = tmp_path / "missing.x"
    assert fails(command, missing) == f"{missing}: no such file"


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_a_folder_is_no_input(fails, tmp_path, command):
    assert fails(command, tmp_path) == f"{tmp_path}: is a folder"


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_an_existing_output_is_refused(fails, tone_path, tmp_path, command):
    output = tmp_path / "old.bin"
    output.write_bytes(b"old")
    assert fails(command, tone_path, output) == f"{output} exists; use -f to overwrite"
    assert output.read_bytes() == b"old"


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_the_input_is_never_the_output(fails, tone_path, command):
    before = tone_path.read_bytes()
    assert "same file" in fails(command, "-f", tone_path, tone_path)
    assert tone_path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize("make_link", [os.symlink, os.link])
def test_a_link_to_the_input_is_the_input(fails, tone_path, tmp_path, make_link):
    link = tmp_path / "link.hsnd"
    make_link(tone_path, link)
    assert "same file" in fails("encode", "-f", tone_path, "-o", link)


def test_a_folder_is_no_output(fails, tone_path, tmp_path):
    (tmp_path / "folder").mkdir()
    assert fails("encode", "-f", tone_path, tmp_path / "folder") == f"{tmp_path / 'folder'}: is a folder"


def test_errors_about_standard_input_do_not_name_a_temporary_file(fails):
    line = fails("info", "-", stdin=b"not a sound")
    assert line == "standard input: not a .hsnd file"


def test_errors_keep_their_class():
    class OwnError(HscodecError):
        pass

    with pytest.raises(OwnError, match="^why$"), paths.readable(Path("a")):
        raise OwnError("why")
