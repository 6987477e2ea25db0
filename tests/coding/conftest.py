"""Random fixed-point tables and symbols, and the payload as docs/format.md describes it, written without our code."""

import hashlib
from dataclasses import fields

import numpy as np
import pytest
import zstandard

from hscodec.coding.fixedpoint import FixedPointTables
from hscodec.coding.payload import ChunkSymbols


class Payload:
    """The section *Payload* of docs/format.md in plain integers; tables by name, as the model file has them."""

    def __init__(self, tables: dict[str, np.ndarray], quality: int) -> None:
        # Python's integers cannot overflow or round.
        self.tables = {name: table.astype(object) for name, table in tables.items()}
        self.quality = quality

    def at(self, table):
        row = min(self.quality // 100, 9)
        fraction = self.quality - 100 * row
        return (table[row] * (100 - fraction) + table[row + 1] * fraction) // 100

    def layer(self, x, matrix, bias):
        return (x.dot(matrix) + bias) // 2**12

    @staticmethod
    def near(x, taps):
        steps, width = x.shape
        rows = np.zeros((steps, taps * width), object)
        for t in range(steps):
            for tap in range(taps):
                other = t - (taps - 1) // 2 + tap
                if 0 <= other < steps:
                    rows[t, tap * width : (tap + 1) * width] = x[other]
        return rows

    @staticmethod
    def clip(x, low, high):
        return np.minimum(np.maximum(x, low), high)

    def relu(self, x):
        return self.clip(x, 0, 2**22)

    def channel_classes(self, latent, num_weights):
        t = self.tables
        x = self.clip(self.clip(latent.astype(object), -(2**20), 2**20) * self.at(t["latent_step"]), -(2**22), 2**22)
        h = self.relu(self.layer(self.near(x, 5), t["enter"], self.at(t["enter_bias"])))
        h = np.minimum(h + self.relu(self.layer(self.near(h, 3), t["latent_mix"], t["latent_mix_bias"])), 2**22)
        p = self.relu(self.layer(h, t["unpair"], t["unpair_bias"]))
        width = p.shape[1] // 2
        g = np.zeros((2 * len(p), width), object)
        g[0::2], g[1::2] = p[:, :width], p[:, width:]
        g = np.minimum(g + self.relu(self.layer(self.near(g, 3), t["segment_mix"], t["segment_mix_bias"])), 2**22)
        v = self.layer(g, t["leave"], self.at(t["leave_bias"]))[:, :num_weights]
        return self.clip((v + 6144) // 768, 0, 15).astype(np.int64)

    def classes(self, latent, num_weights):
        return np.stack([self.channel_classes(channel, num_weights) for channel in latent])

    def stored_positions(self, latent, num_weights, *, by_class):
        """Return the positions of symbols stored as runs, and of the others, in stored order."""
        flat = self.classes(latent, num_weights).reshape(-1)
        if not by_class:
            return [], list(range(len(flat)))
        positions = sorted(range(len(flat)), key=lambda position: flat[position])
        return [p for p in positions if flat[p] < 7], [p for p in positions if flat[p] >= 7]

    def read(self, payload, *, shape, by_class):
        """Return (latent, symbols)."""
        channels, segments, num_weights = shape
        content = zstandard.ZstdDecompressor().decompress(payload)
        front, back = 0, len(content)

        def next_byte():
            nonlocal front
            front += 1
            return content[front - 1]

        def next_value():
            nonlocal back
            byte = next_byte()
            if byte == 255:
                back -= 4
                return int.from_bytes(content[back : back + 4], "little", signed=True)
            return (byte + 1) // 2 if byte % 2 else -(byte // 2)

        latent = np.zeros((channels, segments // 2, len(self.tables["prediction"])), np.int64)
        for c in range(channels):
            for z, coefficient in enumerate(self.tables["prediction"]):
                previous = 0
                for t in range(segments // 2):
                    value = next_value() + ((coefficient * previous + 128) >> 8)
                    previous = (value + 2**31) % 2**32 - 2**31
                    latent[c, t, z] = previous
        symbols = np.zeros(channels * segments * num_weights, np.int64)
        sparse, dense = self.stored_positions(latent, num_weights, by_class=by_class)
        for position in dense:
            symbols[position] = next_value()
        if by_class:
            nonzero, place = [], 0
            while True:
                while (byte := next_byte()) == 255:
                    place += 255
                place += byte
                if place == len(sparse):
                    break
                nonzero.append(sparse[place])
                place += 1
            for position in nonzero:
                symbols[position] = next_value()
        assert front == back
        return latent, symbols.reshape(shape)

    def content(self, latent, symbols, *, by_class):
        """Return what the zstd frame holds."""
        values, escaped = [], []

        def stored(value):
            if -127 <= value <= 127:
                return 2 * value - 1 if value > 0 else -2 * value
            escaped.append(value)
            return 255

        for c in range(latent.shape[0]):
            for z, coefficient in enumerate(self.tables["prediction"]):
                previous = 0
                for value in latent[c, :, z].tolist():
                    residual = value - ((coefficient * previous + 128) >> 8)
                    values.append((residual + 2**31) % 2**32 - 2**31)
                    previous = value
        flat = symbols.reshape(-1).tolist()
        sparse, dense = self.stored_positions(latent, symbols.shape[-1], by_class=by_class)
        content = bytes(map(stored, values + [flat[position] for position in dense]))
        if by_class:
            zeros, nonzero = 0, []
            for position in sparse:
                if flat[position]:
                    content += b"\xff" * (zeros // 255) + bytes([zeros % 255])
                    nonzero.append(flat[position])
                    zeros = 0
                else:
                    zeros += 1
            content += b"\xff" * (zeros // 255) + bytes([zeros % 255]) + bytes(map(stored, nonzero))
        return content + b"".join(value.to_bytes(4, "little", signed=True) for value in reversed(escaped))

    def write(self, latent, symbols, *, by_class):
        """Return a payload."""
        return zstandard.ZstdCompressor(level=3).compress(self.content(latent, symbols, by_class=by_class))

    @staticmethod
    def digest(latent, symbols):
        content = latent.astype("<i4").tobytes() + symbols.astype("<i4").tobytes()
        return hashlib.blake2b(content, digest_size=8).digest()


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
def documented():
    """Return what makes a `Payload` of our tables."""
    return lambda tables, quality: Payload(_as_mapping(tables), quality)
