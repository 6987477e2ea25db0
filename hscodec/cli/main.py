"""The `hscodec` command: finds the module of a verb, and turns failures into one line and an exit status."""

import errno
import os
import sys
from importlib import import_module
from typing import Any

import click

from hscodec import __version__
from hscodec.cli import console
from hscodec.errors import HscodecError

COMMANDS = ("encode", "fit", "decode", "play", "info", "verify", "compare", "train", "export", "corpus")
"""Each is a module of this package whose `command` is the click command, in the order of the help page."""

FAILED = 1
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group that imports the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"hscodec.cli.{cmd_name}").command

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command line; by default exit with 0, 1 (failure), 2 (usage) or 130 (interrupted)."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            status = super().main(*args, standalone_mode=False, **extra)
        except click.Abort:
            status = INTERRUPTED
        except click.ClickException as error:
            error.show()
            status = error.exit_code
        except HscodecError as error:
            console.fail(str(error))
            status = FAILED
        except BrokenPipeError:
            # Who read our output has had enough: nothing to say, and nothing more to flush when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = FAILED
        except OSError as error:
            console.fail(_describe(error))
            status = FAILED
        sys.exit(status if isinstance(status, int) else 0)


def _describe(error: OSError) -> str:
    """Say what the system refused, without Python's `[Errno 28]`."""
    reason = error.strerror or str(error) or errno.errorcode.get(error.errno or 0, "input or output failed")
    return reason if error.filename is None else f"{error.filename}: {reason}"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="hscodec", message="%(package)s %(version)s")
def main() -> None:
    """Store sounds as the weights of small neural networks.

    `hscodec COMMAND --help` explains a command. `-` stands for standard input or output.
    """
