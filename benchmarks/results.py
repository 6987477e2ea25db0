"""The JSON file of a rate-distortion measurement: rows of one clip, codec and setting, and the runs they come from."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hscodec.errors import HscodecError

Row = dict[str, Any]
SCHEMA = 1

_OPTIONS_ADDED = {"stereo": False}
"""What files that were written before these options existed were measured with."""


class Results:
    """Rows that were measured already, and room for more.

    Args:
        path: The JSON file; it is read if it exists.
        options: What all rows must have in common (seconds, kind, mono, stereo). A file with other options is refused.

    Raises:
        HscodecError: The file is not such a file, or was measured with other options.
    """

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        self._path = path
        self._options = options
        self._runs: list[dict[str, Any]] = []
        self._pending: dict[str, Any] | None = None
        self._rows: dict[tuple[Any, ...], Row] = {}
        if path.exists():
            content = load(path)
            if content["options"] != options:
                raise HscodecError(f"{path} was measured with {content['options']}, not {options}: use another --out")
            self._runs = content["runs"]
            self._rows = {_key(row): row for row in content["rows"]}

    def start_run(self, provenance: dict[str, Any]) -> None:
        """Attribute the rows that follow to a new run; a run that adds none leaves no trace.

        Args:
            provenance: What `provenance.collect` returned.
        """
        self._pending = provenance

    def has(self, clip: str, codec: str, setting: float, *, version: str, metrics: Iterable[str]) -> bool:
        """Return whether this point was measured, with this version of the codec and at least these metrics."""
        row = self._rows.get((clip, codec, setting))
        return row is not None and row["version"] == version and set(metrics) <= set(row["scores"])

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, which replace older ones of the same clip, codec and setting, and write the file."""
        if self._pending is not None:
            self._runs.append(self._pending)
            self._pending = None
        for row in rows:
            self._rows[_key(row)] = {**row, "run": len(self._runs) - 1}
        content = {
            "schema": SCHEMA,
            "options": self._options,
            "runs": self._runs,
            "rows": [self._rows[key] for key in sorted(self._rows)],
        }
        head = json.dumps({**content, "rows": []}, indent=1)
        lines = ",\n".join("  " + json.dumps(row) for row in content["rows"])  # a row a line: short, and it diffs well
        temporary = self._path.with_name(self._path.name + ".part")
        temporary.write_text(head.replace('"rows": []', f'"rows": [\n{lines}\n ]') + "\n")
        os.replace(temporary, self._path)


def load(path: Path) -> dict[str, Any]:
    """Return the content of a results file, with the options that older files do not name.

    Raises:
        HscodecError: It is not JSON, or not of this schema.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise HscodecError(f"cannot read the results in {path}: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise HscodecError(f"{path} does not hold results of schema {SCHEMA}")
    return {**content, "options": {**_OPTIONS_ADDED, **content["options"]}}


def _key(row: Row) -> tuple[Any, ...]:
    return row["clip"], row["codec"], row["setting"]
