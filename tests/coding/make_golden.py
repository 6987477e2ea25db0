"""Writes tests/data/payload-golden.npz; run it by hand, and only when the format changes on purpose.

The file holds everything that the test needs, tables included, so that it does not depend on how anything is drawn.
"""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
from conftest import Documented, _as_mapping, _make_symbols, _make_tables

from hscodec.coding.fixedpoint import scale_classes

QUALITY = 437
SHAPE = (2, 10, 20)


def main() -> None:
    """Draw a chunk with a few escapes, code it in both orders, and store all of it."""
    tables = _make_tables(seed=20, channels=3, width=5, num_weights=24)
    symbols = _make_symbols(seed=21, shape=SHAPE, channels=3, large=False)
    symbols.latent[1, -1] = [-5000, 200, 1]
    symbols.weights.flat[::37] = [-(2**31), 2**31 - 1, -128, 128, 1000, -1000, 2**20, -(2**20), 300, 400, 500]
    classes = scale_classes(tables, symbols.latent, QUALITY, SHAPE[-1])
    sys.path.append(str(Path(__file__).parents[1] / "reference"))
    documented = Documented(import_module("hsnd_numpy"), tables, QUALITY)
    by_class = documented.write(symbols.latent, symbols.weights, by_class=True)
    plain = documented.write(symbols.latent, symbols.weights, by_class=False)
    np.savez_compressed(
        Path(__file__).parents[1] / "data" / "payload-golden.npz",
        quality=np.array(QUALITY),
        latent=symbols.latent,
        weights=symbols.weights,
        classes=classes,
        digest=np.frombuffer(symbols.digest(), np.uint8),
        plain=np.frombuffer(plain, np.uint8),
        by_class=np.frombuffer(by_class, np.uint8),
        **{f"table.{name}": table for name, table in _as_mapping(tables).items()},
    )


if __name__ == "__main__":
    main()
