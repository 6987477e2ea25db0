"""What terminals send becomes keys, and a terminal is as it was when the program ends, in whatever way."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec.cli.keys import Key, listening, parse

if sys.platform == "win32":
    pytest.skip("no terminals of this kind", allow_module_level=True)

import pty
import termios


@pytest.mark.parametrize(
    ("received", "keys"),
    [
        (b" ", [Key.SPACE]),
        (b"qQ", [Key.QUIT, Key.QUIT]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", [Key.UP, Key.DOWN, Key.RIGHT, Key.LEFT]),
        (b"\x1bOA\x1bOB\x1bOC\x1bOD", [Key.UP, Key.DOWN, Key.RIGHT, Key.LEFT]),
        (b"\x1b[1;5C \x1b[1;2D", [Key.RIGHT, Key.SPACE, Key.LEFT]),
        (b"\x1b[3~\x1b[15~\x1b[I\x1bOPABCD xyz\r\n\xff\x00", [Key.SPACE]),
        (b"\x1b[?1;2 q", []),
        (b"\x1b ", [Key.SPACE]),
        (b"\x1b\x1b[A", [Key.UP]),
        (b"", []),
    ],
)
def test_keys(received, keys):
    assert parse(received) == (keys, b"")


@pytest.mark.parametrize("received", [b" \x1b", b" \x1b[", b" \x1bO", b" \x1b[1;5", b" \x1b[ "])
def test_what_is_cut_off_is_handed_back(received):
    assert parse(received) == ([Key.SPACE], received[1:])


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"O", b"A", b"D", b" ", b"q", b"1", b";", b"~", b"x"])), st.data())
def test_it_does_not_matter_where_bytes_are_cut(parts, data):
    received = b"".join(parts)
    cut = data.draw(st.integers(0, len(received)))
    first, rest = parse(received[:cut])
    second, left = parse(rest + received[cut:])
    assert (first + second, left) == parse(received)


@pytest.fixture
def terminal(monkeypatch):
    """Make standard input a terminal; return the end at which somebody types."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


def modes() -> list:
    return termios.tcgetattr(sys.stdin.fileno())[:6]


def test_keys_come_without_enter_and_echo_and_the_terminal_is_restored(terminal):
    before = modes()
    with listening() as keyboard:
        assert keyboard is not None
        assert not modes()[3] & (termios.ECHO | termios.ICANON)
        assert modes()[3] & termios.ISIG
        assert keyboard.read(0) == []
        os.write(terminal, b" \x1b[")
        assert keyboard.read(10) == [Key.SPACE]
        os.write(terminal, b"Cq")
        assert keyboard.read(10) == [Key.RIGHT, Key.QUIT]
        os.write(terminal, b"\x1b")
        assert keyboard.read(10) == []
        assert keyboard.read(0.01) == []
        os.write(terminal, b"[A")
        assert keyboard.read(10) == []
    assert modes() == before
    assert signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL


def test_the_terminal_is_restored_after_an_interrupt(terminal):
    before = modes()
    with pytest.raises(KeyboardInterrupt), listening():
        assert modes() != before
        raise KeyboardInterrupt
    assert modes() == before


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    with open(os.devnull) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with listening() as keyboard:
            assert keyboard is None


LISTEN = """
    from hscodec.cli.keys import listening
    with listening() as keyboard:
        print("ready", flush=True)
        while True:
            keyboard.read(1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP])
def test_signals_find_the_terminal_as_it_was(terminal, number):
    before = modes()
    # In the session of this test: in one of its own it would be an orphan, which SIGTSTP does not stop.
    command = [sys.executable, "-c", textwrap.dedent(LISTEN)]
    process = subprocess.Popen(command, stdin=sys.stdin, stdout=subprocess.PIPE, preexec_fn=os.setpgrp)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert modes() != before
        process.send_signal(number)
        if number == signal.SIGTSTP:
            assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
            assert modes() == before
            process.send_signal(signal.SIGCONT)
            deadline_s = time.monotonic() + 30
            while modes() == before:
                assert time.monotonic() < deadline_s, "the terminal was not taken again"
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            number = signal.SIGTERM
        assert process.wait(30) == -number
        assert modes() == before
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
