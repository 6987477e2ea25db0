"""The payload of a chunk of multilayer perceptrons: quantised numbers of each segment in groups that share a scale.

A group is what one layer's matrix or one layer's biases hold, or the whole bottleneck of a hypernetwork. The groups of
a segment follow one another; each has bits of its own, and in each segment a scale (float32), by which its symbols are
multiplied. How many symbols each has stands in the payload, so that numbers can be read, and checked, without the
network.

The layout is normative in `docs/format.md`.
"""

import hashlib
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError

import numpy as np
import zstandard

from hscodec.coding.low_bits import pack_low_bits, packed_bytes, unpack_low_bits
from hscodec.errors import FormatError

ZSTD_LEVEL = 19
MIN_BITS, MAX_BITS = 2, 16
DIGEST_BYTES = 8
MAX_GROUPS = 256
HEAD = Struct("<H")
GROUP = Struct("<IB")
_SCALE_BYTES = 4


@dataclass(frozen=True)
class LayeredSymbols:
    """The numbers that a chunk stores.

    Attributes:
        symbols: [C, S, K] int32, each within what its group's bits can hold: from -(2^(bits - 1) - 1) to
            2^(bits - 1) - 1.
        scales: [C, S, G] float32, finite and not negative; 0 where a group holds zeros alone.
        group_lengths: Symbols of each of the G groups; they add up to K.
        group_bits: Bits of a symbol of each group, 2 to 16.

    Raises:
        FormatError: Shapes or values do not fit one another.
    """

    symbols: np.ndarray
    scales: np.ndarray
    group_lengths: tuple[int, ...]
    group_bits: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.group_lengths) <= MAX_GROUPS:
            raise FormatError(f"{len(self.group_lengths)} groups of symbols; 1 to {MAX_GROUPS} are possible")
        _check_bits(self.group_bits, len(self.group_lengths))
        if self.scales.shape != (*self.symbols.shape[:2], len(self.group_lengths)):
            raise FormatError(f"scales of shape {self.scales.shape} do not fit symbols of {self.symbols.shape}")
        if sum(self.group_lengths) != self.symbols.shape[2] or min(self.group_lengths) < 1:
            raise FormatError(
                f"{sum(self.group_lengths)} symbols in groups are not {self.symbols.shape[2]}, or one is empty"
            )
        if not (np.isfinite(self.scales).all() and (self.scales >= 0).all()):
            raise FormatError("a scale is negative or not finite")
        for group, bits in zip(_split(self.symbols, self.group_lengths), self.group_bits, strict=True):
            if group.size and int(np.abs(group).max()) > largest_symbol(bits):
                raise FormatError(f"a symbol is beyond {bits} bits")

    def values(self) -> np.ndarray:
        """Return the numbers that the symbols stand for: [C, S, K] float32."""
        scale_of_symbol = np.repeat(self.scales, self.group_lengths, axis=-1)
        with np.errstate(over="ignore"):  # a stranger's scales may lead to infinity, which is then heard
            return self.symbols.astype(np.float32) * scale_of_symbol

    def digest(self) -> bytes:
        """Return 8 bytes of BLAKE2b over symbols as little-endian int32 and scales as little-endian float32."""
        state = hashlib.blake2b(digest_size=DIGEST_BYTES)
        state.update(np.ascontiguousarray(self.symbols, dtype="<i4").tobytes())
        state.update(np.ascontiguousarray(self.scales, dtype="<f4").tobytes())
        return state.digest()


def largest_symbol(bits: int) -> int:
    """Return the largest magnitude that a symbol of so many bits has."""
    return 2 ** (bits - 1) - 1


def quantize(values: np.ndarray, group_lengths: tuple[int, ...], group_bits: tuple[int, ...]) -> LayeredSymbols:
    """Return the symbols of `values` [C, S, K], with the largest magnitude of each group as its largest symbol.

    Raises:
        FormatError: Groups and bits do not fit one another or the values.
    """
    _check_bits(group_bits, len(group_lengths))
    limits = np.array([largest_symbol(bits) for bits in group_bits])
    starts = np.cumsum((0, *group_lengths[:-1]))
    peaks = np.maximum.reduceat(np.abs(values.astype(np.float32)), starts, axis=-1)
    scales = (peaks / limits).astype(np.float32)
    divisors = np.repeat(np.where(scales > 0, scales, 1), group_lengths, axis=-1)
    limit = np.repeat(limits, group_lengths)
    symbols = np.clip(np.rint(values / divisors), -limit, limit).astype(np.int32)
    return LayeredSymbols(symbols, scales, group_lengths, group_bits)


def pack(chunk: LayeredSymbols) -> bytes:
    """Return the payload: lengths and bits of the groups, and a zstd frame of scales and symbols.

    Numbers of one group stand together over all channels and segments, since they are distributed alike. Of symbols
    with more than 8 bits the highest 8 stand among the bytes of the others and the rest behind all of them, as it is:
    with low and high bytes in their place, files of 12 bits are longer than 12 bits for each symbol.
    """
    highest, lowest = [], []
    for group, bits in zip(_split(chunk.symbols, chunk.group_lengths), chunk.group_bits, strict=True):
        flat = group.reshape(-1)
        folded = np.where(flat < 0, -2 * flat - 1, 2 * flat)
        width = _low_width(bits)
        highest.append((folded >> width).astype(np.uint8).tobytes())
        lowest.append(pack_low_bits(folded, width))
    scales = np.ascontiguousarray(chunk.scales, dtype="<f4").reshape(-1, 1).view(np.uint8)
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True, write_checksum=False)
    groups = zip(chunk.group_lengths, chunk.group_bits, strict=True)
    head = HEAD.pack(len(chunk.group_lengths)) + b"".join(GROUP.pack(*group) for group in groups)
    return head + compressor.compress(b"".join([scales.T.tobytes(), *highest, *lowest]))


def unpack(payload: bytes, *, shape: tuple[int, int, int]) -> LayeredSymbols:
    """Return what a payload holds.

    Args:
        payload: What `pack` returned.
        shape: (C, S, K).

    Raises:
        FormatError: The payload is not exactly such a chunk.
    """
    channels, segments, num_weights = shape
    group_lengths, group_bits, frame = _unpack_head(payload, num_weights)
    counts = [channels * segments * length for length in group_lengths]
    widths = [_low_width(bits) for bits in group_bits]
    sizes = [packed_bytes(count, width) for count, width in zip(counts, widths, strict=True)]
    scale_bytes = channels * segments * len(group_lengths) * _SCALE_BYTES
    parts = np.split(
        _decompress(frame, scale_bytes + sum(counts) + sum(sizes)), np.cumsum([scale_bytes, *counts, *sizes[:-1]])
    )
    scales = np.ascontiguousarray(parts[0].reshape(_SCALE_BYTES, -1).T).view("<f4")
    highest, lowest = parts[1 : 1 + len(counts)], parts[1 + len(counts) :]
    groups = [
        _unfolded(high, unpack_low_bits(low, len(high), width), width).reshape(channels, segments, -1)
        for high, low, width in zip(highest, lowest, widths, strict=True)
    ]
    return LayeredSymbols(
        np.concatenate(groups, axis=-1),
        scales.reshape(channels, segments, -1).astype(np.float32),
        group_lengths,
        group_bits,
    )


def _unfolded(high: np.ndarray, low: np.ndarray, width: int) -> np.ndarray:
    """Return the symbols whose folded form has these highest bits, and behind them these lowest `width` ones."""
    folded = (high.astype(np.int32) << width) | low
    return np.where(folded % 2, -(folded // 2) - 1, folded // 2)


def _unpack_head(payload: bytes, num_weights: int) -> tuple[tuple[int, ...], tuple[int, ...], bytes]:
    """Return lengths and bits of the groups, and the frame behind them."""
    try:
        (num_groups,) = HEAD.unpack_from(payload)
        if not 1 <= num_groups <= MAX_GROUPS:
            raise FormatError(f"payload: {num_groups} groups of symbols; 1 to {MAX_GROUPS} are possible")
        stop = HEAD.size + num_groups * GROUP.size
        group_lengths, group_bits = zip(*GROUP.iter_unpack(payload[HEAD.size : stop]), strict=True)
    except (StructError, ValueError):
        raise FormatError("payload is shorter than its own description") from None
    _check_bits(group_bits, num_groups)
    if sum(group_lengths) != num_weights or min(group_lengths) < 1:
        raise FormatError(f"payload: {sum(group_lengths)} symbols in groups are not the {num_weights} of a segment")
    return group_lengths, group_bits, payload[stop:]


def _split(symbols: np.ndarray, group_lengths: tuple[int, ...]) -> list[np.ndarray]:
    """Return the groups of symbols: [C, S, K] to a [C, S, length] each."""
    return np.split(symbols, np.cumsum(group_lengths)[:-1], axis=-1)


def _low_width(bits: int) -> int:
    """Return how many of a symbol's bits do not fit the byte for its highest ones."""
    return max(bits - 8, 0)


def _check_bits(group_bits: tuple[int, ...], num_groups: int) -> None:
    if len(group_bits) != num_groups:
        raise FormatError(f"bits of {len(group_bits)} groups of symbols, where there are {num_groups}")
    for bits in group_bits:
        if not MIN_BITS <= bits <= MAX_BITS:
            raise FormatError(f"symbols of {bits} bits; {MIN_BITS} to {MAX_BITS} are possible")


def _decompress(frame: bytes, content_bytes: int) -> np.ndarray:
    """Decompress after checking the frame's own claim, since a declared size is allocated before anything is read."""
    try:
        if zstandard.get_frame_parameters(frame).content_size != content_bytes:
            raise FormatError(f"payload does not announce the {content_bytes} bytes that its chunk has")
        content = zstandard.ZstdDecompressor().decompress(frame, content_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"payload is not a valid zstd frame: {error}") from error
    if len(content) != content_bytes:
        raise FormatError(f"payload holds {len(content)} bytes and announced {content_bytes}")
    return np.frombuffer(content, np.uint8)
