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
from bisect import bisect_right
from collections.abc import Mapping, Sequence
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
PLAIN, BY_CLASS, BY_CONTEXT, BY_LAYER, BY_PAIR = 0, 1, 2, 3, 4
LAPPED_SIREN, FMLP, SIREN = 0, 1, 2
SPARSE_CLASSES = 7  # classes below this are stored as runs of zeros and values
NOT_STORED = 255  # a reduction: nothing is stored of the second channel

Tables = Mapping[str, np.ndarray]
"""Tensors of a model file by name, as `safetensors.numpy.load_file` returns them."""

Quality = int | Sequence[int]
"""In hundredths: that of all channels, or of each."""

Rotations = Sequence[tuple[int, int]]
"""Angle and reduction of each pair of channels; nothing where a chunk has none."""

Coupling = tuple[int, int, int, tuple[int, ...], tuple[int, ...]]
"""First and second channel, share of the latent, loudness in each pass, agreement of signs in each band."""

BANDS = [np.s_[:, start:stop] for start, stop in itertools.pairwise((0, 8, 16, 32, 64, 128, 256, 512, None))]

# Dimensions and magnitude of each table.
TABLES = {
    "prediction": (1, 2**8), "latent_step": (2, 2**16),
    "enter": (2, 2**16), "enter_bias": (2, 2**44),
    "latent_mix": (2, 2**16), "latent_mix_bias": (1, 2**44),
    "unpair": (2, 2**16), "unpair_bias": (1, 2**44),
    "segment_mix": (2, 2**16), "segment_mix_bias": (1, 2**44),
    "leave": (2, 2**16), "leave_bias": (2, 2**44),
}  # fmt: skip

FREQUENCIES = ("unit", "edges", "weights", "latent")  # all of them are in a model file, or none
NUM_TOKENS = 61
BITS = [range(0, 2**24 + 1, 2 ** (24 - n)) for n in range(17)]  # sums of the frequencies of each bits(n)
PASSES = [
    # first segment, first weight, step; distance of the neighbours; factors of those in time, in frequency, at corners
    (0, 0, 4, 0, 0, 0, 0),
    (2, 2, 4, 2, 0, 0, 4),
    (0, 2, 4, 2, 4, 4, 0),
    (2, 0, 4, 2, 3, 3, 1),
    (1, 1, 2, 1, 0, 0, 4),
    (0, 1, 2, 1, 4, 4, 0),
    (1, 0, 2, 1, 3, 3, 1),
]


class FormatError(ValueError):
    """The bytes are not what docs/format.md says."""


@dataclass(frozen=True)
class Header:
    """The fields of a file header that say something about the sound; `num_samples` is None if it is unknown there.

    `network` is the network record without its reserved byte: hidden layers, frequencies, width, omega_0, omega and
    storage.
    """

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
    target_network: int = LAPPED_SIREN
    network: tuple[int, int, int, float, float, int] | None = None


@dataclass(frozen=True)
class Chunk:
    """A chunk whose symbols have the stated digest.

    Shape:
        - latent: [C, S/2, Z] int64
        - symbols: [C, S, K] int64
        - attacks: (slot, channel, gain) of each
        - rotations: (angle, reduction) of each pair of channels, or none at all
        - couplings: of order by-pair
        - left_out: eights of weights that are not stored
        - scales: [C, S, G] float32, of networks with hidden layers; these have no latent
        - group_lengths: symbols of each of their G groups
    """

    first_segment: int
    num_segments: int
    order: int
    is_last: bool
    digest: bytes
    latent: np.ndarray
    symbols: np.ndarray
    attacks: list[tuple[int, int, int]]
    rotations: Rotations
    scales: np.ndarray | None = None
    group_lengths: tuple[int, ...] = ()
    couplings: Sequence[Coupling] = ()
    left_out: int = 0


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


def read_file(data: bytes, tables: Tables | None) -> File:
    """Read a whole file front to back, decode all of it to symbols, and verify them.

    Args:
        data: The file.
        tables: Of the model that the file names; networks with hidden layers need none.

    Raises:
        FormatError: Anything at all is wrong with the file or the tables.
    """
    header, offset = read_header(data)
    if header.network is None:
        require(tables is not None, "a lapped SIREN needs the tables of its model")
        check_tables(tables)
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
    require(target_network in (LAPPED_SIREN, FMLP, SIREN), f"target network {target_network} is not known")
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
    network = None
    if target_network != LAPPED_SIREN:
        network, offset = read_network(data, offset, target_network), offset + 14
    # A later minor version may have fields behind these, which this one skips.
    require(header_bytes == offset + 4 or (minor > 0 and header_bytes > offset + 4), "bad header length")
    check_crc(data, 0, header_bytes - 4)
    known_samples = None if num_samples == UNKNOWN else num_samples
    hop, sample_format = Fraction(numerator, denominator), flags >> 8 & 0xF
    sample_format = sample_format if sample_format <= 7 else 0
    header = Header(
        num_channels, model_id, known_samples, rate, hop, gain, num_weights, quality, sample_format, tags,
        target_network, network,
    )  # fmt: skip
    return header, header_bytes


def read_network(data: bytes, start: int, target_network: int) -> tuple[int, int, int, float, float, int]:
    """Return the network record without its reserved byte."""
    hidden_layers, num_frequencies, width, omega_0, omega, storage, reserved = fields("BBHffBB", data, start)
    require(1 <= hidden_layers <= 32 and 1 <= width <= 1024, "bad shape of the network")
    if target_network == FMLP:
        require(1 <= num_frequencies <= 24 and omega_0 == omega == 0, "bad frequencies of the FMLP")
    else:
        require(num_frequencies == 0 and 0 < omega_0 <= 1e6 and 0 < omega <= 1e6, "bad omegas of the SIREN")
    require(storage in (0, 1) and reserved == 0, "bad storage of the network")
    return hidden_layers, num_frequencies, width, omega_0, omega, storage


def read_chunk(data: bytes, start: int, header: Header, tables: Tables | None) -> tuple[Chunk, int]:
    """Return the chunk at `start`, decoded and verified, and its length (bytes)."""
    first, count, order, flags, payload_bytes, digest = fields("IHBBI8s", data, start + 4)
    require(first % 2 == 0 and first + count <= MAX_SEGMENTS, "bad first segment")
    require(count % 2 == 0 and 2 <= count <= MAX_CHUNK_SEGMENTS, "bad number of segments")
    orders = (PLAIN, BY_CLASS, BY_CONTEXT, BY_PAIR) if header.network is None else (BY_LAYER,)
    require(order in orders, f"order {order} is not known")
    require(1 <= payload_bytes <= MAX_CHUNK_PAYLOAD_BYTES, "bad payload length")
    payload = take(data, start + 24, payload_bytes)
    check_crc(data, start, start + 24 + payload_bytes)
    shape = (header.num_channels, count, header.num_weights)
    require(math.prod(shape) <= MAX_CHUNK_SYMBOLS, "too many symbols in a chunk")
    if header.network is not None:
        require(flags & 0b1110 == 0, "a network with hidden layers has attacks, rotations or a bandwidth")
        symbols, scales, groups = read_layers(payload, shape)
        layers_digest = hashlib.blake2b(symbols.astype("<i4").tobytes() + scales.astype("<f4").tobytes(), digest_size=8)
        require(layers_digest.digest() == digest, "the symbols do not have the stated digest")
        latent = np.zeros((*shape[:2], 0), np.int64)
        chunk = Chunk(first, count, order, bool(flags & 1), digest, latent, symbols, [], [], scales, groups)
        return chunk, 24 + payload_bytes + 4
    attacks, payload = read_attacks(payload, shape) if flags & 2 else ([], payload)
    rotations, payload = read_rotations(payload, header.num_channels) if flags & 4 else ([], payload)
    left_out, payload = read_bandwidth(payload, shape[2]) if flags & 8 else (0, payload)
    couplings, payload = read_couplings(payload, rotations, shape[0]) if order == BY_PAIR else ([], payload)
    narrow = (*shape[:2], shape[2] - 8 * left_out)
    latent, symbols = read_rotated(payload, rotations, narrow, order, tables, header.quality, couplings)
    symbols = np.concatenate([symbols, np.zeros((*shape[:2], 8 * left_out), np.int64)], axis=2)
    require(symbol_digest(latent, symbols) == digest, "the symbols do not have the stated digest")
    chunk = Chunk(
        first, count, order, bool(flags & 1), digest, latent, symbols, attacks, rotations,
        couplings=couplings, left_out=left_out,
    )  # fmt: skip
    return chunk, 24 + payload_bytes + 4


def read_layers(payload: bytes, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return symbols [C, S, K], scales [C, S, G] and the lengths of the groups of a payload in order by-layer."""
    channels, segments, num_weights = shape
    (num_groups,) = fields("H", payload, 0)
    require(1 <= num_groups <= 256, "bad number of groups")
    described = fields(num_groups * "IB", payload, 2)
    groups, group_bits = described[0::2], described[1::2]
    require(min(groups) > 0 and sum(groups) == num_weights, "the groups do not fit the segment")
    require(min(group_bits) >= 2 and max(group_bits) <= 16, "bad bits")
    frame = payload[2 + 5 * num_groups :]
    num_rows = channels * segments
    num_scales = num_rows * num_groups
    counts = [num_rows * length for length in groups]
    widths = [max(bits - 8, 0) for bits in group_bits]
    sizes = [(count * width + 7) // 8 for count, width in zip(counts, widths, strict=True)]
    content_bytes = 4 * num_scales + sum(counts) + sum(sizes)
    content = decompress(frame, content_bytes)
    require(len(content) == content_bytes, "the content does not fit the chunk")
    scale_planes = np.frombuffer(content, np.uint8, 4 * num_scales).reshape(4, num_scales)
    scales = np.ascontiguousarray(scale_planes.T).view("<f4").reshape(channels, segments, num_groups)
    require(np.all(np.isfinite(scales)) and np.all(scales >= 0), "bad scale")
    symbols, start, low_start = [], 4 * num_scales, 4 * num_scales + sum(counts)
    for bits, count, width, size in zip(group_bits, counts, widths, sizes, strict=True):
        folded = np.frombuffer(content, np.uint8, count, offset=start).astype(np.int64) << width
        low = np.frombuffer(content, np.uint8, size, offset=low_start).astype(np.int64)
        stream = (low[:, None] >> np.arange(8) & 1).reshape(-1)
        require(not stream[count * width :].any(), "padding is not zero")
        folded += stream[: count * width].reshape(count, width) @ (1 << np.arange(width))
        values = np.where(folded % 2 == 1, -((folded + 1) // 2), folded // 2)
        require(np.all(np.abs(values) < 2 ** (bits - 1)), "a symbol has too many bits")
        symbols.append(values.reshape(channels, segments, -1))
        start, low_start = start + count, low_start + size
    return np.concatenate(symbols, axis=2), scales, groups


def decompress(frame: bytes, content_bytes: int) -> bytes:
    """Return the content of a frame that declares this size."""
    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        require(declared == content_bytes, "the declared size does not fit the chunk")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"the payload is not a zstd frame: {error}") from None


def read_attacks(payload: bytes, shape: tuple[int, int, int]) -> tuple[list[tuple[int, int, int]], bytes]:
    """Return the attacks that a payload begins with, and what follows them."""
    (num_attacks,) = fields("H", payload, 0)
    require(num_attacks > 0, "there are no attacks where some are announced")
    attacks = [fields("HBB", payload, 2 + 4 * place) for place in range(num_attacks)]
    for slot, channel, gain in attacks:
        require(36 <= slot <= 16 * (shape[1] - 1), "an attack lies outside its chunk")
        require(channel < shape[0] and 1 <= gain <= 15, "bad channel or gain of an attack")
    for (slot, channel, _), (next_slot, next_channel, _) in itertools.pairwise(attacks):
        require(channel < next_channel or (channel == next_channel and slot + 16 <= next_slot), "bad order of attacks")
    return attacks, payload[2 + 4 * num_attacks :]


def read_rotations(payload: bytes, num_channels: int) -> tuple[Rotations, bytes]:
    """Return the rotations that stand behind the attacks of a payload, and what follows them."""
    num_pairs = num_channels // 2
    rotations = [fields("BB", payload, 2 * pair) for pair in range(num_pairs)]
    require(any(rotation != (0, 0) for rotation in rotations), "no pair of channels is rotated")
    return rotations, payload[2 * num_pairs :]


def read_bandwidth(payload: bytes, num_weights: int) -> tuple[int, bytes]:
    """Return how many eights of weights are left out, and what follows behind the byte that says so."""
    (left_out,) = fields("B", payload, 0)
    require(left_out > 0 and 8 * left_out < num_weights, "bad bandwidth")
    return left_out, payload[1:]


def channel_qualities(quality: int, rotations: Rotations, num_channels: int) -> list[int]:
    """Return the quality of each channel: that of the file, less the reduction of second channels."""
    qualities = [quality] * num_channels
    for pair, (_, reduction) in enumerate(rotations):
        qualities[2 * pair + 1] = max(quality - 10 * reduction, 0)
    return qualities


def stored_channels(rotations: Rotations, num_channels: int) -> list[int]:
    """Return the channels of which something is stored."""
    silent = {2 * pair + 1 for pair, (_, reduction) in enumerate(rotations) if reduction == NOT_STORED}
    return [channel for channel in range(num_channels) if channel not in silent]


def read_couplings(payload: bytes, rotations: Rotations, num_channels: int) -> tuple[list[Coupling], bytes]:
    """Return the couplings in front of symbols in order by-pair, and the words of these."""
    (count,) = fields("B", payload, 0)
    numbers = [fields("18B", payload, 1 + 18 * index) for index in range(count)]
    couplings = [(first, second, latent, rest[:7], rest[7:]) for first, second, latent, *rest in numbers]
    channels = [channel for first, second, *_ in couplings for channel in (first, second)]
    require(count > 0, "nothing is coupled")
    require(set(channels) <= set(stored_channels(rotations, num_channels)), "a channel is coupled that is not stored")
    require(len(set(channels)) == len(channels), "a channel is coupled twice")
    require(channels[::2] == sorted(channels[::2]), "couplings do not ascend")
    require(all(first < second for first, second, *_ in couplings), "a second channel stands before its first")
    require(all(max(loudness) <= 16 and min(signs) > 0 for *_, loudness, signs in couplings), "a bad coupling")
    return [(*each[:3], tuple(each[3]), tuple(each[4])) for each in couplings], payload[1 + 18 * count :]


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


def read_rotated(
    payload: bytes,
    rotations: Rotations,
    shape: tuple[int, int, int],
    order: int,
    tables: Tables,
    quality: int,
    couplings: Sequence[Coupling] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Return latent [C, S/2, Z] and symbols [C, S, K] of what stands behind all else; `quality` is the file's."""
    stored, qualities = stored_channels(rotations, shape[0]), channel_qualities(quality, rotations, shape[0])
    lowered = [qualities[channel] for channel in stored]
    among = [(stored.index(first), stored.index(second), *rest) for first, second, *rest in couplings]
    parts = read_payload(payload, (len(stored), *shape[1:]), order, tables, lowered, among)
    latent, symbols = (np.zeros((shape[0], *part.shape[1:]), np.int64) for part in parts)
    latent[stored], symbols[stored] = parts
    return latent, symbols


def read_payload(
    payload: bytes,
    shape: tuple[int, int, int],
    order: int,
    tables: Tables,
    quality: Quality,
    couplings: Sequence[Coupling] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the latent [C, S/2, Z] and the symbols [C, S, K] of a chunk, as int64.

    Args:
        payload: What stands behind attacks, rotations and bandwidth.
        shape: C, S, K, where C counts the channels that are stored, and K the weights.
        order: `PLAIN`, `BY_CLASS`, `BY_CONTEXT` or `BY_PAIR`.
        tables: Of the model.
        quality: Of these channels.
        couplings: Of these channels.

    Raises:
        FormatError: The payload is not that of such a chunk.
    """
    num_channels, steps, num_dimensions = shape[0], shape[1] // 2, len(tables["fixed_point.prediction"])
    num_residuals, num_symbols = num_channels * steps * num_dimensions, math.prod(shape)
    if order in (BY_CONTEXT, BY_PAIR):
        decoder = Decoder(payload)
        residuals = np.zeros((num_dimensions, num_channels, steps), np.int64)
        coded = code_channels(decoder, residuals, np.zeros(shape, np.int64), tables, quality, couplings)
        decoder.finish()
        return coded
    try:
        # The declared size is allocated before anything is decompressed. At worst a value is a byte and four more, and
        # a symbol has a run before it.
        declared = zstandard.get_frame_parameters(payload).content_size
        require(declared <= 5 * num_residuals + 6 * num_symbols + 1, "the declared size does not fit the symbols")
        content = Content(zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False))
    except zstandard.ZstdError as error:
        raise FormatError(f"the payload is not a zstd frame: {error}") from None
    residuals = content.values(num_residuals).reshape(num_channels, num_dimensions, steps)
    latent = from_residuals(residuals.transpose(1, 0, 2), tables)
    symbols = np.zeros(num_symbols, np.int64)
    dense, sparse = stored_positions(latent, shape, order, tables, quality)
    symbols[dense] = content.values(len(dense))
    if order == BY_CLASS:
        not_zero = sparse[content.runs(len(sparse))]
        symbols[not_zero] = content.values(len(not_zero))
        require(np.all(symbols[not_zero] != 0), "a value between two runs is zero")
    require(not content.data, "something is left of the content")
    return latent, symbols.reshape(shape)


def write_payload(
    latent: np.ndarray,
    symbols: np.ndarray,
    order: int,
    tables: Tables,
    quality: Quality,
    couplings: Sequence[Coupling] = (),
) -> bytes:
    """Return a payload that holds latent [C, S/2, Z] and symbols [C, S, K]; couplings do not stand in it."""
    if order in (BY_CONTEXT, BY_PAIR):
        return words_of(payload_steps(latent, symbols, tables, quality, couplings))
    return zstandard.ZstdCompressor().compress(payload_content(latent, symbols, order, tables, quality))


def write_rotated(
    latent: np.ndarray,
    symbols: np.ndarray,
    rotations: Rotations,
    order: int,
    tables: Tables,
    quality: int,
    couplings: Sequence[Coupling] = (),
    left_out: int = 0,
) -> bytes:
    """Return a payload that begins with rotations, bandwidth and couplings, if there are any.

    Args:
        latent: [C, S/2, Z].
        symbols: [C, S, K].
        rotations: Of each pair of channels.
        order: Stored order of the symbols.
        tables: Of the model.
        quality: The file's.
        couplings: For order by-pair.
        left_out: Leave out so many eights of weights; they are 0.
    """
    stored, qualities = stored_channels(rotations, len(latent)), channel_qualities(quality, rotations, len(latent))
    begin = b"".join(struct.pack("<BB", *rotation) for rotation in rotations)
    if left_out:
        begin += bytes([left_out])
        symbols = symbols[..., : -8 * left_out]
    if order == BY_PAIR:
        begin += bytes([len(couplings)])
        begin += b"".join(bytes([*each[:3], *each[3], *each[4]]) for each in couplings)
    lowered = [qualities[channel] for channel in stored]
    among = [(stored.index(first), stored.index(second), *rest) for first, second, *rest in couplings]
    return begin + write_payload(latent[stored], symbols[stored], order, tables, lowered, among)


def payload_content(latent: np.ndarray, symbols: np.ndarray, order: int, tables: Tables, quality: Quality) -> bytes:
    """Return what the zstd frame of a payload holds."""
    residuals = to_residuals(latent, tables)
    dense, sparse = stored_positions(latent, symbols.shape, order, tables, quality)
    flat = symbols.reshape(-1).astype(np.int64)
    runs = b""
    if order == BY_CLASS:
        for zeros in np.diff(np.flatnonzero(flat[sparse]), prepend=-1, append=len(sparse)) - 1:
            runs += b"\xff" * (zeros // 255) + bytes([zeros % 255])
    first = np.concatenate([residuals.transpose(1, 0, 2).reshape(-1), flat[dense]])
    values = np.concatenate([first, flat[sparse][flat[sparse] != 0]])
    is_large = np.abs(values) > 127
    codes = np.where(is_large, 255, np.where(values > 0, 2 * values - 1, -2 * values)).astype(np.uint8).tobytes()
    return codes[: len(first)] + runs + codes[len(first) :] + values[is_large][::-1].astype("<i4").tobytes()


def stored_positions(
    latent: np.ndarray, shape: tuple[int, ...], order: int, tables: Tables, quality: Quality
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the symbols in stored order: of those stored one by one, and of the sparse ones."""
    if order == PLAIN:
        return np.arange(math.prod(shape)), np.arange(0)
    classes = scale_classes(latent, tables, quality, shape[-1]).reshape(-1)
    stored = np.argsort(classes, kind="stable")
    num_sparse = np.count_nonzero(classes < SPARSE_CLASSES)
    return stored[num_sparse:], stored[:num_sparse]


def from_residuals(residuals: np.ndarray, tables: Tables) -> np.ndarray:
    """Return the latent [C, S/2, Z] whose residuals are [Z, C, S/2]."""
    prediction = tables["fixed_point.prediction"].astype(np.int64)
    latent = np.zeros((*residuals.shape[1:], len(prediction)), np.int64)
    previous = np.zeros((residuals.shape[1], len(prediction)), np.int64)
    for t in range(residuals.shape[2]):
        latent[:, t] = previous = wrap(residuals[:, :, t].T + ((prediction * previous + 128) >> 8))
    return latent


def to_residuals(latent: np.ndarray, tables: Tables) -> np.ndarray:
    """Return the residuals [Z, C, S/2] of a latent [C, S/2, Z]."""
    before = np.pad(latent.astype(np.int64), ((0, 0), (1, 0), (0, 0)))[:, :-1]
    residuals = wrap(latent - ((tables["fixed_point.prediction"].astype(np.int64) * before + 128) >> 8))
    return residuals.transpose(2, 0, 1)


def wrap(values: np.ndarray) -> np.ndarray:
    """Return int64 values modulo 2^32, in the range of int32."""
    return (values + 2**31) % 2**32 - 2**31


def symbol_digest(latent: np.ndarray, symbols: np.ndarray) -> bytes:
    """Return the eight bytes by which a chunk's symbols are verified."""
    return hashlib.blake2b(latent.astype("<i4").tobytes() + symbols.astype("<i4").tobytes(), digest_size=8).digest()


# Order by-context: what reads and what writes take the same way through a chunk


class Decoder:
    """Decodes numbers from the words of a payload; numbers that are expected do not matter to it."""

    def __init__(self, data: bytes) -> None:
        require(len(data) > 0 and (data[-1] != 0 or len(data) == 1), "the words end in a byte that is zero")
        self.words = list(struct.unpack(f"<{-(-len(data) // 4)}I", data + bytes(-len(data) % 4)))
        while self.words and self.words[-1] == 0:
            self.words.pop()
        self.state = 0
        self.fill()

    def fill(self) -> None:
        """Take words until the state is large enough."""
        while self.state < 2**32 and self.words:
            self.state = 2**32 * self.state + self.words.pop()

    def code(self, sums: Sequence[int], expected: int) -> int:
        """Return the next number; `sums` are those of the frequencies before each, and of all of them."""
        u = self.state % 2**24
        number = bisect_right(sums, u) - 1
        self.state = (sums[number + 1] - sums[number]) * (self.state // 2**24) + u - sums[number]
        self.fill()
        return number

    def finish(self) -> None:
        """Raise FormatError if anything is left."""
        require(not self.words and self.state == 0, "something is left behind the last symbol")


class Recorder:
    """Notes what a decoder must find, instead of decoding; the numbers are those that are expected.

    Attributes:
        steps: Sum of the frequencies before each number, and its own.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def code(self, sums: Sequence[int], expected: int) -> int:
        """Note a number and return it."""
        self.steps.append((sums[expected], sums[expected + 1] - sums[expected]))
        return expected


class Rows(dict[int, list[int]]):
    """Sums of the frequencies in each row of a table [N, 61], made when they are first asked for."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def __missing__(self, row: int) -> list[int]:
        self[row] = sums = [0, *itertools.accumulate(16 * int(entry) for entry in self.table[row])]
        return sums


def payload_steps(
    latent: np.ndarray, symbols: np.ndarray, tables: Tables, quality: Quality, couplings: Sequence[Coupling] = ()
) -> list[tuple[int, int]]:
    """Return what must be coded for latent [C, S/2, Z] and symbols [C, S, K], first to last."""
    recorder = Recorder()
    code_channels(recorder, to_residuals(latent, tables), symbols.astype(np.int64), tables, quality, couplings)
    return recorder.steps


def words_of(steps: Sequence[tuple[int, int]]) -> bytes:
    """Return the words of which a decoder makes these steps, (sum of the frequencies before it, its own) of each.

    The state goes back from the last step to the first, and gives a word away where it would pass 2^64.
    """
    state, words = 0, []
    for before, frequency in reversed(steps):
        if state >= frequency * 2**40:
            words.append(state % 2**32)
            state //= 2**32
        state = state // frequency * 2**24 + state % frequency + before
    words += [state % 2**32, state // 2**32]
    return struct.pack(f"<{len(words)}I", *words).rstrip(b"\0") or b"\0"


def code_channels(
    coder: Decoder | Recorder,
    residuals: np.ndarray,
    symbols: np.ndarray,
    tables: Tables,
    quality: Quality,
    couplings: Sequence[Coupling] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Return latent [C, S/2, Z] and symbols [C, S, K] like those whose residuals [Z, C, S/2] are expected."""
    qualities = per_channel(quality, len(symbols))
    firsts, seconds = [each[0] for each in couplings], [each[1] for each in couplings]
    others = [channel for channel in range(len(symbols)) if channel not in seconds]
    r, y = np.zeros_like(residuals), np.zeros_like(symbols)
    r[:, others] = code_residuals(coder, residuals[:, others], tables, qualities[others])
    latent = from_residuals(r, tables)
    y[others] = code_symbols(coder, latent[others], symbols[others], tables, qualities[others])
    if couplings:
        share = np.array([each[2] for each in couplings])[:, None]
        guess = (share * r[:, firsts] + 128) >> 8
        beyond = code_residuals(coder, wrap(residuals[:, seconds] - guess), tables, qualities[seconds])
        r[:, seconds] = wrap(beyond + guess)
        latent = from_residuals(r, tables)
        classes = fine_classes(latent[firsts], tables, qualities[firsts], symbols.shape[2])
        u = np.minimum(np.abs(y[firsts]), 40) * tables["frequency.unit"].astype(np.int64)[classes]
        told = u, y[firsts], couplings
        y[seconds] = code_symbols(coder, latent[seconds], symbols[seconds], tables, qualities[seconds], told)
    return latent, y


def code_residuals(coder: Decoder | Recorder, expected: np.ndarray, tables: Tables, quality: Quality) -> np.ndarray:
    """Return the residuals of the latent, [Z, C, S/2] like those that are expected."""
    require("frequency.latent" in tables, "the model has no frequencies")
    num_dimensions, num_channels, _ = expected.shape
    first_rows = num_dimensions * ((per_channel(quality, num_channels) + 50) // 100)
    rows = np.arange(num_dimensions)[:, None, None] + first_rows[:, None] + np.zeros(expected.shape, np.int64)
    sums = Rows(tables["frequency.latent"].reshape(-1, NUM_TOKENS))
    magnitudes = code_magnitudes(coder, rows.reshape(-1), sums, np.abs(expected).reshape(-1))
    return code_signs(coder, magnitudes.reshape(expected.shape), expected)


def code_symbols(
    coder: Decoder | Recorder,
    latent: np.ndarray,
    expected: np.ndarray,
    tables: Tables,
    quality: Quality,
    told: tuple[np.ndarray, np.ndarray, Sequence[Coupling]] | None = None,
) -> np.ndarray:
    """Return the symbols, [C, S, K] like those that are expected.

    Second channels are told the loudness [C, S, K] and the symbols of the first ones, and their couplings.
    """
    edges, num_contexts = tables["frequency.edges"], tables["frequency.weights"].shape[1]
    classes = fine_classes(latent, tables, quality, expected.shape[2])
    unit = tables["frequency.unit"].astype(np.int64)[classes]
    magnitudes = np.zeros(expected.shape, np.int64)
    for number, (s0, k0, step, d, time, frequency, corner) in enumerate(PASSES):
        u = np.minimum(magnitudes, 40) * unit
        v = (
            time * (beside(u, -d, 0) + beside(u, d, 0))
            + frequency * (beside(u, 0, -d) + beside(u, 0, d))
            + corner * (beside(u, -d, -d) + beside(u, -d, d) + beside(u, d, -d) + beside(u, d, d))
        )
        sums = Rows(tables["frequency.weights"][number : number + 2].reshape(-1, NUM_TOKENS))
        context = np.searchsorted(edges[number], v, side="right")
        if told is not None:
            parts = np.array([each[3][number] for each in told[2]])[:, None, None]
            v = (16 - parts) * v // 16 + parts * told[0]
            context = np.searchsorted(edges[number], v, side="right")
            if number == 0:
                context = np.where(parts > 0, num_contexts + np.searchsorted(edges[1], v, side="right"), context)
        here = np.s_[:, s0::step, k0::step]
        rows = (64 * context + classes)[here].reshape(-1)
        coded = code_magnitudes(coder, rows, sums, np.abs(expected[here]).reshape(-1))
        magnitudes[here] = coded.reshape(magnitudes[here].shape)
    if told is None:
        return code_signs(coder, magnitudes, expected)
    return code_coupled_signs(coder, magnitudes, expected, told[1], told[2])


def beside(u: np.ndarray, s: int, k: int) -> np.ndarray:
    """Return for every place of u [C, S, K] what stands s segments and k weights on; zeros outside."""
    padded = np.pad(u, ((0, 0), (2, 2), (2, 2)))
    return padded[:, 2 + s : 2 + s + u.shape[1], 2 + k : 2 + k + u.shape[2]]


def code_magnitudes(coder: Decoder | Recorder, rows: np.ndarray, sums: Rows, expected: np.ndarray) -> np.ndarray:
    """Return the magnitudes [N] of a group, whose tokens are coded with these rows [N]."""
    stored = np.argsort(rows, kind="stable").tolist()
    parts = [split(magnitude) for magnitude in expected.tolist()]
    tokens = [0] * len(stored)
    for place, row in zip(stored, rows[stored].tolist(), strict=True):
        tokens[place] = coder.code(sums[row], parts[place][0])
    magnitudes = tokens.copy()
    for n in range(1, 14):
        for place in (place for place in stored if 4 * n + 4 <= tokens[place] < 4 * n + 8):
            leading = 4 + (tokens[place] - 8) % 4
            magnitudes[place] = leading * 2**n + coder.code(BITS[n], parts[place][1] % 2**n)
    large = [place for place in stored if tokens[place] == NUM_TOKENS - 1]
    for place in large:
        magnitudes[place] = 2**16 * coder.code(BITS[16], parts[place][1] // 2**16)
    for place in large:
        magnitudes[place] += coder.code(BITS[16], parts[place][1] % 2**16)
        require(magnitudes[place] >= 2**16, "a small magnitude is written out")
    return np.array(magnitudes, np.int64)


def split(magnitude: int) -> tuple[int, int]:
    """Return the token of a magnitude, and what bits follow it: in its last places."""
    if magnitude < 8:
        return magnitude, 0
    if magnitude >= 2**16:
        return NUM_TOKENS - 1, magnitude
    n = magnitude.bit_length() - 3
    return 4 * n + magnitude // 2**n, magnitude % 2**n


def code_signs(coder: Decoder | Recorder, magnitudes: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return magnitudes with their signs, those of numbers that are expected."""
    values = magnitudes.copy()
    not_zero = np.flatnonzero(magnitudes)
    negative = [coder.code(BITS[1], int(number < 0)) for number in expected.reshape(-1)[not_zero]]
    values.reshape(-1)[not_zero[np.array(negative, bool)]] *= -1
    require(np.all((-(2**31) <= values) & (values < 2**31)), "a number is beyond int32")
    return values


def code_coupled_signs(
    coder: Decoder | Recorder,
    magnitudes: np.ndarray,
    expected: np.ndarray,
    other: np.ndarray,
    couplings: Sequence[Coupling],
) -> np.ndarray:
    """Return magnitudes of second channels with their signs; `other` are the symbols of the first ones."""
    alone = np.where(other == 0, magnitudes, 0)
    values = np.where(other == 0, code_signs(coder, alone, expected), magnitudes)
    for channel, (*_, signs) in enumerate(couplings):
        for band, agreement in zip(BANDS, signs, strict=True):
            here, there, wanted = values[channel][band], other[channel][band], expected[channel][band]
            sums = [0, 2**16 * agreement, 2**24]
            for place in zip(*np.nonzero((here != 0) & (there != 0)), strict=True):
                differs = coder.code(sums, int((wanted[place] < 0) != (there[place] < 0)))
                if (there[place] < 0) != bool(differs):
                    here[place] *= -1
    require(np.all((-(2**31) <= values) & (values < 2**31)), "a number is beyond int32")
    return values


# Tables and scale classes


def check_tables(tables: Tables) -> None:
    """Raise FormatError if sums over the tables could reach 2^53, or if frequencies are none."""
    for name, (dimensions, magnitude) in TABLES.items():
        table = tables["fixed_point." + name]
        require(table.dtype.kind == "i" and table.ndim == dimensions and table.size > 0, f"bad table {name}")
        require(dimensions == 1 or len(table) <= 2**13, f"the table {name} has too many rows")
        lowest = 0 if name == "prediction" else -magnitude
        require(lowest <= table.min() and table.max() <= magnitude, f"the table {name} holds too large values")
    there = ["frequency." + name in tables for name in FREQUENCIES]
    require(all(there) or not any(there), "tables of frequencies are missing")
    if any(there):
        check_frequencies({name: tables["frequency." + name] for name in FREQUENCIES}, tables)


def check_frequencies(t: Tables, tables: Tables) -> None:
    """Raise FormatError if the tables of frequencies, by their short names, are not as they must be."""
    contexts = t["weights"].shape[1] if t["weights"].ndim == 4 else 0
    shapes = {
        "unit": (64,),
        "edges": (7, contexts - 1),
        "weights": (7, contexts, 64, NUM_TOKENS),
        "latent": (11, len(tables["fixed_point.prediction"]), NUM_TOKENS),
    }
    require(1 <= contexts <= 64, "bad number of contexts")
    for name, shape in shapes.items():
        require(t[name].dtype == np.int32 and t[name].shape == shape, f"bad table {name}")
    require(0 <= t["unit"].min() and t["unit"].max() <= 2**16, "the table unit holds bad values")
    require(np.all(np.diff(t["edges"].astype(np.int64)) >= 0), "the table edges does not ascend")
    for name in ("weights", "latent"):
        require(t[name].min() >= 1, f"the table {name} holds a frequency of 0")
        require(np.all(t[name].sum(-1, dtype=np.int64) == 2**20), f"frequencies in {name} do not add up")


def per_channel(quality: Quality, num_channels: int) -> np.ndarray:
    """Return the quality of each channel [C]."""
    return np.broadcast_to(np.array(quality, np.int64), num_channels)


def fine_classes(latent: np.ndarray, tables: Tables, quality: Quality, num_weights: int) -> np.ndarray:
    """Return the fine scale class of every symbol of a chunk, 0 to 63.

    Shape:
        - latent: [C, S/2, Z]
        - returns: [C, S, K] int64
    """
    require(num_weights <= tables["fixed_point.leave"].shape[1], "the model does not know so many weights")
    t = {name: tables["fixed_point." + name].astype(np.int64) for name in TABLES}
    qualities = per_channel(quality, len(latent)).tolist()
    channels = zip(latent.astype(np.int64), qualities, strict=True)
    return np.stack([channel_classes(channel, t, quality)[:, :num_weights] for channel, quality in channels])


def scale_classes(latent: np.ndarray, tables: Tables, quality: Quality, num_weights: int) -> np.ndarray:
    """Return the scale class of every symbol of a chunk, 0 to 15."""
    return fine_classes(latent, tables, quality, num_weights) // 4


def channel_classes(latent: np.ndarray, t: Tables, quality: int) -> np.ndarray:
    """Return the fine classes [S, K'] of one channel, whose latent is [S/2, Z]; the variables are those of the page."""

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
    return np.clip((v + 6144) // 192, 0, 63)


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
