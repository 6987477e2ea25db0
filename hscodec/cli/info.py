"""`hscodec info`: what a `.hsnd` file says about itself, without torch."""

import json
from pathlib import Path
from typing import Any

import click

from hscodec.cli import console, options, paths
from hscodec.errors import HscodecError


@click.command(short_help="What .hsnd files say about themselves.")
@click.argument("files", metavar="FILE...", type=options.PATH, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with one object per file.")
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Print what .hsnd files say about themselves. Nothing is decoded.

    A file that cannot be read is reported and the others are still printed.
    """
    descriptions = []
    for path in files:
        try:
            paths.check_source(path)
            with paths.readable(path) as readable:
                description = {"file": paths.label(path), **describe(readable)}
        except HscodecError as error:
            console.fail(str(error))
            continue
        descriptions.append(description)
        if not as_json:
            click.echo(_text(description))
    if as_json:
        click.echo(json.dumps(descriptions, indent=2))
    ctx.exit(0 if len(descriptions) == len(files) else 1)


def describe(path: Path) -> dict[str, Any]:
    """Return what a `.hsnd` file says about itself; the keys are those of `--json`.

    Raises:
        FormatError: It is not a `.hsnd` file, or its header is damaged.
    """
    from hscodec.codec.info import file_info
    from hscodec.container import open_container

    with open_container(path) as container:
        return file_info(container).to_mapping()


def _text(about: dict[str, Any]) -> str:
    kbps = "" if about["bitrate_kbps"] is None else f", {about['bitrate_kbps']:.2f} kbit/s"
    rows = [
        ("format", f"{about['format_version']}, {about['target_network']}"),
        ("model", _model(about)),
        ("sound", f"{about['sample_rate_hz']} Hz, {console.plural(about['num_channels'], 'channel')}"),
        ("samples", about["sample_format"] or "not noted"),
        ("duration", f"{about['duration_s']:.3f} s, {console.plural(about['num_samples'], 'sample')}"),
        *([] if about["quality"] is None else [("quality", f"{about['quality']:.2f}")]),
        ("hop", f"{1000 * about['hop_s']:g} ms"),
        *([] if about["bandwidth_hz"] is None else [("bandwidth", f"{about['bandwidth_hz']:g} Hz")]),
        *_network_rows(about["network"]),
        ("gain", f"{about['gain']:.6g}"),
        ("chunks", str(about["num_chunks"])),
        ("size", f"{about['file_bytes']:,} bytes{kbps}"),
        *(("tag", f"{key}={value}") for key, value in about["tags"]),
    ]
    if about["index_was_rebuilt"]:
        rows.append(("damage", "the seek index is missing or wrong; `hscodec verify` says what is lost"))
    lines = [f"  {name:<10}  {console.printable(value)}" for name, value in rows]
    return "\n".join([console.printable(about["file"]), *lines])


def _network_rows(network: dict[str, Any] | None) -> list[tuple[str, str]]:
    if network is None:
        return []
    layers = console.plural(network["hidden_layers"], "hidden layer")
    return [
        ("network", f"{layers} of {network['width']}"),
        ("stored", f"{network['stored']}, {network['num_stored']:,} numbers per segment"),
    ]


def _model(about: dict[str, Any]) -> str:
    if about["model_id"] is None:
        return "none needed"
    return f"{about['model_name'] or 'not installed'} (id {about['model_id']})"
