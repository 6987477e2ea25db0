import os
import stat

import pytest

from hscodec.atomic import atomic_path, atomic_writer
from hscodec.errors import HscodecError


def test_file_appears_only_at_the_end(tmp_path):
    path = tmp_path / "out.bin"
    with atomic_writer(path) as file:
        file.write(b"abc")
        assert not path.exists()
        file.seek(0)
        assert file.read() == b"abc"
    assert path.read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_an_exception_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="boom"), atomic_writer(path, overwrite=True) as file:
        file.write(b"half")
        raise RuntimeError("boom")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_existing_file_needs_overwrite(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(HscodecError, match="out.bin exists; use -f to overwrite"), atomic_writer(path):
        pass
    with atomic_writer(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "out.bin"
    with pytest.raises(HscodecError, match="exists"), atomic_writer(path):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"


@pytest.mark.parametrize("name", ["missing/out.bin", ""])
def test_impossible_places(tmp_path, name):
    with pytest.raises(HscodecError), atomic_path(tmp_path / name):
        pass


def test_permissions_follow_the_umask(tmp_path):
    with atomic_path(tmp_path / "out.bin"):
        pass
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == 0o666 & ~umask


def test_link_is_followed(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to("real.bin")
    with atomic_writer(tmp_path / "link.bin", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real.bin").read_bytes() == b"new"


def test_device_is_written_to_and_not_replaced():
    with atomic_writer(os.devnull) as file:
        file.write(b"abc")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
