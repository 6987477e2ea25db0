"""Classes and payloads that were written once must come out the same for ever; see make_golden.py."""

from pathlib import Path

import numpy as np
import pytest

from hscodec.coding.fixedpoint import FixedPointTables, scale_classes
from hscodec.coding.order import Order
from hscodec.coding.payload import ChunkSymbols, pack, unpack


@pytest.fixture(scope="module")
def golden():
    path = Path(__file__).parents[1] / "data" / "payload-golden.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def tables(golden):
    prefix = "table."
    return FixedPointTables(
        **{name.removeprefix(prefix): table for name, table in golden.items() if name.startswith(prefix)}
    )


def test_classes(golden, tables):
    num_weights = golden["weights"].shape[-1]
    classes = scale_classes(tables, golden["latent"], int(golden["quality"]), num_weights)
    np.testing.assert_array_equal(classes, golden["classes"])
    assert len(np.unique(classes)) >= 12


@pytest.mark.parametrize(("name", "order"), [("plain", Order.PLAIN), ("by_class", Order.BY_CLASS)])
def test_payloads_stay_readable(golden, tables, name, order):
    payload = golden[name].tobytes()
    symbols = unpack(payload, order, tables, int(golden["quality"]), shape=golden["weights"].shape)
    np.testing.assert_array_equal(symbols.latent, golden["latent"])
    np.testing.assert_array_equal(symbols.weights, golden["weights"])
    assert symbols.digest() == golden["digest"].tobytes()


def test_payloads_do_not_grow(golden, tables):
    """Other versions of zstd may write other bytes, but hardly more of them."""
    packed = pack(ChunkSymbols(golden["latent"], golden["weights"]), tables, int(golden["quality"]))
    assert len(packed.payload) <= 1.02 * min(len(golden["plain"]), len(golden["by_class"])) + 8


def test_the_golden_chunk_has_escapes(golden):
    assert np.abs(golden["weights"].astype(np.int64)).max() == 2**31
    assert np.abs(golden["latent"]).max() > 127
