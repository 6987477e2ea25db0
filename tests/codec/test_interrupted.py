"""Whole commands that die, are ended or run out of disk: the old file stays as it was, or there is none."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from hscodec.codec import decode_file, encode_file
from hscodec.errors import HscodecError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

NUM_SECONDS = 120
OLD = b"what was there before" * 1000
DISK_BYTES = 64 << 10
"""Less than either output, more than `OLD`."""
ON_FULL_DISK = f"""
mount -t tmpfs -o size={DISK_BYTES} tmpfs "$PWD" && cd "$PWD" || exit 77
cp "$1" "$2" || exit 77
shift 2
"$@"
echo "$?"
ls -A
cat out*
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory, tiny_model_path, tiny_model):
    """Return the arguments that encode two minutes and decode six, but for the output, and the names of the outputs."""
    folder = tmp_path_factory.mktemp("long")
    second = np.random.default_rng(0).uniform(-0.3, 0.3, 48_000)
    soundfile.write(folder / "in.wav", np.tile(second, NUM_SECONDS), 48_000)
    soundfile.write(folder / "slow.wav", np.tile(second, NUM_SECONDS // 2), 8000)
    encode_file(folder / "slow.wav", folder / "in.hsnd", model=tiny_model, quality=0, device="cpu")
    program = [sys.executable, "-m", "hscodec"]
    options = ["-f", "--device", "cpu", "--model", str(tiny_model_path)]
    return {
        "out.hsnd": [*program, "encode", *options, str(folder / "in.wav")],
        "out.wav": [*program, "decode", *options, "--rate", "192000", str(folder / "in.hsnd")],
    }


def start_all(commands, folder, names=("out.hsnd", "out.wav")):
    """Start the commands side by side and return the processes once each has written a part of its output."""
    processes = {
        name: subprocess.Popen([*commands[name], folder / name], stderr=subprocess.PIPE, text=True) for name in names
    }
    deadline_s = time.monotonic() + 60
    try:
        for name, process in processes.items():
            while not any(path.stat().st_size for path in folder.glob(f".{name}.*.part")):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
    except BaseException:
        for process in processes.values():
            process.kill()
            process.communicate()
        raise
    return processes


@pytest.mark.parametrize("has_old", [True, False])
def test_kill_9(tmp_path, commands, has_old):
    if has_old:
        for name in commands:
            (tmp_path / name).write_bytes(OLD)
    processes = start_all(commands, tmp_path)
    for process in processes.values():
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    for name in commands:
        if has_old:
            assert (tmp_path / name).read_bytes() == OLD
        else:
            assert not (tmp_path / name).exists()
    rubbish = [name for name in os.listdir(tmp_path) if name not in commands]
    assert len(rubbish) == 2
    assert all(name.startswith(".out.") and name.endswith(".part") for name in rubbish)


def test_being_ended_leaves_no_rubbish(tmp_path, commands):
    (tmp_path / "out.hsnd").write_bytes(OLD)
    process = start_all(commands, tmp_path, ["out.hsnd"])["out.hsnd"]
    process.terminate()
    _, messages = process.communicate(timeout=30)
    assert (process.returncode, messages) == (128 + signal.SIGTERM, "")
    assert (tmp_path / "out.hsnd").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["out.hsnd"]


@pytest.fixture(scope="module")
def mounting():
    """Return the command that gives a process a name space in which it may mount."""
    for unshare in (["unshare", "-rm"], ["unshare", "-m"]):
        try:
            done = subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
        except OSError:
            break
        if done.returncode == 0:
            return unshare
    pytest.skip("needs `unshare` and the right to mount a tmpfs")


def test_full_disk(tmp_path, commands, mounting):
    old = tmp_path / "old"
    old.write_bytes(OLD)
    processes = {}
    for name, command in commands.items():
        (tmp_path / f"disk-{name}").mkdir()
        script = [*mounting, "sh", "-c", ON_FULL_DISK, "sh", old, name, *command, name]
        pipe = subprocess.PIPE
        processes[name] = subprocess.Popen(script, cwd=tmp_path / f"disk-{name}", stdout=pipe, stderr=pipe)
    for name, process in processes.items():
        output, messages = process.communicate(timeout=60)
        assert process.returncode == 0, messages
        assert output == b"1\n" + name.encode() + b"\n" + OLD, messages
        lines = messages.decode().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("hscodec: error: ")
        assert "No space left" in lines[0] or "disk full" in lines[0]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_at_the_last_moment(tmp_path, monkeypatch, tiny_model, call):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    soundfile.write(tmp_path / "in.wav", np.random.default_rng(0).uniform(-0.3, 0.3, 8000), 8000)
    encode_file(tmp_path / "in.wav", tmp_path / "in.hsnd", model=tiny_model, device="cpu")
    for name in ("out.hsnd", "out.wav"):
        (tmp_path / name).write_bytes(OLD)
    monkeypatch.setattr(f"os.{call}", fail)
    with pytest.raises(HscodecError, match=r"cannot write .*out\.hsnd: No space left on device"):
        encode_file(tmp_path / "in.wav", tmp_path / "out.hsnd", model=tiny_model, device="cpu", overwrite=True)
    with pytest.raises(HscodecError, match=r"cannot write .*out\.wav: No space left on device"):
        decode_file(tmp_path / "in.hsnd", tmp_path / "out.wav", model=tiny_model, device="cpu", overwrite=True)
    for name in ("out.hsnd", "out.wav"):
        assert (tmp_path / name).read_bytes() == OLD
    assert sorted(os.listdir(tmp_path)) == ["in.hsnd", "in.wav", "out.hsnd", "out.wav"]
