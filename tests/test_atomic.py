import errno
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from hscodec.atomic import atomic_path, atomic_writer, check_output
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


def test_temporary_file_is_hidden_and_recognisable(tmp_path):
    with atomic_path(tmp_path / "sound.hsnd") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".sound.hsnd.")
        assert temporary.suffix == ".part"


@pytest.mark.parametrize("name", ["a" * 255, "音" * 85, "\N{MUSICAL KEYBOARD}" * 63, os.fsdecode(b"\xff" * 255)])
def test_longest_names_can_be_written(tmp_path, name):
    with atomic_writer(tmp_path / name) as file:
        file.write(b"abc")
    assert os.listdir(tmp_path) == [name]


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


@pytest.mark.parametrize("has_links", [True, False])
def test_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr("os.link", _failing_with(errno.EPERM))
    path = tmp_path / "out.bin"
    with pytest.raises(HscodecError, match="exists"), atomic_writer(path):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", _failing_with(errno.EPERM))
    with atomic_writer(tmp_path / "out.bin") as file:
        file.write(b"abc")
    assert (tmp_path / "out.bin").read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["out.bin"]


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


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_permissions_of_a_replaced_file_stay(tmp_path, mode):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    path.chmod(mode)
    with atomic_writer(path, overwrite=True) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) & ~mode & 0o077 == 0
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


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


def _failing_with(number):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_failure_of_the_last_step_leaves_the_old_file(tmp_path, monkeypatch, call, number):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(f"os.{call}", _failing_with(number))
    with pytest.raises(HscodecError, match=rf"cannot write .*out\.bin: {os.strerror(number)}"):
        with atomic_writer(path, overwrite=True) as file:
            file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_file_and_then_its_folder_are_synchronised(tmp_path, monkeypatch):
    calls = []

    def note(function):
        def noted(first, *rest):
            kind = "name" if function is replace else stat.S_IFMT(os.fstat(first).st_mode)
            calls.append(kind)
            return function(first, *rest)

        return noted

    replace = os.replace
    monkeypatch.setattr("os.fsync", note(os.fsync))
    monkeypatch.setattr("os.replace", note(replace))
    with atomic_writer(tmp_path / "out.bin", overwrite=True) as file:
        file.write(b"abc")
    assert calls == [stat.S_IFREG, "name", stat.S_IFDIR]


def test_folder_that_cannot_be_synchronised_does_not_matter(tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", only_files)
    with atomic_writer(tmp_path / "out.bin") as file:
        file.write(b"abc")
    assert (tmp_path / "out.bin").read_bytes() == b"abc"


class TestCheckOutput:
    def test_new_file_is_fine(self, tmp_path):
        (tmp_path / "in.wav").write_bytes(b"sound")
        check_output(tmp_path / "out.bin", overwrite=False, source=tmp_path / "in.wav")
        check_output(str(tmp_path / "out.bin"), overwrite=True)
        check_output(tmp_path / "out.bin", overwrite=False, source=tmp_path / "missing.wav")
        assert os.listdir(tmp_path) == ["in.wav"]

    def test_devices_are_fine(self):
        check_output(os.devnull, overwrite=False)

    def test_existing_file_needs_overwrite(self, tmp_path):
        (tmp_path / "out.bin").write_bytes(b"old")
        with pytest.raises(HscodecError, match=r"out\.bin exists; use -f to overwrite"):
            check_output(tmp_path / "out.bin", overwrite=False)
        check_output(tmp_path / "out.bin", overwrite=True)

    @pytest.mark.parametrize("overwrite", [True, False])
    def test_folders_are_refused(self, tmp_path, overwrite):
        (tmp_path / "link").symlink_to(tmp_path)
        for path in (tmp_path, tmp_path / "link"):
            with pytest.raises(HscodecError, match="is a folder"):
                check_output(path, overwrite=overwrite)

    @pytest.mark.parametrize("folder", ["missing", "file"])
    def test_the_folder_has_to_be_there(self, tmp_path, folder):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(HscodecError, match=f"out.bin: there is no folder .*{folder}"):
            check_output(tmp_path / folder / "out.bin", overwrite=True)

    def test_link_into_a_missing_folder_is_refused(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "missing" / "out.bin")
        with pytest.raises(HscodecError, match="there is no folder"):
            check_output(tmp_path / "link", overwrite=True)

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
    def test_folder_has_to_be_writable(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(HscodecError, match="cannot be written to"):
            check_output(tmp_path / "out.bin", overwrite=True)

    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize("name", ["in.wav", "hard.wav", "soft.wav", "folder/../in.wav", "elsewhere/in.wav"])
    def test_the_source_is_refused_by_any_name(self, tmp_path, name, overwrite):
        source = tmp_path / "in.wav"
        source.write_bytes(b"sound")
        (tmp_path / "hard.wav").hardlink_to(source)
        (tmp_path / "soft.wav").symlink_to("in.wav")
        (tmp_path / "folder").mkdir()
        (tmp_path / "elsewhere").symlink_to(tmp_path)
        for path, other in ((tmp_path / name, source), (source, tmp_path / name)):
            with pytest.raises(HscodecError, match="input and output are the same file"):
                check_output(path, overwrite=overwrite, source=other)
        assert source.read_bytes() == b"sound"


WRITE_AND_WAIT = """
import signal, sys, time
from hscodec.atomic import atomic_writer
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
with atomic_writer(sys.argv[1], overwrite=True) as file:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    time.sleep(30)
"""


@pytest.mark.parametrize(
    ("number", "status", "leaves_rubbish"),
    [
        (signal.SIGTERM, 128 + signal.SIGTERM, False),
        (signal.SIGHUP, 128 + signal.SIGHUP, False),
        (signal.SIGINT, None, False),
        (signal.SIGKILL, -signal.SIGKILL, True),
    ],
)
def test_signals_leave_the_old_file(tmp_path, number, status, leaves_rubbish):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", WRITE_AND_WAIT, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        process.wait(timeout=20)
    assert status is None or process.returncode == status
    assert path.read_bytes() == b"old"
    rubbish = [name for name in os.listdir(tmp_path) if name != "out.bin"]
    assert len(rubbish) == leaves_rubbish
    assert all(name.startswith(".out.bin.") and name.endswith(".part") for name in rubbish)


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with atomic_path(tmp_path / "a"), atomic_path(tmp_path / "b"):
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_signal_handlers_of_others_stay(tmp_path):
    def theirs(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with atomic_path(tmp_path / "a"):
            assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)


def test_threads_can_write(tmp_path):
    def write():
        with atomic_writer(tmp_path / "out.bin") as file:
            file.write(b"abc")

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert (tmp_path / "out.bin").read_bytes() == b"abc"
