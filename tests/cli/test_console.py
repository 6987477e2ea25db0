"""Progress bars come late and on terminals only; log lines and messages go to standard error."""

import contextlib
import io
import logging

import pytest

from hscodec.cli import console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("TERM", "xterm")
    return now


@pytest.fixture
def draw(clock):
    """Return what a bar writes to a stream that is half done after some seconds."""

    def run(
        stream: io.StringIO, seconds: float, *, done: float = 5, total: float | None = 10, **options: bool
    ) -> str:
        # Not in a fixture of its own: pytest changes sys.stderr between setup and test.
        with contextlib.redirect_stderr(stream), console.Bar("encoding", **options) as bar:
            bar.update(0, total)
            clock[0] += seconds
            bar.update(done, total)
        return stream.getvalue()

    return run


def test_long_work_shows_a_bar_with_its_speed(draw):
    drawn = draw(Terminal(), 2, with_speed=True)
    assert [word for word in ("encoding", "50%", "2.5x") if word not in drawn] == []


def test_the_bar_is_wiped_when_it_is_done(draw):
    assert draw(Terminal(), 2).endswith("\x1b[2K")


def test_short_work_shows_no_bar(draw):
    assert draw(Terminal(), 0.9) == ""


def test_quiet_shows_no_bar(draw):
    assert draw(Terminal(), 2, quiet=True) == ""


def test_a_pipe_shows_no_bar(draw):
    assert draw(io.StringIO(), 2) == ""


def test_an_empty_sound_is_no_division_by_zero(draw):
    assert "encoding" in draw(Terminal(), 2, done=0, total=0, with_speed=True)


def test_work_of_unknown_length_shows_its_speed_and_no_percentage(draw):
    drawn = draw(Terminal(), 2, total=None, with_speed=True)
    assert "2.5x" in drawn
    assert "%" not in drawn


def test_the_log_is_shown_while_the_block_runs(capsys):
    logger = logging.getLogger("hscodec.training.corpus_fetch")
    with console.showing_log(quiet=False):
        logger.info("unpacking %s", "one")
        logger.warning("left out")
    logger.info("afterwards")
    assert capsys.readouterr().err == "hscodec: unpacking one\nhscodec: warning: left out\n"


def test_quiet_shows_warnings_only(capsys):
    with console.showing_log(quiet=True):
        logging.getLogger("hscodec").info("not shown")
        logging.getLogger("hscodec").warning("shown")
    assert capsys.readouterr().err == "hscodec: warning: shown\n"


@pytest.mark.parametrize(("count", "text"), [(0, "0 chunks"), (1, "1 chunk"), (1234, "1,234 chunks")])
def test_plural(count, text):
    assert console.plural(count, "chunk") == text


def test_printable_keeps_letters_and_escapes_control_characters():
    assert console.printable("Stück №1 日本\x1b\n\u202e") == "Stück №1 日本\\x1b\\n\\u202e"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (59.99, "0:59"), (60, "1:00"), (3599.9, "59:59"), (3723.5, "1:02:03")]
)
def test_a_clock_shows_whole_seconds_that_have_passed(seconds, expected):
    assert console.clock(seconds) == expected
