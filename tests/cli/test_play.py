"""`hscodec play` with a package in the place of sounddevice that writes down what it is given."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hscodec.cli import play
from hscodec.cli.keys import Key
from hscodec.codec import Reader


class PortAudioError(Exception):
    pass


class CallbackStop(Exception):
    pass


class FakeSounddevice(SimpleNamespace):
    """As much of sounddevice as is used: an output device that takes buffers of odd sizes as fast as it can."""

    def __init__(self, *, rate: float = 44_100.0, num_channels: int = 2) -> None:
        super().__init__(PortAudioError=PortAudioError, CallbackStop=CallbackStop)
        self.about = {"name": "Loudspeaker", "default_samplerate": rate, "max_output_channels": num_channels}
        self.heard = np.empty((0, num_channels), np.float32)
        self.settings: dict = {}
        self.calls: list[str] = []
        self.refuses: str | None = None
        self.breaks_after: int | None = None

    def query_devices(self, *, kind: str) -> dict:
        assert kind == "output"
        return self.about

    def OutputStream(self, **settings) -> "FakeStream":  # noqa: N802
        if self.refuses:
            raise PortAudioError(f"Error opening OutputStream: {self.refuses}", -9997)
        self.settings = settings
        return FakeStream(self)


class FakeStream:
    def __init__(self, device: FakeSounddevice) -> None:
        self._device = device
        self._thread = threading.Thread(target=self._run)
        self._is_aborted = False

    def start(self) -> None:
        self._thread.start()

    def abort(self) -> None:
        self._is_aborted = True
        self._thread.join()
        self._device.calls.append("abort")

    def close(self) -> None:
        self._device.calls.append("close")

    def _run(self) -> None:
        settings = self._device.settings
        heard, has_more = [], True
        for size in cycle((64, 1, 441, 1024)):
            if not has_more or self._is_aborted or len(heard) == self._device.breaks_after:
                break
            frames = np.full((size, settings["channels"]), np.nan, settings["dtype"])
            try:
                settings["callback"](frames, size, None, None)
            except CallbackStop:
                has_more = False
            heard.append(frames)
            time.sleep(0.0005)
        self._device.heard = np.concatenate(heard)
        settings["finished_callback"]()


@pytest.fixture
def sounddevice(monkeypatch) -> FakeSounddevice:
    fake = FakeSounddevice()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


@pytest.fixture
def hsnd_path(run, tiny_model_path, tone_path) -> Path:
    """The tone, encoded."""
    path = tone_path.with_suffix(".hsnd")
    result = run("encode", "-q", "--model", tiny_model_path, "--device", "cpu", tone_path, path)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def playing(run):
    def invoke(*arguments: object, stdin: bytes | None = None):
        return run("play", "--device", "cpu", *arguments, stdin=stdin)

    return invoke


def assert_heard(heard: np.ndarray, expected: np.ndarray) -> None:
    """Heard is [T, 2] of silence until decoding has begun, what was expected [T], and silence to fill the buffer."""
    first_heard, first_expected = (int(samples.any(-1).argmax()) for samples in (heard, expected[:, None]))
    heard, expected = heard[first_heard:], expected[first_expected:]
    np.testing.assert_array_equal(heard[: len(expected)], np.repeat(expected[:, None], 2, 1))
    assert not heard[len(expected) :].any()


@pytest.mark.parametrize("through_pipe", [False, True])
def test_a_file_is_played_at_the_rate_of_the_device(playing, sounddevice, hsnd_path, through_pipe):
    name, stdin = ("-", hsnd_path.read_bytes()) if through_pipe else (hsnd_path, None)
    result = playing(name, stdin=stdin)
    assert result.exit_code == 0, result.output
    label = "standard input" if through_pipe else hsnd_path
    assert result.stderr == f"{label}: 0:01, 1 channel, 44100 Hz on Loudspeaker\n"
    assert result.stdout == ""
    assert (sounddevice.settings["samplerate"], sounddevice.settings["channels"]) == (44_100, 2)
    with Reader(hsnd_path, device="cpu", rate=44_100) as reader:
        assert_heard(sounddevice.heard, reader.read().numpy()[0])
    assert sounddevice.calls == ["abort", "close"]
    assert [thread for thread in threading.enumerate() if thread.name == "hscodec-player"] == []


@pytest.mark.parametrize("reverse", [False, True])
def test_rate_speed_range_and_direction(playing, sounddevice, hsnd_path, reverse):
    options = ("--rate", "48000/1.001", "--speed", "3/2", "--start", "0.25", "--stop", "0.5")
    result = playing("-q", *options, *["--reverse"] * reverse, hsnd_path)
    assert (result.exit_code, result.output) == (0, "")
    rate = Fraction(48_000_000, 1001)
    assert sounddevice.settings["samplerate"] == float(rate)
    with Reader(hsnd_path, device="cpu", rate=rate, speed=Fraction(3, 2)) as reader:
        expected = reader.read(*reader.sample_range(Fraction(1, 4), Fraction(1, 2))).numpy()[0]
    assert len(expected) == 7_992
    assert_heard(sounddevice.heard, expected[::-1] if reverse else expected)


def test_a_range_behind_the_end_is_refused(fails, sounddevice, hsnd_path):
    message = fails("play", "--device", "cpu", "--start", "3", hsnd_path)
    assert message == "the range starts at 3 s, the sound stops at 1 s"


def test_one_channel_is_enough(playing, sounddevice, hsnd_path):
    sounddevice.about["max_output_channels"] = 1
    assert playing("-q", hsnd_path).exit_code == 0
    assert sounddevice.settings["channels"] == 1


def test_without_the_package_the_message_says_how_to_get_it(fails, monkeypatch, hsnd_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert fails("play", hsnd_path) == "playing needs the package sounddevice: pip install 'hscodec[play]'"


def test_without_the_library_the_message_names_it(fails, monkeypatch, tmp_path, hsnd_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(tmp_path / "broken")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    message = fails("play", hsnd_path)
    assert message.startswith("playing needs the library PortAudio, which was not found")
    assert "libportaudio2" in message


def test_without_a_device_the_message_says_so(fails, sounddevice, hsnd_path):
    def query_devices(*, kind: str) -> dict:
        raise PortAudioError("Error querying device -1")

    sounddevice.query_devices = query_devices
    assert fails("play", hsnd_path) == "there is no audio device to play on: Error querying device -1"


def test_a_rate_that_the_device_does_not_take_is_told(fails, sounddevice, hsnd_path):
    sounddevice.refuses = "Invalid sample rate"
    message = fails("play", "-q", "--device", "cpu", "--rate", 384_000, hsnd_path)
    assert message == (
        "the audio device does not play 384000 Hz in 2 channels: Error opening OutputStream: Invalid sample rate"
    )
    assert sounddevice.calls == []


def test_a_device_that_is_pulled_out_is_told(fails, sounddevice, hsnd_path):
    sounddevice.breaks_after = 5
    assert fails("play", "-q", "--device", "cpu", hsnd_path) == "the audio device stopped before the sound did"
    assert sounddevice.calls == ["abort", "close"]


def test_a_file_that_is_not_there_is_told_before_anything_else(fails, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert fails("play", tmp_path / "none.hsnd") == f"{tmp_path / 'none.hsnd'}: no such file"


def test_damage_is_told_as_decode_does(playing, fails, sounddevice, hsnd_path):
    content = bytearray(hsnd_path.read_bytes())
    content[len(content) // 2] ^= 1
    hsnd_path.write_bytes(content)
    message = fails("play", "-q", "--device", "cpu", hsnd_path)
    assert message.startswith(f"{hsnd_path}: ")
    assert message == fails("decode", "-q", "-f", "--device", "cpu", hsnd_path)
    result = playing("-q", "--keep-going", hsnd_path)
    assert result.exit_code == 1
    assert result.stderr == "hscodec: warning: lost [0.00 s, 1.00 s)\n"
    assert not sounddevice.heard.any()


class FakePlayer:
    def __init__(self) -> None:
        self.is_paused = False
        self.position_s = 0.0
        self.skips: list[int] = []
        self.skip = self.skips.append


class FakeKeyboard:
    def __init__(self, *keys: Key) -> None:
        self._keys = list(keys)

    def read(self, timeout_s: float) -> list[Key]:
        keys, self._keys = self._keys[:2], self._keys[2:]
        return keys


class FakeBar:
    def __init__(self) -> None:
        self.states: list[str] = []

    def update(self, position_s: float, state: str) -> None:
        self.states.append(state)


def test_keys_pause_seek_and_stop():
    player, bar = FakePlayer(), FakeBar()
    keyboard = FakeKeyboard(Key.LEFT, Key.RIGHT, Key.SPACE, Key.UP, Key.DOWN, Key.SPACE, Key.QUIT, Key.UP)
    play._attend(player, keyboard, bar, threading.Event())
    assert player.skips == [-5, 5, 30, -30]
    assert bar.states == ["playing", "paused", "playing"]


PLAY = """
    import os, sys
    from types import SimpleNamespace

    class Stream:
        def __init__(self, **settings): self.settings = settings
        def start(self): os.write(1, b"started\\n")
        def abort(self): os.write(1, b"aborted\\n")
        def close(self): pass

    about = {"name": "Loudspeaker", "default_samplerate": 8000.0, "max_output_channels": 2}
    sys.modules["sounddevice"] = SimpleNamespace(
        PortAudioError=OSError, CallbackStop=StopIteration, OutputStream=Stream, query_devices=lambda kind: about
    )
    from hscodec.cli.main import main
    main(["play", "--device", "cpu", sys.argv[1]], prog_name="hscodec")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
@pytest.mark.parametrize(("key", "status"), [(b"q", 0), (None, 130)])
def test_at_a_terminal_q_stops_and_an_interrupt_interrupts(hsnd_path, key, status):
    import pty
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    shown = bytearray()

    def show() -> None:  # what nobody reads would stop who writes
        while b"THE END" not in shown:
            shown.extend(os.read(ours, 4096))

    command = [sys.executable, "-c", textwrap.dedent(PLAY), str(hsnd_path)]
    process = subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
    screen = threading.Thread(target=show)
    screen.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n", shown
        os.write(ours, b" ")
        deadline_s = time.monotonic() + 60
        while b"paused" not in shown:
            assert time.monotonic() < deadline_s, shown
            time.sleep(0.01)
        assert b"0:00 / 0:01" in shown
        if key:
            os.write(ours, key)
        else:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == status, shown
        assert process.stdout.read() == b"aborted\n"
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.write(theirs, b"THE END")
        screen.join()
        if process.stdout is not None:
            process.stdout.close()
        os.close(ours)
        os.close(theirs)
