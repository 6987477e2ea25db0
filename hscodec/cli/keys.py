"""Keys as they are pressed: what terminals send for them, and keyboards that hand them over one by one."""

import contextlib
import enum
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hscodec.cli.terminal import Terminal

_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*([@-~])|\x1bO([@-~])")
"""A control sequence (ECMA-48, section 5.4), and the short form that terminals use in application mode."""
_CUT_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_READ_BYTES = 1024
_POLL_S = 0.02


class Key(enum.Enum):
    """A key that means something."""

    SPACE = enum.auto()
    QUIT = enum.auto()
    UP = enum.auto()
    DOWN = enum.auto()
    RIGHT = enum.auto()
    LEFT = enum.auto()


_PLAIN = {" ": Key.SPACE, "q": Key.QUIT, "Q": Key.QUIT}
_ARROWS = {b"A": Key.UP, b"B": Key.DOWN, b"C": Key.RIGHT, b"D": Key.LEFT}
_WINDOWS_ARROWS = {"H": Key.UP, "P": Key.DOWN, "M": Key.RIGHT, "K": Key.LEFT}


def parse(received: bytes) -> tuple[list[Key], bytes]:
    """Return the keys that bytes from a terminal stand for, and the start of a sequence that is cut off at their end.

    What means nothing is left out. An arrow counts with Shift, Ctrl or Alt as well.
    """
    keys: list[Key | None] = []
    place = 0
    while place < len(received) and not _CUT_SEQUENCE.match(received, place):
        match = _SEQUENCE.match(received, place)
        if match:
            keys.append(_ARROWS.get(match[1] or match[2]))
            place = match.end()
        else:
            keys.append(_PLAIN.get(chr(received[place])))
            place += 1
    return [key for key in keys if key], received[place:]


class Keyboard(Protocol):
    """Where keys come from."""

    def read(self, timeout_s: float) -> list[Key]:
        """Return the keys pressed since the last call; wait for one up to `timeout_s`."""
        ...


@contextlib.contextmanager
def listening() -> Iterator[Keyboard | None]:
    """Yield the keyboard at standard input, whose keys come without Enter while the block runs; None if there is none.

    Ctrl-C and Ctrl-Z do what they always do. However the block or the program ends, the terminal is then as it was.
    """
    if not sys.stdin.isatty():
        yield None
    elif sys.platform == "win32":
        yield _WindowsKeyboard()
    else:
        from hscodec.cli.terminal import taken

        with taken(sys.stdin.fileno()) as terminal:
            yield _TerminalKeyboard(terminal)


class _TerminalKeyboard:
    def __init__(self, terminal: "Terminal") -> None:
        self._terminal = terminal
        self._cut = b""
        self._is_gone = False

    def read(self, timeout_s: float) -> list[Key]:
        from select import select

        if self._is_gone or not self._terminal.is_ours():
            time.sleep(timeout_s)
            return []
        if not select([self._terminal.fileno], [], [], timeout_s)[0]:
            self._cut = b""  # the Escape key: a sequence would have gone on by now
            return []
        try:
            received = os.read(self._terminal.fileno, _READ_BYTES)
        except OSError:
            received = b""
        self._is_gone = not received
        keys, cut = parse(self._cut + received)
        self._cut = cut[:_READ_BYTES]
        return keys


class _WindowsKeyboard:
    def read(self, timeout_s: float) -> list[Key]:
        import msvcrt  # pyright: ignore[reportMissingModuleSource]

        deadline_s = time.monotonic() + timeout_s
        while not msvcrt.kbhit():  # pyright: ignore[reportAttributeAccessIssue]
            if time.monotonic() >= deadline_s:
                return []
            time.sleep(_POLL_S)
        letter = msvcrt.getwch()  # pyright: ignore[reportAttributeAccessIssue]
        if letter == "\x03":  # read this way, Ctrl-C is a key
            raise KeyboardInterrupt
        is_special = letter in "\x00\xe0"
        key = _WINDOWS_ARROWS.get(msvcrt.getwch()) if is_special else _PLAIN.get(letter)  # pyright: ignore[reportAttributeAccessIssue]
        return [key] if key else []
