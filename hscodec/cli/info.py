"""`hscodec info`: what a `.hsnd` file says about itself, without torch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hscodec.cli import console, options, paths
from hscodec.errors import HscodecError

if TYPE_CHECKING:
    from hscodec.container.format import FileHeader


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
    from hscodec.container import open_container
    from hscodec.container.format import NO_MODEL, VERSION_MAJOR
    from hscodec.registry import model_name_by_id

    with open_container(path) as container:
        header = container.header
    file_bytes = path.stat().st_size
    duration_s = container.num_samples / header.sample_rate
    has_model = header.model_id != NO_MODEL
    is_lapped = header.network is None
    return {
        "format_version": f"{VERSION_MAJOR}.{header.minor}",
        "target_network": header.target_network.name.lower().replace("_", "-"),
        "model_id": header.model_id.hex() if has_model else None,
        "model_name": model_name_by_id(header.model_id) if has_model else None,
        "sample_rate_hz": header.sample_rate,
        "num_channels": header.num_channels,
        "num_samples": container.num_samples,
        "declared_num_samples": container.declared_num_samples,
        "duration_s": duration_s,
        "sample_format": header.sample_format.name.lower() if header.sample_format else None,
        "quality": header.quality / 100 if is_lapped else None,
        "hop_s": float(header.hop_seconds),
        "bandwidth_hz": float(header.num_weights / (2 * header.hop_seconds)) if is_lapped else None,
        "network": _network(header),
        "gain": header.gain,
        "num_chunks": len(container.chunks),
        "file_bytes": file_bytes,
        "bitrate_kbps": file_bytes * 8 / duration_s / 1000 if duration_s else None,
        "tags": [list(tag) for tag in header.tags],
        "index_was_rebuilt": container.index_was_rebuilt,
    }


def _network(header: "FileHeader") -> dict[str, Any] | None:
    """Return shape and storage of a target network with hidden layers, None for one without."""
    record = header.network
    if record is None:
        return None
    return {
        "hidden_layers": record.hidden_layers,
        "width": record.width,
        "num_frequencies": record.num_frequencies or None,
        "omega_0": record.omega_0 or None,
        "omega": record.omega or None,
        "stored": record.storage.name.lower(),
        "num_stored": header.num_weights,
    }


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
