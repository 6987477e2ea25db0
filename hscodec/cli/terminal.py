"""A terminal that neither waits for Enter nor echoes, and is as it was when somebody else has it; not on Windows."""

import contextlib
import os
import signal
import termios
import threading
import tty
from collections.abc import Iterator
from types import FrameType
from typing import Any

_LEAVING = (signal.SIGTSTP, signal.SIGTERM, signal.SIGHUP)


class Terminal:
    """A terminal whose keys are read one by one while it is taken.

    Args:
        fileno: Its file descriptor.
    """

    def __init__(self, fileno: int) -> None:
        self.fileno = fileno
        self._saved: list[Any] | None = None

    def is_ours(self) -> bool:
        """Whether this process is in the foreground; in the background, the system stops who reads keys."""
        try:
            return os.tcgetpgrp(self.fileno) == os.getpgrp()
        except OSError:  # not the terminal that controls this process: nobody else's foreground
            return True

    def take(self) -> None:
        """Switch waiting for lines and echo off, unless the process is in the background."""
        if self.is_ours():
            if self._saved is None:
                self._saved = termios.tcgetattr(self.fileno)
            tty.setcbreak(self.fileno, termios.TCSADRAIN)

    def give_back(self) -> None:
        """Make the terminal what it was, unless somebody else has it already."""
        if self._saved is not None and self.is_ours():
            with contextlib.suppress(termios.error):  # it may be gone
                termios.tcsetattr(self.fileno, termios.TCSADRAIN, self._saved)


@contextlib.contextmanager
def taken(fileno: int) -> Iterator[Terminal]:
    """Take a terminal while the block runs.

    It is given back when the block ends in any way, and before Ctrl-Z, SIGTERM or a hangup do what they do; taken again
    when the process is continued in the foreground.

    Args:
        fileno: Its file descriptor.
    """
    terminal = Terminal(fileno)
    with contextlib.ExitStack() as stack:
        stack.callback(terminal.give_back)
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_handling_signals(terminal))
        terminal.take()
        yield terminal


@contextlib.contextmanager
def _handling_signals(terminal: Terminal) -> Iterator[None]:
    def leave(number: int, _frame: FrameType | None) -> None:
        terminal.give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        # Only who was stopped, and continued, comes here.
        signal.signal(number, leave)
        terminal.take()

    def come_back(_number: int, _frame: FrameType | None) -> None:
        terminal.take()

    # Signals that somebody ignores or handles, such as nohup, stay as they are.
    handlers = {number: leave for number in _LEAVING} | {signal.SIGCONT: come_back}
    handlers = {number: handler for number, handler in handlers.items() if signal.getsignal(number) == signal.SIG_DFL}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            signal.signal(number, signal.SIG_DFL)
