"""hscodec: audio stored as the weights of implicit neural representations.

`hscodec.read`, `write`, `encode`, `decode` and `open` are `hscodec.api`, loaded when they are first used, as is
`hscodec.data`: importing this package alone loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hscodec import data as data
    from hscodec.api import decode as decode
    from hscodec.api import encode as encode
    from hscodec.api import open as open
    from hscodec.api import read as read
    from hscodec.api import write as write
    from hscodec.codec.reader import Reader as Reader
    from hscodec.errors import HscodecError as HscodecError

__version__ = "0.1.0"

_HOMES = {
    "HscodecError": "errors",
    "Reader": "codec.reader",
    "decode": "api",
    "encode": "api",
    "open": "api",
    "read": "api",
    "write": "api",
}
# `open` is left out: a star import should not take Python's own away.
__all__ = ["HscodecError", "Reader", "__version__", "data", "decode", "encode", "read", "write"]


def __getattr__(name: str) -> Any:
    if name == "data":
        return import_module("hscodec.data")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "open"})
