"""`hscodec verify`: check every chunk of `.hsnd` files, without torch and without decoding their sound."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hscodec.cli import console, options, paths
from hscodec.errors import HscodecError

if TYPE_CHECKING:
    from hscodec.codec.verify import Problem


@click.command(short_help="Check that .hsnd files are whole.")
@click.argument("files", metavar="FILE...", type=options.PATH, nargs=-1, required=True)
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...]) -> None:
    """Check that .hsnd files are whole: checksums, payloads, symbols.

    Prints OK or FAILED for each file, and which seconds are damaged. The exit status is 1 if any file failed.
    """
    from hscodec.codec.verify import verify_file

    failures = 0
    for path in files:
        name = console.printable(paths.label(path))
        try:
            paths.check_source(path)
            with paths.readable(path) as readable, console.Bar(f"verifying {name}") as bar:
                result = verify_file(readable, progress=bar.update)
        except HscodecError as error:
            failures += 1
            reason = str(error).removeprefix(f"{paths.label(path)}: ")
            click.echo(f"{name}: FAILED: {console.printable(reason)}")
            continue
        if result.ok:
            click.echo(f"{name}: OK ({console.plural(result.num_chunks, 'chunk')})")
            continue
        failures += 1
        click.echo(f"{name}: FAILED ({console.plural(result.num_problems, 'problem')})")
        for problem in result.problems:
            click.echo(f"  {_text(problem)}")
        if result.num_problems > len(result.problems):
            click.echo("  ...")
    ctx.exit(1 if failures else 0)


def _text(problem: "Problem") -> str:
    message = console.printable(problem.message)
    if problem.stop_s <= problem.start_s:
        return message
    return f"[{problem.start_s:.2f} s, {problem.stop_s:.2f} s): {message}"
