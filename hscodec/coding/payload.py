"""The payload of a chunk: attacks, rotations and bandwidth, where there are any, and its symbols in one of four orders.

In orders `plain` and `by-class` they are a zstd frame over latent residuals, weight symbols in stored order, and large
values. Order `by-context` is `coding.by_context`, for models that hold the statistics which it needs; order `by-pair`
is the same with couplings of channels in front of it.

The layout is normative in `docs/format.md`. Nothing here is floating point except the exact sums of `fixedpoint`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import zstandard

from hscodec.coding import by_context
from hscodec.coding.attacks import check_attacks, no_attacks, pack_attacks, unpack_attacks
from hscodec.coding.bandwidth import STEP, num_steps_left_out, pack_bandwidth, unpack_bandwidth
from hscodec.coding.coupling import Coupling, pack_couplings, unpack_couplings
from hscodec.coding.coupling_fit import choose_coupling
from hscodec.coding.fixedpoint import FixedPointTables, latent_from_residuals, latent_residuals, scale_classes
from hscodec.coding.frequencies import FrequencyTables
from hscodec.coding.order import RUN_CLASSES, Order, sort_symbols, unsort_symbols
from hscodec.coding.quantize import ESCAPE, ESCAPED_BYTES, from_bytes, to_bytes
from hscodec.coding.rotations import (
    channel_qualities,
    check_rotations,
    is_stored,
    no_rotations,
    pack_rotations,
    unpack_rotations,
)
from hscodec.coding.runs import from_runs, runs_byte_length, to_runs
from hscodec.errors import FormatError

ZSTD_LEVEL = 22
TRIAL_LEVEL = 3
TRIAL_MARGIN = 1.1
"""Plain order is compressed in earnest only if a quick trial comes this near to the others: at the highest level it
takes fifty times as long as the sorted symbols, and nearly always loses."""

DIGEST_BYTES = 8


@dataclass(frozen=True)
class ChunkSymbols:
    """The integers that a chunk stores.

    Attributes:
        latent: Precision latent, [C, S/2, Z] int32.
        weights: Weight symbols, [C, S, K] int32.
        attacks: Where the gain was raised, [N, 3] int32: rows of channel, slot and gain, see `coding.attacks`.
        rotations: How pairs of channels were rotated, [P, 2] int32: rows of angle and reduction, see
            `coding.rotations`; [0, 2] where none was. Symbols of a channel of which nothing is stored are 0.
    """

    latent: np.ndarray
    weights: np.ndarray
    attacks: np.ndarray = field(default_factory=no_attacks)
    rotations: np.ndarray = field(default_factory=no_rotations)

    def digest(self) -> bytes:
        """Return 8 bytes of BLAKE2b over latent and weights as little-endian int32, whatever the stored order."""
        state = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for symbols in (self.latent, self.weights):
            state.update(np.ascontiguousarray(symbols, dtype="<i4").data)
        return state.digest()


@dataclass(frozen=True)
class PackedChunk:
    """A payload, the order that it uses, and whether attacks, rotations and bandwidth stand in front of its symbols."""

    payload: bytes
    order: Order
    has_attacks: bool = False
    has_rotations: bool = False
    has_bandwidth: bool = False


def pack(
    symbols: ChunkSymbols,
    tables: FixedPointTables,
    quality_hundredths: int,
    *,
    frequencies: FrequencyTables | None = None,
    pairs: Sequence[tuple[int, int]] = (),
) -> PackedChunk:
    """Return the smallest payload, as far as a quick trial of plain order can tell.

    Args:
        symbols: What to store.
        tables: The model's integers.
        quality_hundredths: Quality of the file times 100.
        frequencies: The model's statistics; without them order is plain or by class.
        pairs: Channels, the first of which may help to tell the second.

    Shape:
        symbols.latent: [C, S/2, Z]
        symbols.weights: [C, S, K]
        symbols.attacks: [N, 3]
        symbols.rotations: [P, 2]
    """
    channels, segments, _ = symbols.weights.shape
    in_front = b""
    if has_attacks := len(symbols.attacks) > 0:
        check_attacks(symbols.attacks, channels, segments)
        in_front += pack_attacks(symbols.attacks)
    if has_rotations := len(symbols.rotations) > 0:
        check_rotations(symbols.rotations, channels)
        in_front += pack_rotations(symbols.rotations)
    stored = is_stored(symbols.rotations, channels)
    qualities = channel_qualities(symbols.rotations, quality_hundredths, channels)[stored]
    steps = num_steps_left_out(symbols.weights)
    if has_bandwidth := steps > 0:
        in_front += pack_bandwidth(steps)
    kept = symbols.weights[stored, :, : symbols.weights.shape[-1] - STEP * steps]
    symbols = ChunkSymbols(symbols.latent[stored], np.ascontiguousarray(kept))
    if frequencies is None:
        content, order = _by_class(symbols, tables, qualities), Order.BY_CLASS
    else:
        content, order = _by_pair(symbols, tables, frequencies, qualities, pairs, np.flatnonzero(stored).tolist())
    plain = _plain(symbols, tables, smaller_than=len(content))
    if plain is not None:
        content, order = plain, Order.PLAIN
    return PackedChunk(in_front + content, order, has_attacks, has_rotations, has_bandwidth)


def _by_pair(
    symbols: ChunkSymbols,
    tables: FixedPointTables,
    frequencies: FrequencyTables,
    qualities: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    stored: list[int],
) -> tuple[bytes, Order]:
    """Return the symbols of the channels that are stored, coupled where that pays, else by context alone."""
    found = (
        choose_coupling(symbols.latent, symbols.weights, tables, frequencies, qualities, pair, stored)
        for pair in pairs
        if set(pair) <= set(stored)
    )
    couplings = [coupling for coupling in found if coupling]
    in_front, order = (pack_couplings(couplings), Order.BY_PAIR) if couplings else (b"", Order.BY_CONTEXT)
    couplings = _among_stored(couplings, stored)
    content = by_context.write(symbols.latent, symbols.weights, tables, frequencies, qualities, couplings)
    return in_front + content, order


def _among_stored(couplings: Sequence[Coupling], stored: list[int]) -> list[Coupling]:
    """Return couplings whose channels are counted among those that are stored."""
    return [replace(each, first=stored.index(each.first), second=stored.index(each.second)) for each in couplings]


def _by_class(symbols: ChunkSymbols, tables: FixedPointTables, qualities: np.ndarray) -> bytes:
    classes = scale_classes(tables, symbols.latent, qualities, symbols.weights.shape[-1])
    ordered = sort_symbols(symbols.weights, classes)
    num_sparse = int(np.count_nonzero(classes < RUN_CLASSES))
    runs, values = to_runs(ordered[:num_sparse])
    return _compress([_residuals(symbols, tables), ordered[num_sparse:]], runs, values)


def _plain(symbols: ChunkSymbols, tables: FixedPointTables, *, smaller_than: int) -> bytes | None:
    """Return the frame of plain order if it is smaller than so many bytes."""
    content = [_residuals(symbols, tables), symbols.weights.reshape(-1)]
    if len(_compress(content, level=TRIAL_LEVEL)) >= TRIAL_MARGIN * smaller_than:
        return None
    frame = _compress(content)
    return frame if len(frame) < smaller_than else None


def _residuals(symbols: ChunkSymbols, tables: FixedPointTables) -> np.ndarray:
    """Return the latent's residuals, flattened; those of one latent channel stand together in time, [C, Z, S/2]."""
    return latent_residuals(symbols.latent, tables.prediction).transpose(0, 2, 1).reshape(-1)


def unpack(
    payload: bytes,
    order: Order,
    tables: FixedPointTables,
    quality_hundredths: int,
    *,
    shape: tuple[int, int, int],
    frequencies: FrequencyTables | None = None,
    has_attacks: bool = False,
    has_rotations: bool = False,
    has_bandwidth: bool = False,
) -> ChunkSymbols:
    """Return the symbols of a payload.

    Args:
        payload: The symbols, behind attacks, rotations and bandwidth if there are any.
        order: Stored order of the weight symbols.
        tables: The model's integers.
        quality_hundredths: Quality of the file times 100.
        shape: (C, S, K): channels, segments (even), weights of one segment.
        frequencies: The model's statistics, if it has any.
        has_attacks: Whether attacks stand in front of the symbols.
        has_rotations: Whether rotations do, behind the attacks.
        has_bandwidth: Whether a bandwidth does, behind both.

    Raises:
        FormatError: What stands in front is not valid, or what follows is not exactly the symbols of such a chunk.
    """
    if order is Order.BY_LAYER:
        raise FormatError("payload is stored by layer, which a lapped SIREN does not have")
    channels, segments, num_weights = shape
    attacks, payload = unpack_attacks(payload, channels, segments) if has_attacks else (no_attacks(), payload)
    rotations, payload = unpack_rotations(payload, channels) if has_rotations else (no_rotations(), payload)
    stored = is_stored(rotations, channels)
    qualities = channel_qualities(rotations, quality_hundredths, channels)[stored]
    width, payload = unpack_bandwidth(payload, num_weights) if has_bandwidth else (num_weights, payload)
    shape = (len(qualities), segments, width)
    if order not in (Order.BY_CONTEXT, Order.BY_PAIR):
        latent, weights = _unpack_frame(payload, order, tables, qualities, shape=shape)
    elif frequencies is not None:
        couplings: Sequence[Coupling] = ()
        if order is Order.BY_PAIR:
            places = np.flatnonzero(stored).tolist()
            couplings, payload = unpack_couplings(payload, places)
            couplings = _among_stored(couplings, places)
        latent, weights = by_context.read(payload, tables, frequencies, qualities, couplings, shape=shape)
    else:
        raise FormatError("payload is in an order for which its model has no statistics")
    latent, weights = _completed(latent, stored, latent.shape[-1]), _completed(weights, stored, num_weights)
    return ChunkSymbols(latent, weights, attacks, rotations)


def _completed(symbols: np.ndarray, stored: np.ndarray, num_last: int) -> np.ndarray:
    """Return symbols with zeros for the channels that are not stored, and up to so many in the last dimension."""
    if stored.all() and symbols.shape[-1] == num_last:
        return symbols
    everywhere = np.zeros((len(stored), symbols.shape[1], num_last), np.int32)
    everywhere[stored, :, : symbols.shape[-1]] = symbols
    return everywhere


def _unpack_frame(
    payload: bytes, order: Order, tables: FixedPointTables, qualities: np.ndarray, *, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return latent [C, S/2, Z] and weight symbols [C, S, K] of a zstd frame."""
    channels, segments, num_weights = shape
    num_residuals = channels * (segments // 2) * tables.latent_channels
    num_symbols = channels * segments * num_weights
    reader = _ContentReader(_decompress(payload, num_residuals + num_symbols))
    residuals = reader.symbols(num_residuals).reshape(channels, tables.latent_channels, segments // 2)
    latent = latent_from_residuals(residuals.transpose(0, 2, 1), tables.prediction)
    if order is Order.PLAIN:
        weights = reader.symbols(num_symbols).reshape(shape)
    else:
        classes = scale_classes(tables, latent, qualities, num_weights)
        num_sparse = int(np.count_nonzero(classes < RUN_CLASSES))
        dense = reader.symbols(num_symbols - num_sparse)
        weights = unsort_symbols(np.concatenate([reader.sparse_symbols(num_sparse), dense]), classes)
    reader.check_end()
    return latent, weights


class _ContentReader:
    """Reads bytes off the front of a frame's content, and large values off its back.

    Args:
        content: What the frame held.
    """

    def __init__(self, content: bytes) -> None:
        self._content = np.frombuffer(content, np.uint8)
        self._front = 0
        self._back = len(content)

    def symbols(self, count: int) -> np.ndarray:
        """Return the next `count` symbols, each of one byte or escaped."""
        small = self._take(count)
        escaped_bytes = ESCAPED_BYTES * int(np.count_nonzero(small == ESCAPE))
        self._back -= escaped_bytes
        if self._back < self._front:
            raise FormatError("payload holds fewer large values than it announces")
        escaped = self._content[self._back : self._back + escaped_bytes].view("<i4")[::-1]
        return from_bytes(small, escaped)

    def sparse_symbols(self, count: int) -> np.ndarray:
        """Return the next `count` symbols, stored as runs of zeros and values."""
        num_bytes, num_values = runs_byte_length(self._content[self._front : self._back], count)
        runs = self._take(num_bytes)
        return from_runs(runs, self.symbols(num_values), count)

    def check_end(self) -> None:
        """Raise FormatError unless everything was read."""
        if self._front != self._back:
            raise FormatError(f"payload holds {self._back - self._front} bytes too many")

    def _take(self, count: int) -> np.ndarray:
        if self._front + count > self._back:
            raise FormatError("payload holds fewer symbols than its chunk has")
        self._front += count
        return self._content[self._front - count : self._front]


def _compress(
    dense: list[np.ndarray],
    runs: np.ndarray | None = None,
    values: np.ndarray | None = None,
    *,
    level: int = ZSTD_LEVEL,
) -> bytes:
    """Return a frame of dense symbols, then runs and the values between them, then large values, last one first."""
    small, escaped = to_bytes(np.concatenate(dense))
    content = [small.tobytes()]
    if runs is not None and values is not None:
        small_values, escaped_values = to_bytes(values)
        content += [runs.tobytes(), small_values.tobytes()]
        escaped = np.concatenate([escaped, escaped_values])
    content.append(escaped[::-1].astype("<i4").tobytes())
    compressor = zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=False)
    return compressor.compress(b"".join(content))


def _decompress(payload: bytes, num_symbols: int) -> bytes:
    """Decompress after checking the frame's own claim, since a declared size is allocated before anything is read."""
    try:
        content_bytes = zstandard.get_frame_parameters(payload).content_size
        if content_bytes == zstandard.CONTENTSIZE_UNKNOWN:
            raise FormatError("payload does not say the size of its content")
        # At worst each symbol takes a run, a byte and an escaped value, and a last run follows.
        if content_bytes > num_symbols * (2 + ESCAPED_BYTES) + 1:
            raise FormatError(f"payload announces {content_bytes} bytes, which does not fit {num_symbols} symbols")
        content = zstandard.ZstdDecompressor().decompress(payload, content_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"payload is not a valid zstd frame: {error}") from error
    if len(content) != content_bytes:
        raise FormatError(f"payload holds {len(content)} bytes and announced {content_bytes}")
    return content
