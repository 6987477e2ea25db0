"""The payload of a chunk: one zstd frame over latent residuals, weight symbols in stored order, and escaped values.

The layout is normative in `docs/format.md`. Nothing here is floating point except the exact sums of `fixedpoint`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import zstandard

from hscodec.coding.fixedpoint import FixedPointTables, latent_from_residuals, latent_residuals, scale_classes
from hscodec.coding.order import Order, sort_symbols, unsort_symbols
from hscodec.coding.quantize import ESCAPED_BYTES, from_bytes, to_bytes
from hscodec.errors import FormatError

ZSTD_LEVEL = 22
DIGEST_BYTES = 8


@dataclass(frozen=True)
class ChunkSymbols:
    """The integers that a chunk stores.

    Attributes:
        latent: Precision latent, [C, S/2, Z] int32.
        weights: Weight symbols, [C, S, K] int32.
    """

    latent: np.ndarray
    weights: np.ndarray

    def digest(self) -> bytes:
        """Return 8 bytes of BLAKE2b over latent and weights as little-endian int32, whatever the stored order."""
        state = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for symbols in (self.latent, self.weights):
            state.update(np.ascontiguousarray(symbols, dtype="<i4").tobytes())
        return state.digest()


@dataclass(frozen=True)
class PackedChunk:
    """A payload and the order that it uses."""

    payload: bytes
    order: Order


def pack(symbols: ChunkSymbols, tables: FixedPointTables, quality_hundredths: int) -> PackedChunk:
    """Return the smaller of the two orders' payloads.

    Shape:
        symbols.latent: [C, S/2, Z]
        symbols.weights: [C, S, K]
    """
    # Each latent channel's residuals stand together in time: [C, Z, S/2].
    residuals = latent_residuals(symbols.latent, tables.prediction).transpose(0, 2, 1).reshape(-1)
    classes = scale_classes(tables, symbols.latent, quality_hundredths, symbols.weights.shape[-1])
    candidates = [
        PackedChunk(_compress(residuals, sort_symbols(symbols.weights, classes)), Order.BY_CLASS),
        PackedChunk(_compress(residuals, symbols.weights.reshape(-1)), Order.PLAIN),
    ]
    return min(candidates, key=lambda candidate: len(candidate.payload))


def unpack(
    payload: bytes,
    order: Order,
    tables: FixedPointTables,
    quality_hundredths: int,
    *,
    shape: tuple[int, int, int],
) -> ChunkSymbols:
    """Return the symbols of a payload.

    Args:
        payload: One zstd frame.
        order: Stored order of the weight symbols.
        tables: The model's integers.
        quality_hundredths: Quality of the file times 100.
        shape: (C, S, K): channels, segments (even), weights of one segment.

    Raises:
        FormatError: Not exactly one zstd frame, or not of the announced size.
    """
    channels, segments, num_weights = shape
    num_residuals = channels * (segments // 2) * tables.latent_channels
    num_symbols = num_residuals + channels * segments * num_weights
    content = _decompress(payload, num_symbols)
    small = np.frombuffer(content, np.int8, num_symbols)
    escaped = np.frombuffer(content, "<i4", offset=num_symbols)
    values = from_bytes(small, escaped)
    residuals = values[:num_residuals].reshape(channels, tables.latent_channels, segments // 2)
    latent = latent_from_residuals(residuals.transpose(0, 2, 1), tables.prediction)
    ordered = values[num_residuals:]
    if order is Order.PLAIN:
        weights = ordered.reshape(shape)
    else:
        weights = unsort_symbols(ordered, scale_classes(tables, latent, quality_hundredths, num_weights))
    return ChunkSymbols(latent, weights)


def _compress(residuals: np.ndarray, ordered: np.ndarray) -> bytes:
    small, escaped = to_bytes(np.concatenate([residuals, ordered]))
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True, write_checksum=False)
    return compressor.compress(small.tobytes() + escaped.astype("<i4").tobytes())


def _decompress(payload: bytes, num_symbols: int) -> bytes:
    """Decompress after checking the frame's own claim, since a declared size is allocated before anything is read."""
    try:
        content_bytes = zstandard.get_frame_parameters(payload).content_size
        num_escaped, rest = divmod(content_bytes - num_symbols, ESCAPED_BYTES)
        if rest or not 0 <= num_escaped <= num_symbols:
            raise FormatError(f"payload announces {content_bytes} bytes, which does not fit {num_symbols} symbols")
        content = zstandard.ZstdDecompressor().decompress(payload, content_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"payload is not a valid zstd frame: {error}") from error
    if len(content) != content_bytes:
        raise FormatError(f"payload holds {len(content)} bytes and announced {content_bytes}")
    return content
