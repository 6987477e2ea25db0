from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from hscodec.config import from_mapping, load_toml
from hscodec.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = 1.0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    steps: int
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    limit: float | None = None
    folder: Path = Path(".")
    inner: Inner = field(default_factory=Inner)
    many: tuple[Inner, ...] = ()
    table: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        if self.steps < 0:
            raise ConfigError("steps must not be negative")


def test_everything_is_converted():
    mapping = {
        "steps": 3,
        "kind": "b",
        "flag": True,
        "limit": 2,
        "folder": "x/y",
        "inner": {"rate": 2, "names": ["u", "v"]},
        "many": [{"rate": 0.5}, {}],
        "table": {"k": 1},
    }
    built = from_mapping(Outer, mapping, "file.toml")
    assert built == Outer(3, "b", True, 2.0, Path("x/y"), Inner(2.0, ("u", "v")), (Inner(0.5), Inner()), {"k": 1})
    assert isinstance(built.limit, float)
    assert isinstance(built.inner.rate, float)
    assert from_mapping(Outer, {"steps": 0, "inner": Inner(3.0)}, "x").inner.rate == 3.0


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"steps": 1, "stepz": 2}, r"^file: unknown key 'stepz'; known keys: flag, folder"),
        ({}, "^file: key 'steps' is missing"),
        ({"steps": 1.0}, "^file: steps: expected int, got float"),
        ({"steps": True}, "^file: steps: expected int, got bool"),
        ({"steps": "1"}, "^file: steps: expected int, got str"),
        ({"steps": -1}, "^file: steps must not be negative"),
        ({"steps": 1, "kind": "c"}, "^file: kind: must be one of 'a', 'b', not 'c'"),
        ({"steps": 1, "flag": 1}, "^file: flag: expected bool"),
        ({"steps": 1, "limit": "x"}, "^file: limit: expected float"),
        ({"steps": 1, "inner": 1}, "^file: inner: expected a table"),
        ({"steps": 1, "inner": {"names": "u"}}, "^file: inner: names: expected a list"),
        ({"steps": 1, "inner": {"names": [1]}}, r"^file: inner: names\[0\]: expected str"),
        ({"steps": 1, "many": [{}, {"x": 1}]}, r"^file: many\[1\]: unknown key 'x'"),
        ({"steps": 1, "table": {"k": "v"}}, "^file: table.k: expected int"),
    ],
)
def test_mistakes_are_located(mapping, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Outer, mapping, "file")


def test_load_toml(tmp_path):
    (tmp_path / "good.toml").write_text("a = 1\n[b]\nc = 'd'\n")
    assert load_toml(tmp_path / "good.toml") == {"a": 1, "b": {"c": "d"}}
    (tmp_path / "bad.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match=r"bad\.toml: not valid TOML"):
        load_toml(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_toml(tmp_path / "binary.toml")
    with pytest.raises(ConfigError, match="No such file"):
        load_toml(tmp_path / "missing.toml")
