"""Importing what a command needs, once it is known to be needed."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def heavy_imports() -> Iterator[None]:
    """Import torch, or what imports it, in this context.

    It makes hundreds of thousands of objects, all of which stay: looking for garbage among them, again and again, takes
    a quarter of a second. They are not looked at later, either.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
