"""The table of fixed-point tables in docs/format.md is the code's."""

import re
from dataclasses import fields
from pathlib import Path

from hscodec.coding.fixedpoint import FixedPointTables
from hscodec.registry import TABLE_PREFIX

TEXT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (int\d+) \| \[(.+)\] \| (.+) \| 2\^-(\d+) \|$", re.MULTILINE)


def test_fixed_point_tables(make_tables, as_mapping):
    tables = as_mapping(make_tables(channels=3, width=5, num_weights=7))
    rows = ROW.findall(TEXT)
    assert [row[0] for row in rows] == [field.name for field in fields(FixedPointTables)]
    sizes = {"Z": 3, "W": 5, "K'": 7, "5 Z": 15, "2 W": 10, "3 W": 15, "11": 11}
    for name, kind, shape, _, _ in rows:
        assert tables[name].dtype == kind
        assert tables[name].shape == tuple(sizes[size] for size in shape.split(", "))
    assert f"`{TABLE_PREFIX}`" in TEXT
