"""The payload of a chunk of multilayer perceptrons: quantised numbers of each segment in groups that share a scale.

A group is what one layer's matrix or one layer's biases hold, or the whole bottleneck of a hypernetwork. The groups of
a segment follow one another; each has a scale (float32) in each segment, by which its symbols are multiplied. How many
symbols each has stands in the payload, so that numbers can be read, and checked, without the network.

The layout is normative in `docs/format.md`.
"""

import hashlib
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError

import numpy as np
import zstandard

from hscodec.errors import FormatError

ZSTD_LEVEL = 19
MIN_BITS, MAX_BITS = 2, 16
DIGEST_BYTES = 8
MAX_GROUPS = 256
HEAD = Struct("<BH")
GROUP = Struct("<I")
_SCALE_BYTES = 4


@dataclass(frozen=True)
class LayeredSymbols:
    """The numbers that a chunk stores.

    Attributes:
        symbols: [C, S, K] int32, each within what `bits` can hold: from -(2^(bits - 1) - 1) to 2^(bits - 1) - 1.
        scales: [C, S, G] float32, finite and not negative; 0 where a group holds zeros alone.
        group_lengths: Symbols of each of the G groups; they add up to K.
        bits: 2 to 16.

    Raises:
        FormatError: Shapes or values do not fit one another.
    """

    symbols: np.ndarray
    scales: np.ndarray
    group_lengths: tuple[int, ...]
    bits: int

    def __post_init__(self) -> None:
        _check_bits(self.bits)
        if not 1 <= len(self.group_lengths) <= MAX_GROUPS:
            raise FormatError(f"{len(self.group_lengths)} groups of symbols; 1 to {MAX_GROUPS} are possible")
        if self.scales.shape != (*self.symbols.shape[:2], len(self.group_lengths)):
            raise FormatError(f"scales of shape {self.scales.shape} do not fit symbols of {self.symbols.shape}")
        if sum(self.group_lengths) != self.symbols.shape[2] or min(self.group_lengths, default=0) < 1:
            raise FormatError(f"groups of {self.group_lengths} symbols are not {self.symbols.shape[2]} symbols")
        if not (np.isfinite(self.scales).all() and (self.scales >= 0).all()):
            raise FormatError("a scale is negative or not finite")
        if self.symbols.size and int(np.abs(self.symbols).max()) > largest_symbol(self.bits):
            raise FormatError(f"a symbol is beyond {self.bits} bits")

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


def quantize(values: np.ndarray, group_lengths: tuple[int, ...], bits: int) -> LayeredSymbols:
    """Return the symbols of `values` [C, S, K], with the largest magnitude of each group as its largest symbol."""
    _check_bits(bits)
    starts = np.cumsum((0, *group_lengths[:-1]))
    peaks = np.maximum.reduceat(np.abs(values.astype(np.float32)), starts, axis=-1)
    scales = (peaks / largest_symbol(bits)).astype(np.float32)
    divisors = np.repeat(np.where(scales > 0, scales, 1), group_lengths, axis=-1)
    limit = largest_symbol(bits)
    symbols = np.clip(np.rint(values / divisors), -limit, limit).astype(np.int32)
    return LayeredSymbols(symbols, scales, group_lengths, bits)


def pack(chunk: LayeredSymbols) -> bytes:
    """Return the payload: bits and groups, and a zstd frame of scales and symbols, as planes of bytes.

    Numbers of one group stand together over all channels and segments, since they are distributed alike; planes of
    bytes keep the noise of low bytes away from what high bytes have in common.
    """
    by_group = np.split(chunk.symbols, np.cumsum(chunk.group_lengths)[:-1], axis=-1)
    flat = np.concatenate([group.reshape(-1) for group in by_group])
    folded = np.where(flat < 0, -2 * flat - 1, 2 * flat).astype("<u2")
    content = _planes(np.ascontiguousarray(chunk.scales, dtype="<f4").reshape(-1).view(np.uint8), _SCALE_BYTES)
    content += _planes(folded.view(np.uint8), 2)[: folded.size * _symbol_bytes(chunk.bits)]
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True, write_checksum=False)
    head = HEAD.pack(chunk.bits, len(chunk.group_lengths)) + b"".join(map(GROUP.pack, chunk.group_lengths))
    return head + compressor.compress(content)


def unpack(payload: bytes, *, shape: tuple[int, int, int]) -> LayeredSymbols:
    """Return what a payload holds.

    Args:
        payload: What `pack` returned.
        shape: (C, S, K).

    Raises:
        FormatError: The payload is not exactly such a chunk.
    """
    channels, segments, num_weights = shape
    bits, group_lengths, frame = _unpack_head(payload, num_weights)
    num_scales, num_symbols = channels * segments * len(group_lengths), channels * segments * num_weights
    content = _decompress(frame, num_scales * _SCALE_BYTES + num_symbols * _symbol_bytes(bits))
    scale_bytes, symbol_bytes = content[: num_scales * _SCALE_BYTES], content[num_scales * _SCALE_BYTES :]
    scales = _unplaned(scale_bytes, _SCALE_BYTES).view("<f4").reshape(channels, segments, len(group_lengths))
    padded = np.concatenate([symbol_bytes, np.zeros(2 * num_symbols - len(symbol_bytes), np.uint8)])
    folded = _unplaned(padded, 2).view("<u2").astype(np.int32)
    flat = np.where(folded % 2, -(folded // 2) - 1, folded // 2)
    ends = np.cumsum(np.array(group_lengths, dtype=np.int64) * channels * segments)
    groups = np.split(flat, ends[:-1])
    rows = [
        group.reshape(channels, segments, length) for group, length in zip(groups, group_lengths, strict=True)
    ]
    return LayeredSymbols(np.concatenate(rows, axis=-1), scales.astype(np.float32), group_lengths, bits)


def _unpack_head(payload: bytes, num_weights: int) -> tuple[int, tuple[int, ...], bytes]:
    """Return bits, lengths of the groups, and the frame behind them."""
    try:
        bits, num_groups = HEAD.unpack_from(payload)
        if not 1 <= num_groups <= MAX_GROUPS:
            raise FormatError(f"payload: {num_groups} groups of symbols; 1 to {MAX_GROUPS} are possible")
        stop = HEAD.size + num_groups * GROUP.size
        group_lengths = tuple(length for (length,) in GROUP.iter_unpack(payload[HEAD.size : stop]))
    except StructError:
        raise FormatError("payload is shorter than its own description") from None
    _check_bits(bits)
    if len(group_lengths) != num_groups or sum(group_lengths) != num_weights or min(group_lengths) < 1:
        raise FormatError(f"payload: groups of {group_lengths} symbols are not the {num_weights} of a segment")
    return bits, group_lengths, payload[stop:]


def _symbol_bytes(bits: int) -> int:
    return 1 if bits <= 8 else 2


def _planes(content: np.ndarray, size: int) -> bytes:
    """Return the first bytes of all numbers, then the second ones, and so on."""
    return content.reshape(-1, size).T.tobytes()


def _unplaned(content: np.ndarray, size: int) -> np.ndarray:
    return np.ascontiguousarray(content.reshape(size, -1).T).reshape(-1)


def _check_bits(bits: int) -> None:
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
