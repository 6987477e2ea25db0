"""Reads `.hsnd` files with NumPy: a second implementation, written from docs/format.md and from nothing else.

Nothing of hscodec is imported, so that a comparison of the two tests the page as well as the program. It is an example
of the format rather than a useful reader: files are read whole, the first fault ends it, and nothing is repaired. All
arithmetic is in 64-bit integers; the caps on a model's tables (`check_tables`) see to it that nothing overflows.

Payloads can be written too, so that tests can choose what is in them.
"""

import hashlib
import itertools
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import zstandard

MAGIC = b"\x89HSND\r\n\x1a"
CHUNK_MARKER = b"\xb5CHK"
TRAILER_MARKER = b"\xb5IDX"
END_MARKER = b"\xb5END"

MAX_SAMPLE_RATE_HZ = 768_000
MAX_CHANNELS = 64
MAX_SAMPLES = 2**40
MAX_HOP_SECONDS = 60
MAX_WEIGHTS = 2**20
MAX_QUALITY = 1000
MAX_TAG_BYTES = 2**15
MAX_CHUNK_SEGMENTS = 2000
MAX_CHUNK_SYMBOLS = 2**22
MAX_CHUNK_PAYLOAD_BYTES = 2**26
MAX_CHUNKS = 2**20
MAX_SEGMENTS = MAX_CHUNKS * MAX_CHUNK_SEGMENTS

UNKNOWN = 2**64 - 1
PLAIN, BY_CLASS = 0, 1
SPARSE_CLASSES = 7  # classes below this are stored as runs of zeros and values

Tables = Mapping[str, np.ndarray]
"""Tensors of a model file by name, as `safetensors.numpy.load_file` returns them."""

# Dimensions and magnitude of each table.
TABLES = {
    "prediction": (1, 2**8), "latent_step": (2, 2**16),
    "enter": (2, 2**16), "enter_bias": (2, 2**44),
    "latent_mix": (2, 2**16), "latent_mix_bias": (1, 2**44),
    "unpair": (2, 2**16), "unpair_bias": (1, 2**44),
    "segment_mix": (2, 2**16), "segment_mix_bias": (1, 2**44),
    "leave": (2, 2**16), "leave_bias": (2, 2**44),
}  # fmt: skip


class FormatError(ValueError):
    """The bytes are not what docs/format.md says."""


@dataclass(frozen=True)
class Header:
    """The fields of a file header that say something about the sound; `num_samples` is None if it is unknown there."""

    num_channels: int
    model_id: bytes
    num_samples: int | None
    sample_rate: int
    hop: Fraction
    gain: float
    num_weights: int
    quality: int
    sample_format: int
    tags: list[tuple[str, str]]


@dataclass(frozen=True)
class Chunk:
    """A chunk whose symbols have the stated digest.

    Shape:
        - latent: [C, S/2, Z] int64
        - symbols: [C, S, K] int64
        - attacks: (slot, channel, gain) of each
    """

    first_segment: int
    num_segments: int
    order: int
    is_last: bool
    digest: bytes
    latent: np.ndarray
    symbols: np.ndarray
    attacks: list[tuple[int, int, int]]


@dataclass(frozen=True)
class File:
    """A whole file; `num_samples` is the trailer's, which is always known."""

    header: Header
    chunks: list[Chunk]
    num_samples: int


def require(condition: bool | np.bool_, message: str) -> None:
    """Raise FormatError unless the condition holds."""
    if not condition:
        raise FormatError(message)


def take(data: bytes, start: int, count: int) -> bytes:
    """Return `count` bytes from `start` on, all of which must be there."""
    require(0 <= start <= start + count <= len(data), "the file ends too early")
    return data[start : start + count]


def fields(layout: str, data: bytes, start: int) -> tuple:
    """Return the little-endian fields that stand at `start`."""
    return struct.unpack("<" + layout, take(data, start, struct.calcsize("<" + layout)))


def check_crc(data: bytes, start: int, stop: int) -> None:
    """Compare the CRC-32 of `[start, stop)` with the four bytes behind it."""
    require(fields("I", data, stop)[0] == zlib.crc32(data[start:stop]), f"the checksum at {stop} is wrong")


# The file


def read_file(data: bytes, tables: Tables) -> File:
    """Read a whole file front to back, decode all of it to symbols, and verify them.

    Args:
        data: The file.
        tables: Of the model that the file names.

    Raises:
        FormatError: Anything at all is wrong with the file or the tables.
    """
    check_tables(tables)
    header, offset = read_header(data)
    chunks: list[Chunk] = []
    index: list[tuple[int, int]] = []
    stop_segment = 0
    while take(data, offset, 4) == CHUNK_MARKER:
        require(not (chunks and chunks[-1].is_last), "a chunk follows the last one")
        chunk, byte_length = read_chunk(data, offset, header, tables)
        require(chunk.first_segment == stop_segment, "a chunk does not start where the previous one stops")
        chunks.append(chunk)
        index.append((byte_length, chunk.num_segments))
        stop_segment += chunk.num_segments
        offset += byte_length
    num_samples, index_in_trailer = read_trailer(data, offset)
    require(index_in_trailer == index, "the index does not describe the chunks")
    require(header.num_samples in (None, num_samples), "header and trailer differ in the number of samples")
    covered = math.floor((stop_segment - 1) * header.hop * header.sample_rate + Fraction(1, 2)) if chunks else 0
    require(num_samples <= covered, "the segments do not cover the samples")
    return File(header, chunks, num_samples)


def read_header(data: bytes) -> tuple[Header, int]:
    """Return the header and its length (bytes)."""
    magic, major, minor, flags, header_bytes, target_network = fields("8sBBHHB", data, 0)
    require(magic == MAGIC, "not a .hsnd file")
    require(major == 1, f"major version {major} is not known")
    require(flags & 0x00FF == 0, "a reserved bit of the header is set")
    require(target_network == 0, f"target network {target_network} is not known")
    num_channels, model_id, num_samples, rate, numerator, denominator = fields("B16sQIII", data, 15)
    require(1 <= num_channels <= MAX_CHANNELS, "bad number of channels")
    require(num_samples <= MAX_SAMPLES or num_samples == UNKNOWN, "bad number of samples")
    require(1 <= rate <= MAX_SAMPLE_RATE_HZ, "bad sample rate")
    require(numerator > 0 and denominator > 0 and math.gcd(numerator, denominator) == 1, "bad hop")
    require(Fraction(numerator, denominator) <= MAX_HOP_SECONDS, "the hop is too long")
    gain, num_weights, quality, num_tags = fields("fIHH", data, 52)
    require(math.isfinite(gain) and gain > 0, "bad gain")
    require(1 <= num_weights <= MAX_WEIGHTS, "bad number of weights")
    require(quality <= MAX_QUALITY, "bad quality")
    tags, offset = [], 64
    for _ in range(num_tags):
        key_bytes, value_bytes = fields("BH", data, offset)
        require(key_bytes >= 1, "a tag has no key")
        key, value = fields(f"{key_bytes}s{value_bytes}s", data, offset + 3)
        try:
            tags.append((key.decode(), value.decode()))
        except UnicodeDecodeError:
            raise FormatError("a tag is not UTF-8") from None
        offset += 3 + key_bytes + value_bytes
        require(offset - 64 <= MAX_TAG_BYTES, "the tags are too long")
    # A later minor version may have fields behind the tags, which this one skips.
    require(header_bytes == offset + 4 or (minor > 0 and header_bytes > offset + 4), "bad header length")
    check_crc(data, 0, header_bytes - 4)
    known_samples = None if num_samples == UNKNOWN else num_samples
    hop, sample_format = Fraction(numerator, denominator), flags >> 8 & 0xF
    sample_format = sample_format if sample_format <= 7 else 0
    header = Header(
        num_channels, model_id, known_samples, rate, hop, gain, num_weights, quality, sample_format, tags
    )  # fmt: skip
    return header, header_bytes


def read_chunk(data: bytes, start: int, header: Header, tables: Tables) -> tuple[Chunk, int]:
    """Return the chunk at `start`, decoded and verified, and its length (bytes)."""
    first, count, order, flags, payload_bytes, digest = fields("IHBBI8s", data, start + 4)
    require(first % 2 == 0 and first + count <= MAX_SEGMENTS, "bad first segment")
    require(count % 2 == 0 and 2 <= count <= MAX_CHUNK_SEGMENTS, "bad number of segments")
    require(order in (PLAIN, BY_CLASS), f"order {order} is not known")
    require(flags & 0b1100 == 0, "a reserved bit of a chunk is set")
    require(1 <= payload_bytes <= MAX_CHUNK_PAYLOAD_BYTES, "bad payload length")
    payload = take(data, start + 24, payload_bytes)
    check_crc(data, start, start + 24 + payload_bytes)
    shape = (header.num_channels, count, header.num_weights)
    require(math.prod(shape) <= MAX_CHUNK_SYMBOLS, "too many symbols in a chunk")
    attacks, payload = read_attacks(payload, shape) if flags & 2 else ([], payload)
    latent, symbols = read_payload(payload, shape, order, tables, header.quality)
    require(symbol_digest(latent, symbols) == digest, "the symbols do not have the stated digest")
    return Chunk(first, count, order, bool(flags & 1), digest, latent, symbols, attacks), 24 + payload_bytes + 4


def read_attacks(payload: bytes, shape: tuple[int, int, int]) -> tuple[list[tuple[int, int, int]], bytes]:
    """Return the attacks that a payload begins with, and its frame."""
    (num_attacks,) = fields("H", payload, 0)
    require(num_attacks > 0, "there are no attacks where some are announced")
    attacks = [fields("HBB", payload, 2 + 4 * place) for place in range(num_attacks)]
    for slot, channel, gain in attacks:
        require(36 <= slot <= 16 * (shape[1] - 1), "an attack lies outside its chunk")
        require(channel < shape[0] and 1 <= gain <= 15, "bad channel or gain of an attack")
    for (slot, channel, _), (next_slot, next_channel, _) in itertools.pairwise(attacks):
        require(channel < next_channel or (channel == next_channel and slot + 16 <= next_slot), "bad order of attacks")
    return attacks, payload[2 + 4 * num_attacks :]


def read_trailer(data: bytes, start: int) -> tuple[int, list[tuple[int, int]]]:
    """Return the number of samples and the index: byte length and segments of each chunk."""
    require(take(data, start, 4) == TRAILER_MARKER, f"neither a chunk nor the trailer at {start}")
    trailer_bytes, end_marker = fields("I4s", data, len(data) - 8)
    require(end_marker == END_MARKER and start + trailer_bytes == len(data), "the trailer does not end the file")
    num_chunks, num_samples = fields("IQ", data, len(data) - 24)
    require(num_chunks <= MAX_CHUNKS and trailer_bytes == 28 + 6 * num_chunks, "bad number of chunks")
    require(num_samples <= MAX_SAMPLES, "bad number of samples")
    check_crc(data, start, len(data) - 12)
    return num_samples, [fields("IH", data, start + 4 + 6 * place) for place in range(num_chunks)]


# Payload


class Content:
    """What is left of a frame's content: values and runs are read from the front, large values from the back."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        require(count <= len(self.data), "the content ends too early")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def values(self, count: int) -> np.ndarray:
        """Return the next `count` values as int64 [count]."""
        codes = np.frombuffer(self.take(count), np.uint8).astype(np.int64)
        values = np.where(codes % 2 == 1, (codes + 1) // 2, -(codes // 2))
        escaped = codes == 255
        start = len(self.data) - 4 * np.count_nonzero(escaped)
        require(start >= 0, "the content ends too early")
        large = np.frombuffer(self.data[start:], "<i4")[::-1].astype(np.int64)
        require(np.all(np.abs(large) > 127), "a large value would have fitted a byte")
        values[escaped], self.data = large, self.data[:start]
        return values

    def runs(self, total: int) -> list[int]:
        """Return the places, among `total` sparse symbols, of those that are not zero."""
        places, place, front = [], 0, 0
        while True:
            require(front < len(self.data) and place <= total, "the runs do not fit the symbols")
            byte, front = self.data[front], front + 1
            place += byte
            if byte < 255 and place == total:
                self.take(front)
                return places
            if byte < 255:
                places.append(place)
                place += 1


def read_payload(
    payload: bytes, shape: tuple[int, int, int], order: int, tables: Tables, quality: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the latent [C, S/2, Z] and the symbols [C, S, K] of a chunk, as int64.

    Args:
        payload: One zstd frame.
        shape: C, S, K.
        order: `PLAIN` or `BY_CLASS`.
        tables: Of the model.
        quality: In hundredths.

    Raises:
        FormatError: The payload is not that of such a chunk.
    """
    num_channels, steps, prediction = shape[0], shape[1] // 2, tables["fixed_point.prediction"].astype(np.int64)
    num_residuals, num_symbols = num_channels * steps * len(prediction), math.prod(shape)
    try:
        # The declared size is allocated before anything is decompressed. At worst a value is a byte and four more, and
        # a symbol has a run before it.
        declared = zstandard.get_frame_parameters(payload).content_size
        require(declared <= 5 * num_residuals + 6 * num_symbols + 1, "the declared size does not fit the symbols")
        content = Content(zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False))
    except zstandard.ZstdError as error:
        raise FormatError(f"the payload is not a zstd frame: {error}") from None
    residuals = content.values(num_residuals).reshape(num_channels, len(prediction), steps)
    latent = np.zeros((num_channels, steps, len(prediction)), np.int64)
    previous = np.zeros((num_channels, len(prediction)), np.int64)
    for t in range(steps):
        latent[:, t] = previous = wrap(residuals[:, :, t] + ((prediction * previous + 128) >> 8))
    symbols = np.zeros(num_symbols, np.int64)
    dense, sparse = stored_positions(latent, shape, order, tables, quality)
    symbols[dense] = content.values(len(dense))
    if order == BY_CLASS:
        not_zero = sparse[content.runs(len(sparse))]
        symbols[not_zero] = content.values(len(not_zero))
        require(np.all(symbols[not_zero] != 0), "a value between two runs is zero")
    require(not content.data, "something is left of the content")
    return latent, symbols.reshape(shape)


def write_payload(latent: np.ndarray, symbols: np.ndarray, order: int, tables: Tables, quality: int) -> bytes:
    """Return a payload that holds latent [C, S/2, Z] and symbols [C, S, K]."""
    return zstandard.ZstdCompressor().compress(payload_content(latent, symbols, order, tables, quality))


def payload_content(latent: np.ndarray, symbols: np.ndarray, order: int, tables: Tables, quality: int) -> bytes:
    """Return what the zstd frame of a payload holds."""
    before = np.pad(latent.astype(np.int64), ((0, 0), (1, 0), (0, 0)))[:, :-1]
    residuals = wrap(latent - ((tables["fixed_point.prediction"].astype(np.int64) * before + 128) >> 8))
    dense, sparse = stored_positions(latent, symbols.shape, order, tables, quality)
    flat = symbols.reshape(-1).astype(np.int64)
    runs = b""
    if order == BY_CLASS:
        for zeros in np.diff(np.flatnonzero(flat[sparse]), prepend=-1, append=len(sparse)) - 1:
            runs += b"\xff" * (zeros // 255) + bytes([zeros % 255])
    first = np.concatenate([residuals.transpose(0, 2, 1).reshape(-1), flat[dense]])
    values = np.concatenate([first, flat[sparse][flat[sparse] != 0]])
    is_large = np.abs(values) > 127
    codes = np.where(is_large, 255, np.where(values > 0, 2 * values - 1, -2 * values)).astype(np.uint8).tobytes()
    return codes[: len(first)] + runs + codes[len(first) :] + values[is_large][::-1].astype("<i4").tobytes()


def stored_positions(
    latent: np.ndarray, shape: tuple[int, ...], order: int, tables: Tables, quality: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the symbols in stored order: of those stored one by one, and of the sparse ones."""
    if order == PLAIN:
        return np.arange(math.prod(shape)), np.arange(0)
    classes = scale_classes(latent, tables, quality, shape[-1]).reshape(-1)
    stored = np.argsort(classes, kind="stable")
    num_sparse = np.count_nonzero(classes < SPARSE_CLASSES)
    return stored[num_sparse:], stored[:num_sparse]


def wrap(values: np.ndarray) -> np.ndarray:
    """Return int64 values modulo 2^32, in the range of int32."""
    return (values + 2**31) % 2**32 - 2**31


def symbol_digest(latent: np.ndarray, symbols: np.ndarray) -> bytes:
    """Return the eight bytes by which a chunk's symbols are verified."""
    return hashlib.blake2b(latent.astype("<i4").tobytes() + symbols.astype("<i4").tobytes(), digest_size=8).digest()


# Scale classes


def check_tables(tables: Tables) -> None:
    """Raise FormatError if sums over the tables could reach 2^53."""
    for name, (dimensions, magnitude) in TABLES.items():
        table = tables["fixed_point." + name]
        require(table.dtype.kind == "i" and table.ndim == dimensions and table.size > 0, f"bad table {name}")
        require(dimensions == 1 or len(table) <= 2**13, f"the table {name} has too many rows")
        lowest = 0 if name == "prediction" else -magnitude
        require(lowest <= table.min() and table.max() <= magnitude, f"the table {name} holds too large values")


def scale_classes(latent: np.ndarray, tables: Tables, quality: int, num_weights: int) -> np.ndarray:
    """Return the scale class of every symbol of a chunk, 0 to 15, for a quality in hundredths.

    Shape:
        - latent: [C, S/2, Z]
        - returns: [C, S, K] int64
    """
    require(num_weights <= tables["fixed_point.leave"].shape[1], "the model does not know so many weights")
    t = {name: tables["fixed_point." + name].astype(np.int64) for name in TABLES}
    return np.stack([channel_classes(channel.astype(np.int64), t, quality)[:, :num_weights] for channel in latent])


def channel_classes(latent: np.ndarray, t: Tables, quality: int) -> np.ndarray:
    """Return the classes [S, K'] of one channel, whose latent is [S/2, Z]; the variables are those of the page."""

    def at(table: np.ndarray) -> np.ndarray:
        i = min(quality // 100, 9)
        f = quality - 100 * i
        return (table[i] * (100 - f) + table[i + 1] * f) // 100

    x = np.clip(np.clip(latent, -(2**20), 2**20) * at(t["latent_step"]), -(2**22), 2**22)
    h = relu(layer(near(x, 5), t["enter"], at(t["enter_bias"])))
    h = np.minimum(h + relu(layer(near(h, 3), t["latent_mix"], t["latent_mix_bias"])), 2**22)
    p = relu(layer(h, t["unpair"], t["unpair_bias"]))
    width = p.shape[1] // 2
    g = np.zeros((2 * len(p), width), np.int64)
    g[0::2], g[1::2] = p[:, :width], p[:, width:]
    g = np.minimum(g + relu(layer(near(g, 3), t["segment_mix"], t["segment_mix_bias"])), 2**22)
    v = layer(g, t["leave"], at(t["leave_bias"]))
    return np.clip((v + 6144) // 768, 0, 15)


def layer(x: np.ndarray, matrix: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return one layer; NumPy's `//` rounds down, as it must."""
    return (x @ matrix + bias) // 2**12


def relu(x: np.ndarray) -> np.ndarray:
    """Return x between 0 and the largest activation."""
    return np.clip(x, 0, 2**22)


def near(x: np.ndarray, taps: int) -> np.ndarray:
    """Return each row joined with its neighbours, earliest first: [T, N] becomes [T, taps N]."""
    padded = np.pad(x, ((taps // 2, taps // 2), (0, 0)))
    return np.concatenate([padded[tap : tap + len(x)] for tap in range(taps)], axis=1)
