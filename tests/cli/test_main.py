import json
import os
import signal
import subprocess
import sys
import textwrap

import click
import pytest

import hscodec
from hscodec.cli.main import COMMANDS, main
from hscodec.errors import HscodecError


def python(code: str, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, **options)


RUN_AND_LIST = """
    import json, sys
    from hscodec.cli.main import main
    try:
        main(sys.argv[1:], prog_name="hscodec")
    except SystemExit as error:
        assert error.code == 0, error.code
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def test_importing_the_package_loads_no_numbers_and_no_torch():
    loaded = json.loads(python("import hscodec, sys, json; print(json.dumps(sorted(sys.modules)))").stdout)
    assert {"torch", "numpy", "click", "rich", "soundfile"} & set(loaded) == set()


@pytest.mark.parametrize("arguments", ["--help", "--version", *(f"{name} --help" for name in COMMANDS)])
def test_help_loads_neither_torch_nor_rich(arguments):
    loaded = json.loads(python(RUN_AND_LIST, *arguments.split()).stderr.splitlines()[-1])
    assert {"torch", "rich"} & set(loaded) == set()


def test_info_loads_neither_torch_nor_rich(make_container):
    loaded = json.loads(python(RUN_AND_LIST, "info", make_container()).stderr.splitlines()[-1])
    assert {"torch", "rich", "soundfile", "numpy"} & set(loaded) == set()


def test_python_m_runs_the_same_program():
    command = [sys.executable, "-m", "hscodec", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout == f"hscodec {hscodec.__version__}\n"


def test_help_names_every_command(run):
    result = run("-h")
    assert result.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in result.stdout] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["encode"],
        ["encode", "--unknown", "a.wav"],
        ["encode", "a.wav", "b.hsnd", "-o", "c.hsnd"],
        ["encode", "-"],
        ["encode", "-Q", "10.01", "a.wav"],
        ["encode", "-Q", "-0.01", "a.wav"],
        ["encode", "-Q", "nan", "a.wav"],
        ["encode", "--device", "tpu", "a.wav"],
        ["encode", "--device", "cuda:", "a.wav"],
        ["decode", "--rate", "999", "a.hsnd"],
        ["decode", "--rate", "384001", "a.hsnd"],
        ["decode", "--subtype", "PCM_12", "a.hsnd"],
        ["info"],
        ["verify"],
        ["train", "--threads", "0", "a.toml"],
        ["export", "a.pt", "model.pt"],
        ["corpus", "prepare", "--folder", "nothing", "a.toml"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2_and_prints_nothing_on_stdout(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").touch()
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: hscodec")


def fail_with(error: BaseException):
    def get_command(ctx: click.Context, name: str) -> click.Command:
        def callback() -> None:
            raise error

        return click.Command(name, callback=callback)

    return get_command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (HscodecError("two\nlines \x1b[2J"), "two lines \\x1b[2J"),
        (FileNotFoundError(2, "No such file or directory", "a.wav"), "a.wav: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_failures_are_one_line(fails, monkeypatch, error, line):
    monkeypatch.setattr(main, "get_command", fail_with(error))
    assert fails("encode") == line


def test_bugs_are_not_hidden(run, monkeypatch):
    monkeypatch.setattr(main, "get_command", fail_with(ZeroDivisionError("a bug")))
    assert isinstance(run("encode").exception, ZeroDivisionError)


def test_interrupted_is_exit_130(run, monkeypatch):
    monkeypatch.setattr(main, "get_command", fail_with(KeyboardInterrupt()))
    result = run("encode")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_closed_pipe_is_quiet(make_container):
    files = [str(make_container())] * 50
    process = subprocess.Popen(
        [sys.executable, "-m", "hscodec", "info", *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=120)
    assert stderr == b""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent the POSIX way")
def test_ctrl_c_ends_a_real_process_with_130():
    code = """
        import signal, sys
        from hscodec.cli.main import main
        import click
        @main.command()
        def wait():
            print("ready", flush=True)
            signal.pause()
        main.get_command = lambda ctx, name: wait
        main(["wait"])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip() == ""
