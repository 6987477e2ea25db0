"""Table and plot of rate-distortion measurements.

Run `python benchmarks/report.py rd.json --table docs/benchmarks/rd.md --plot docs/benchmarks/rd.svg`. Several JSON
files are merged; where two hold the same clip, codec and setting, the later file counts.
"""

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks.options import ListOf
from benchmarks.results import load
from benchmarks.summary import Summary
from benchmarks.tables import insert, markdown
from hscodec.errors import HscodecError


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--at", type=ListOf(), default="4,6,8,12,16,24,32", show_default=True, help="Rates to show (kbit/s).")
@click.option("--anchor", default="opus", show_default=True, help="Codec that BD-rates compare with.")
@click.option(
    "--bytes",
    "counted",
    type=click.Choice(["payload", "file"]),
    default="payload",
    show_default=True,
    help="What a peer's rate counts: without or with its container. hscodec's files always count in full.",
)
@click.option("--table", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file to write, else stdout.")
@click.option(
    "--insert",
    "documents",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown file with marks between which the first tables go; may be repeated.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="SVG file to write.")
def main(
    results: tuple[Path, ...],
    at: tuple[float, ...],
    anchor: str,
    counted: str,
    table: Path | None,
    documents: tuple[Path, ...],
    plot: Path | None,
) -> None:
    """Compare the codecs in RESULTS, made by rd.py."""
    try:
        summary = Summary([load(path) for path in results], counted=counted)
        text = markdown(summary, at_kbps=at, anchor=anchor)
        for document in documents:
            insert(summary, document, at_kbps=at, anchor=anchor)
        if plot is not None:
            from benchmarks.plots import draw

            plot.parent.mkdir(parents=True, exist_ok=True)
            draw(summary, plot)
    except HscodecError as error:
        raise click.ClickException(str(error)) from error
    if table is None:
        click.echo(text, nl=False)
    else:
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(text)


if __name__ == "__main__":
    main()
