"""Random fixed-point tables and symbols, and what docs/format.md says of them."""

from dataclasses import fields
from types import ModuleType

import numpy as np
import pytest

from hscodec.coding.fixedpoint import FixedPointTables
from hscodec.coding.payload import ChunkSymbols
from hscodec.registry import TABLE_PREFIX


class Documented:
    """What docs/format.md says of payloads, by the reference implementation, for one model and one quality."""

    def __init__(self, reference: ModuleType, tables: FixedPointTables, quality: int) -> None:
        self.reference = reference
        self.tables = {f"{TABLE_PREFIX}{name}": table for name, table in _as_mapping(tables).items()}
        self.quality = quality
        reference.check_tables(self.tables)

    def classes(self, latent, num_weights):
        return self.reference.scale_classes(latent, self.tables, self.quality, num_weights)

    def read(self, payload, *, shape, by_class):
        return self.reference.read_payload(payload, shape, int(by_class), self.tables, self.quality)

    def content(self, latent, symbols, *, by_class):
        return self.reference.payload_content(latent, symbols, int(by_class), self.tables, self.quality)

    def write(self, latent, symbols, *, by_class):
        return self.reference.write_payload(latent, symbols, int(by_class), self.tables, self.quality)

    def digest(self, latent, symbols):
        return self.reference.symbol_digest(latent, symbols)


def _as_mapping(tables: FixedPointTables) -> dict[str, np.ndarray]:
    return {field.name: getattr(tables, field.name) for field in fields(tables)}


def _make_tables(*, seed=0, channels=3, width=4, num_weights=20, spread=1.0, extreme=False) -> FixedPointTables:
    """Return random tables; `extreme` ones hold the largest values that are allowed."""
    random = np.random.default_rng(seed)

    def matrix(rows, columns):
        if extreme:
            return random.choice(np.array([-(2**16), 2**16], np.int32), (rows, columns))
        return (random.normal(0, spread * rows**-0.5, (rows, columns)) * 2**12).astype(np.int32)

    def bias(*shape, level=0.1):
        if extreme:
            return random.choice(np.array([-(2**44), 2**44, 12345], np.int64), shape)
        return (random.normal(0, level, shape) * 2**22).astype(np.int64)

    return FixedPointTables(
        prediction=random.integers(0, 257, channels, dtype=np.int32),
        latent_step=random.integers(0, 2**16 + 1 if extreme else 2**11, (11, channels), dtype=np.int32),
        enter=matrix(5 * channels, width),
        enter_bias=bias(11, width),
        latent_mix=matrix(3 * width, width),
        latent_mix_bias=bias(width),
        unpair=matrix(width, 2 * width),
        unpair_bias=bias(2 * width),
        segment_mix=matrix(3 * width, width),
        segment_mix_bias=bias(width),
        leave=matrix(width, num_weights),
        leave_bias=bias(11, num_weights, level=2.0),
    )


def _make_symbols(*, seed=0, shape=(2, 8, 20), channels=3, large=True) -> ChunkSymbols:
    """Return random symbols; `large` ones need escapes here and there."""
    random = np.random.default_rng(seed)
    num_channels, segments, num_weights = shape
    latent = np.round(random.laplace(0, 3, (num_channels, segments // 2, channels))).astype(np.int32)
    weights = np.round(random.laplace(0, 2, (num_channels, segments, num_weights))).astype(np.int32)
    if large:
        latent.flat[::7] = random.integers(-(2**31), 2**31, latent.flat[::7].size)
        weights.flat[::11] = random.integers(-200, 200, weights.flat[::11].size)
        weights.flat[:4] = [-(2**31), 2**31 - 1, -128, 128]
    return ChunkSymbols(latent, weights)


@pytest.fixture(scope="session")
def as_mapping():
    return _as_mapping


@pytest.fixture(scope="session")
def make_tables():
    return _make_tables


@pytest.fixture(scope="session")
def make_symbols():
    return _make_symbols


@pytest.fixture(scope="session")
def documented(reference):
    """Return what makes a `Documented` of our tables."""
    return lambda tables, quality: Documented(reference, tables, quality)
