"""Configuration files: TOML in, frozen dataclasses out, and an error for everything that is not understood."""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from hscodec.errors import ConfigError

ConfigT = TypeVar("ConfigT")


def load_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: The file is missing, unreadable, or not TOML; the message names the file and the place.
    """
    # Imported here because Python 3.10 needs a package for it, and models are loaded without any TOML.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise ConfigError("reading TOML with Python 3.10 needs tomli: pip install hscodec[train]") from error
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def from_mapping(cls: type[ConfigT], mapping: Mapping[str, Any], where: str) -> ConfigT:
    """Build the dataclass `cls` from a mapping as TOML gives it.

    Understands `str`, `bool`, `int`, `float` (an integer will do), `Literal`, `X | None`, homogeneous `tuple[X, ...]`,
    `dict[str, X]`, `Path`, and dataclasses nested in any of these.

    Args:
        cls: A dataclass; fields without a default must be in the mapping.
        mapping: Keys are field names; a value may also be an instance of the dataclass it stands for.
        where: Where the mapping stands, for messages, e.g. `corpus.toml: source[3]`.

    Raises:
        ConfigError: An unknown or missing key, a value of the wrong type, or one that `cls` itself refuses.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where}: expected a table, got {_describe(mapping)}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # pyright: ignore[reportArgumentType]
    if unknown := sorted(set(mapping) - set(fields)):
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known keys: {', '.join(sorted(fields))}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in mapping:
            raise ConfigError(f"{where}: key {name!r} is missing")
    values = {name: _convert(hints[name], value, f"{where}: {name}") for name, value in mapping.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, typing.cast(type, hint)):
            return value
        return from_mapping(typing.cast(type, hint), value, where)
    if origin is typing.Literal:
        if value in arguments and type(value) in {type(argument) for argument in arguments}:
            return value
        raise ConfigError(f"{where}: must be one of {', '.join(map(repr, arguments))}, not {value!r}")
    if origin in (types.UnionType, typing.Union):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _convert(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {_describe(value)}")
        return tuple(_convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a table, got {_describe(value)}")
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    # bool is a subclass of int in Python, but `steps = true` is a mistake.
    if type(value) is hint:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and type(value) is str:
        return Path(value)
    raise ConfigError(f"{where}: expected {hint.__name__}, got {_describe(value)}")


def _describe(value: Any) -> str:
    return f"{type(value).__name__} ({value!r})"
