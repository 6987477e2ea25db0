"""Writes the `.hsnd` files of this folder that are missing. Run by hand: `python tests/hostile/make_hostile.py`.

Each file is valid but for what its name says; checksums and lengths fit wherever the name does not say otherwise, since
a reader would look no further. The model that they name is `tests/golden/tiny.safetensors`, or
`tiny-context.safetensors` if their own name begins with `context`.
"""

import io
import struct
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import zstandard
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # `benchmarks` is not part of the installed package
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))

import hsnd_numpy as reference

from benchmarks import fuzz_frames as frames
from benchmarks.fuzz_layout import CHUNK_FIELDS, HEADER_FIELDS, ChunkParts, FileParts, parse, put
from hscodec.coding import layered
from hscodec.coding.fixedpoint import scale_classes
from hscodec.coding.order import RUN_CLASSES
from hscodec.coding.payload import ChunkSymbols, pack
from hscodec.container import ChunkOrder, ContainerWriter, FileHeader
from hscodec.container import format as fmt
from hscodec.container.codes import TargetNetwork
from hscodec.container.network import NETWORK, NetworkRecord
from hscodec.registry import Model, load_model

FOLDER = Path(__file__).parent
MODEL = load_model(FOLDER.parent / "golden" / "tiny.safetensors")
CONTEXT_MODEL = load_model(FOLDER.parent / "golden" / "tiny-context.safetensors")
CONTEXT_TENSORS = load_file(CONTEXT_MODEL.path)
RATE_HZ = 16_000
NUM_WEIGHTS = 20
QUALITY = 500
SEGMENTS = (8, 4)
U64_MAX = (1 << 64) - 1
ONE_ATTACK = struct.pack("<HHBB", 1, 36, 1, 15)

FILES: dict[str, Callable[[], bytes]] = {}


def file(make: Callable[[], bytes]) -> Callable[[], bytes]:
    """Register what makes the file of the function's name."""
    FILES[make.__name__.replace("_", "-")] = make
    return make


def draw(num_segments: int, *, seed: int = 0, num_channels: int = 1) -> ChunkSymbols:
    """Return symbols of the size that the model expects of them."""
    random = np.random.default_rng(seed)
    latent = np.round(random.laplace(0, 2, (num_channels, num_segments // 2, MODEL.config.latent_channels)))
    classes = scale_classes(MODEL.tables, latent.astype(np.int32), QUALITY, NUM_WEIGHTS)
    weights = np.round(random.laplace(0, 1, classes.shape) * np.exp(0.75 * (np.minimum(classes, 11) + 0.5) - 6))
    return ChunkSymbols(latent.astype(np.int32), weights.astype(np.int32))


def write(
    *chunks: ChunkSymbols, num_samples: int | None = None, num_weights: int = NUM_WEIGHTS, model: Model = MODEL
) -> bytes:
    """Return a valid file of these chunks, as long as they allow."""
    num_channels = chunks[0].weights.shape[0] if chunks else 1
    sink = io.BytesIO()
    options = {"sample_rate": RATE_HZ, "num_channels": num_channels, "num_weights": num_weights, "quality": QUALITY}
    header = FileHeader(**options, num_samples=None, model_id=model.model_id, tags=(("title", "bad"),))
    with ContainerWriter(sink, header) as writer:
        for chunk in chunks:
            packed = pack(chunk, model.tables, QUALITY, frequencies=model.frequencies)
            writer.write_chunk(
                first_segment=writer.num_segments,
                num_segments=chunk.weights.shape[1],
                order=ChunkOrder(int(packed.order)),
                symbol_digest=chunk.digest(),
                payload=packed.payload,
                last=chunk is chunks[-1],
            )
        writer.close(num_samples=header.max_num_samples(writer.num_segments) if num_samples is None else num_samples)
    return sink.getvalue()


def base() -> FileParts:
    """Return the parts of a file of two chunks."""
    return parse(write(*(draw(count, seed=seed) for seed, count in enumerate(SEGMENTS))))


def header(**values: int) -> bytes:
    """Return a file whose header has these values."""
    parts = base()
    for name, value in values.items():
        put(parts.fixed, HEADER_FIELDS[name], value)
        parts.fix_header_length = parts.fix_header_length and name != "header_bytes"
    return parts.join()


def rate(rate_hz: int) -> bytes:
    """Return a file of this rate and a model's full bandwidth, as long as its chunk allows."""
    parts = parse(write(zeros(1, 12, 640), num_weights=640))
    put(parts.fixed, HEADER_FIELDS["sample_rate"], rate_hz)
    parts.num_samples = (11 * rate_hz + 25) // 50
    return parts.join()


def gain(value: float) -> bytes:
    """Return a file of this gain."""
    return header(gain=struct.unpack("<I", struct.pack("<f", value))[0])


def tags(data: bytes, count: int, minor: int = 0) -> bytes:
    """Return a file whose tags are these bytes."""
    parts = base()
    parts.tags[:] = data
    put(parts.fixed, HEADER_FIELDS["num_tags"], count)
    put(parts.fixed, HEADER_FIELDS["minor"], minor)
    return parts.join()


def tag(key: bytes, value: bytes) -> bytes:
    """Return a tag of any bytes."""
    return fmt.TAG.pack(len(key), len(value)) + key + value


def chunk(which: int = 0, **values: int) -> bytes:
    """Return a file one of whose chunks has these values in its header, the index those of a good file."""
    parts = base()
    parts.index = right_index(parts)
    for name, value in values.items():
        put(parts.chunks[which].head, CHUNK_FIELDS[name], value)
        parts.chunks[which].fix_length = name != "payload_bytes"
    return parts.join()


def right_index(parts: FileParts) -> list[tuple[int, int]]:
    """Return the index of a file as it is now."""
    return [(len(part.join()), count) for part, count in zip(parts.chunks, SEGMENTS, strict=True)]


def trailer(**stated: int) -> bytes:
    """Return a file whose trailer says this."""
    parts = base()
    parts.num_samples = stated.pop("num_samples", parts.num_samples)
    parts.stated = stated
    return parts.join()


def payload(make: Callable[[bytes], bytes]) -> bytes:
    """Return a file whose first payload is made of what it was meant to hold."""
    parts = base()
    content = frames.decompress(parts.chunks[0].payload)
    assert content is not None
    parts.chunks[0].payload = make(content)
    return parts.join()


def content(make: Callable[[bytes], bytes]) -> bytes:
    """Return a file whose first payload is a frame of other content."""
    return payload(lambda old: frames.compress(make(old)))


def num_sparse() -> int:
    """Return how many symbols of the first chunk are stored as runs."""
    classes = scale_classes(MODEL.tables, draw(SEGMENTS[0]).latent, QUALITY, NUM_WEIGHTS)
    return int(np.count_nonzero(classes < RUN_CLASSES))


def dense_bytes() -> int:
    """Return how many bytes of the first chunk's content stand before the runs."""
    symbols = draw(SEGMENTS[0])
    return symbols.latent.size + symbols.weights.size - num_sparse()


def attacks(*rows: tuple[int, int, int], count: int | None = None, announced: bool = True) -> bytes:
    """Return a file whose first chunk begins with attacks, rows of slot, channel and gain."""
    parts = base()
    put(parts.chunks[0].head, CHUNK_FIELDS["flags"], 2 * announced)
    records = b"".join(struct.pack("<HBB", *row) for row in rows)
    parts.chunks[0].payload = (
        struct.pack("<H", len(rows) if count is None else count) + records + parts.chunks[0].payload
    )
    return parts.join()


def context(make: Callable[[bytes], bytes] = bytes, *, num_attacks: int = 0) -> bytes:
    """Return a file in order by-context whose first payload is made of the words that it was meant to hold."""
    symbols = [draw(count, seed=seed) for seed, count in enumerate(SEGMENTS)]
    parts = parse(write(*symbols, model=CONTEXT_MODEL))
    for part, chunk_symbols in zip(parts.chunks, symbols, strict=True):
        part.payload = reference.words_of(context_steps(chunk_symbols))
        put(part.head, CHUNK_FIELDS["order"], int(ChunkOrder.BY_CONTEXT))
    parts.chunks[0].payload = make(parts.chunks[0].payload)
    if num_attacks:
        put(parts.chunks[0].head, CHUNK_FIELDS["flags"], 2)
        records = b"".join(struct.pack("<HBB", 36 + 16 * place, 0, 1) for place in range(num_attacks))
        parts.chunks[0].payload = struct.pack("<H", num_attacks) + records + parts.chunks[0].payload
    return parts.join()


def rotations(
    *pairs: tuple[int, int],
    num_channels: int = 2,
    stored: int | None = None,
    flags: int = 4,
    in_front: bytes = b"",
    make: Callable[[bytes], bytes] = bytes,
    model: Model = MODEL,
) -> bytes:
    """Return a file whose first chunk begins with rotations.

    Args:
        pairs: Angle and reduction of each.
        num_channels: Channels of the file.
        stored: How many of the first chunk are stored, the others being zeros; None is as many as should be.
        flags: Of that chunk.
        in_front: What its payload holds in front of them.
        make: Makes the payload of what it was meant to hold.
        model: The model that the file names.
    """
    chunks = [draw(count, seed=seed, num_channels=num_channels) for seed, count in enumerate(SEGMENTS)]
    kept = reference.stored_channels(pairs, num_channels)
    for values in (chunks[0].latent, chunks[0].weights):
        values[[channel for channel in range(num_channels) if channel not in kept]] = 0
    parts = parse(write(*chunks, model=model))
    kept = kept if stored is None else list(range(stored))
    qualities = reference.channel_qualities(QUALITY, pairs, num_channels)
    order = ChunkOrder.BY_CONTEXT if model.frequencies else ChunkOrder.BY_CLASS
    lowered = [qualities[channel] for channel in kept]
    latent, weights = chunks[0].latent[kept], chunks[0].weights[kept]
    symbols = reference.write_payload(latent, weights, int(order), load_file(model.path), lowered)
    first = parts.chunks[0]
    first.payload = make(in_front + b"".join(struct.pack("<BB", *pair) for pair in pairs) + symbols)
    put(first.head, CHUNK_FIELDS["order"], int(order))
    put(first.head, CHUNK_FIELDS["flags"], flags)
    return parts.join()


def narrow(
    left_out: int, *, stored: int, flags: int = 8, make: Callable[[bytes], bytes] = bytes, model: Model = MODEL
) -> bytes:
    """Return a file whose first chunk begins with a bandwidth.

    Args:
        left_out: What it says, in eights of weights.
        stored: Weights that are stored.
        flags: Of that chunk.
        make: Makes its payload of what it was meant to hold.
        model: The model that the file names.
    """
    chunks = [draw(count, seed=seed) for seed, count in enumerate(SEGMENTS)]
    chunks[0].weights[..., stored:] = 0
    parts = parse(write(*chunks, model=model))
    order = ChunkOrder.BY_CONTEXT if model.frequencies else ChunkOrder.BY_CLASS
    weights = chunks[0].weights[..., :stored]
    symbols = reference.write_payload(chunks[0].latent, weights, int(order), load_file(model.path), QUALITY)
    first = parts.chunks[0]
    first.payload = make(bytes([left_out]) + symbols)
    put(first.head, CHUNK_FIELDS["order"], int(order))
    put(first.head, CHUNK_FIELDS["flags"], flags)
    return parts.join()


def context_steps(symbols: ChunkSymbols) -> list[tuple[int, int]]:
    """Return what a coder does to write a chunk in order by-context."""
    return reference.payload_steps(symbols.latent, symbols.weights, CONTEXT_TENSORS, QUALITY)


def written_out(magnitude: int) -> bytes:
    """Return the words of the first chunk's shape, zeros but for the first symbol, whose magnitude is written out."""
    symbols = zeros(1, SEGMENTS[0], NUM_WEIGHTS)
    symbols.weights.flat[0] = 1 << 20
    steps = context_steps(symbols)
    first_pass = -(-SEGMENTS[0] // 4) * -(-NUM_WEIGHTS // 4)
    halves = symbols.latent.size + first_pass  # they stand behind the tokens of their pass
    steps[halves : halves + 2] = [(magnitude >> 16 << 8, 1 << 8), (magnitude % (1 << 16) << 8, 1 << 8)]
    return reference.words_of(steps)


def zeros(num_channels: int, num_segments: int, num_weights: int) -> ChunkSymbols:
    """Return a chunk of zeros."""
    latent = np.zeros((num_channels, num_segments // 2, MODEL.config.latent_channels), np.int32)
    return ChunkSymbols(latent, np.zeros((num_channels, num_segments, num_weights), np.int32))


LARGEST = zeros(8, 818, 640)
LARGEST_CLASSES = scale_classes(MODEL.tables, LARGEST.latent, QUALITY, 640)
LARGEST_DENSE = LARGEST.latent.size + int(np.count_nonzero(LARGEST_CLASSES >= RUN_CLASSES))
LARGEST_CONTENT = 6 * (LARGEST.latent.size + LARGEST.weights.size)
"""Bytes of the largest chunk's content before its runs, and the most that its frame may declare, less one."""


def largest_by_context() -> bytes:
    """Return a file of one chunk as large as may be, whose symbols are one byte."""
    parts = parse(write(zeros(8, 1638, 320), num_weights=320, model=CONTEXT_MODEL))
    parts.chunks[0].payload = b"\0"
    put(parts.chunks[0].head, CHUNK_FIELDS["order"], int(ChunkOrder.BY_CONTEXT))
    return parts.join()


def largest(content: bytes | None = None, *, num_segments: int = 818) -> bytes:
    """Return a file of one chunk as large as may be; `content` replaces that of its frame."""
    parts = parse(write(LARGEST, num_weights=640))
    if content is not None:
        parts.chunks[0].payload = zstandard.ZstdCompressor(level=19).compress(content)
    put(parts.chunks[0].head, CHUNK_FIELDS["num_segments"], num_segments)
    return parts.join()


def extreme(latent: tuple[int, ...], weights: tuple[int, ...]) -> bytes:
    """Return a valid file of symbols that repeat these."""
    symbols = zeros(1, 12, NUM_WEIGHTS)
    symbols.latent.flat[:] = np.resize(np.array(latent, np.int64).astype(np.int32), symbols.latent.size)
    symbols.weights.flat[:] = np.resize(np.array(weights, np.int64).astype(np.int32), symbols.weights.size)
    return write(symbols)


LAYERED_GROUPS = (4, 4, 4, 1)
LAYERED_BITS = (14, 14, 8, 6)
LAYERED_FRAME = layered.HEAD.size + len(LAYERED_GROUPS) * layered.GROUP.size
LAYERED_NETWORK = NetworkRecord(hidden_layers=1, width=4, omega_0=300.0, omega=30.0)


def layered_file(
    change: Callable[[bytes], bytes] | None = None, *, groups: tuple[int, ...] = LAYERED_GROUPS, **chunk_fields: int
) -> bytes:
    """Return a file of SIRENs that needs no model, with another payload or chunk header if so wished."""
    values = np.random.default_rng(0).normal(size=(1, 4, sum(groups)))
    values[:, 3] = 0
    symbols = layered.quantize(values, groups, LAYERED_BITS)
    sink = io.BytesIO()
    header = FileHeader(
        sample_rate=RATE_HZ,
        num_channels=1,
        num_samples=4_800,
        num_weights=sum(groups),
        quality=0,
        hop_seconds=Fraction(1, 10),
        target_network=TargetNetwork.SIREN,
        network=LAYERED_NETWORK,
    )
    with ContainerWriter(sink, header) as writer:
        writer.write_chunk(
            first_segment=0,
            num_segments=4,
            order=ChunkOrder.BY_LAYER,
            symbol_digest=symbols.digest(),
            payload=layered.pack(symbols),
        )
    parts = parse(sink.getvalue())
    if change:
        parts.chunks[0].payload = change(parts.chunks[0].payload)
    for name, value in chunk_fields.items():
        put(parts.chunks[0].head, CHUNK_FIELDS[name], value)
    return parts.join()


def layered_content(change: Callable[[np.ndarray], None]) -> bytes:
    """Return such a file with other scales: `change` gets their four planes of bytes, [4, 16]."""

    def changed(payload: bytes) -> bytes:
        content = bytearray(zstandard.ZstdDecompressor().decompress(payload[LAYERED_FRAME:]))
        change(np.frombuffer(content, np.uint8)[: 4 * 16].reshape(4, 16))
        return payload[:LAYERED_FRAME] + zstandard.ZstdCompressor().compress(bytes(content))

    return layered_file(changed)


def layered_bits(group: int, bits: int) -> bytes:
    """Return such a file that announces other bits for a group."""
    place = layered.HEAD.size + (group + 1) * layered.GROUP.size - 1
    return layered_file(lambda payload: payload[:place] + bytes([bits]) + payload[place + 1 :])


def fill_scales(planes: np.ndarray, value: float) -> None:
    """Make all scales this value."""
    planes[:] = np.array([value], "<f4").view(np.uint8)[:, None]


def layered_record(offset: int, data: bytes) -> bytes:
    """Return such a file with other bytes in its network record."""
    whole = bytearray(layered_file())
    start = fmt.HEADER.size + offset
    whole[start : start + len(data)] = data
    stop = fmt.HEADER.size + NETWORK.size
    whole[stop : stop + 4] = zlib.crc32(whole[:stop]).to_bytes(4, "little")
    return bytes(whole)


# Networks with hidden layers

FILES |= {
    "layered": layered_file,
    "layered-as-plain-order": lambda: layered_file(order=0),
    "layered-with-attacks": lambda: layered_file(flags=2),
    "layered-with-bandwidth": lambda: layered_file(flags=8),
    "layered-bits-1": lambda: layered_bits(0, 1),
    "layered-bits-17": lambda: layered_bits(3, 17),
    "layered-bits-too-few": lambda: layered_bits(3, 5),
    "layered-bits-too-many": lambda: layered_bits(3, 9),
    "layered-groups-0": lambda: layered_file(lambda old: bytes(2) + old[2:]),
    "layered-groups-65535": lambda: layered_file(lambda old: b"\xff\xff" + old[2:]),
    "layered-groups-256-of-4-gib": lambda: layered_file(lambda old: b"\0\1" + 256 * b"\xff\xff\xff\xff\x08"),
    "layered-groups-too-long": lambda: layered_file(lambda old: old[:2] + b"\xff\xff\xff\xff" + old[6:]),
    "layered-groups-of-another-network": lambda: layered_file(groups=(5, 3, 4, 1)),
    "layered-payload-of-2-bytes": lambda: layered_file(lambda old: old[:2]),
    "layered-bomb": lambda: layered_file(
        lambda old: old[:LAYERED_FRAME] + frames.frame(frames.repeated_blocks(0, 1 << 26), 1 << 26)
    ),
    "layered-scales-not-finite": lambda: layered_content(lambda planes: fill_scales(planes, float("nan"))),
    "layered-scales-negative": lambda: layered_content(lambda planes: fill_scales(planes, -1.0)),
    "layered-scales-huge": lambda: layered_content(lambda planes: fill_scales(planes, 3e38)),
    "layered-hidden-layers-0": lambda: layered_record(0, b"\0"),
    "layered-hidden-layers-255": lambda: layered_record(0, b"\xff"),
    "layered-width-65535": lambda: layered_record(2, b"\xff\xff"),
    "layered-width-5": lambda: layered_record(2, b"\5\0"),
    "layered-network-of-33-million-weights": lambda: layered_record(0, b"\x20\0\0\4"),
    "layered-omega-nan": lambda: layered_record(4, struct.pack("<f", float("nan"))),
    "layered-bottleneck-without-model": lambda: layered_record(12, b"\1"),
    "layered-storage-2": lambda: layered_record(12, b"\2"),
    "layered-record-reserved": lambda: layered_record(13, b"\1"),
}

# The file header

FILES |= {
    "target-network-3": lambda: header(target_network=3),
    "empty-file": lambda: b"",
    "half-a-magic": lambda: fmt.MAGIC[:5],
    "a-wav-file": lambda: b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28),
    "sent-in-text-mode": lambda: header().replace(b"\r\n", b"\n"),
    "header-cut": lambda: header()[:60],
    "header-checksum": lambda: header()[:40] + b"\x00" + header()[41:],
    "header-bytes-67": lambda: header(header_bytes=67),
    "header-bytes-65535": lambda: header(header_bytes=65_535),
    "major-2": lambda: header(major=2),
    "reserved-flag": lambda: header(flags=1),
    "target-network-1": lambda: header(target_network=1),
    "channels-0": lambda: header(num_channels=0),
    "channels-64": lambda: header(num_channels=64),
    "channels-255": lambda: header(num_channels=255),
    "unknown-model": lambda: header(model_id=0x1234),
    "no-model": lambda: header(model_id=0),
    "samples-2-pow-40": lambda: header(num_samples=1 << 40),
    "samples-2-pow-63": lambda: header(num_samples=1 << 63),
    "samples-one-too-many": lambda: trailer(num_samples=base().num_samples + 1),
    "rate-0": lambda: header(sample_rate=0),
    "rate-1": lambda: rate(1),
    "rate-383999": lambda: rate(383_999),
    "rate-768000": lambda: rate(768_000),
    "rate-4294967295": lambda: header(sample_rate=(1 << 32) - 1),
    "hop-0": lambda: header(hop_numerator=0, hop_denominator=1),
    "hop-0-over-0": lambda: header(hop_numerator=0, hop_denominator=0),
    "hop-2-over-100": lambda: header(hop_numerator=2, hop_denominator=100),
    "hop-61-s": lambda: header(hop_numerator=61, hop_denominator=1),
    "gain-nan": lambda: gain(float("nan")),
    "gain-infinite": lambda: gain(float("inf")),
    "gain-0": lambda: gain(0.0),
    "gain-negative": lambda: gain(-1.0),
    "gain-largest": lambda: gain(3.4e38),
    "weights-0": lambda: header(num_weights=0),
    "weights-641": lambda: header(num_weights=641),
    "weights-1048577": lambda: header(num_weights=(1 << 20) + 1),
    "quality-1001": lambda: header(quality=1001),
    "tags-not-utf8": lambda: tags(tag(b"title", b"\xff\xfe"), 1),
    "tags-65535-claimed": lambda: header(num_tags=65_535),
    "tags-over-the-cap": lambda: tags(tag(b"k", bytes(32_768)), 1),
    "tag-without-key": lambda: tags(tag(b"", b"value"), 1),
    "tag-longer-than-the-header": lambda: tags(fmt.TAG.pack(1, 65_535) + b"k", 1),
    "tags-that-drive-the-terminal": lambda: tags(tag(b"\x1b[2J", "\x1b]0;a\x07\r\u202e".encode()), 1),
    "bytes-behind-the-tags": lambda: tags(tag(b"k", b"v") + bytes(8), 1),
}  # fmt: skip

# Chunks

FILES |= {
    "chunk-checksum": lambda: base().join().replace(base().chunks[0].payload, base().chunks[0].payload[::-1]),
    "chunk-first-segment-odd": lambda: chunk(1, first_segment=7),
    "chunk-first-segment-overlaps": lambda: chunk(1, first_segment=6),
    "chunk-first-segment-beyond-all": lambda: chunk(1, first_segment=fmt.MAX_SEGMENTS),
    "chunk-segments-0": lambda: chunk(num_segments=0),
    "chunk-segments-7": lambda: chunk(num_segments=7),
    "chunk-segments-6": lambda: chunk(num_segments=6),
    "chunk-segments-2002": lambda: chunk(num_segments=2002),
    "chunk-order-2": lambda: chunk(order=2),
    "chunk-order-3": lambda: chunk(order=3),
    "chunk-order-4": lambda: chunk(order=4),
    "chunk-order-5": lambda: chunk(order=5),
    "chunk-order-wrong": lambda: chunk(order=0),
    "chunk-last-too-early": lambda: chunk(flags=1),
    "chunk-payload-0-bytes": lambda: chunk(payload_bytes=0),
    "chunk-payload-64-mib": lambda: chunk(payload_bytes=1 << 26),
    "chunk-payload-4-gib": lambda: chunk(payload_bytes=(1 << 32) - 1),
    "symbol-digest": lambda: chunk(symbol_digest=U64_MAX),
    "chunk-as-large-as-may-be": lambda: largest(),
    "chunk-of-too-many-symbols": lambda: largest(num_segments=820),
}


@file
def chunk_first_segment_2_billion() -> bytes:
    parts = base()
    put(parts.chunks[1].head, CHUNK_FIELDS["first_segment"], 2_000_000_000)
    return parts.join()[:-1]


@file
def chunks_swapped() -> bytes:
    parts = base()
    parts.chunks.reverse()
    return parts.join()


@file
def chunk_missing() -> bytes:
    parts = base()
    del parts.chunks[0]
    return parts.join()


@file
def chunk_twice() -> bytes:
    parts = base()
    parts.chunks.insert(1, parts.chunks[0])
    return parts.join()


@file
def chunk_inside_a_payload() -> bytes:
    """The outer chunk's checksum fails, so a scan finds the inner one, which claims to be far away."""
    parts = base()
    inner = ChunkParts(bytearray(parts.chunks[1].head), parts.chunks[1].payload)
    put(inner.head, CHUNK_FIELDS["first_segment"], 1_000_000_000)
    parts.chunks[0].payload = inner.join() + bytes(9)
    data = bytearray(parts.join())
    data[len(data) - len(parts.chunks[1].join()) - 40 - 9] ^= 1
    return bytes(data)[:-1]


# The trailer

FILES |= {
    "trailer-missing": lambda: base().join()[:-40],
    "trailer-cut": lambda: base().join()[:-1],
    "trailer-checksum": lambda: base().join()[:-20] + b"\x01" + base().join()[-19:],
    "trailer-of-another-file": lambda: base().join()[:-40] + write(draw(6, seed=7), draw(2, seed=8))[-40:],
    "trailer-of-4-billion-chunks": lambda: trailer(num_chunks=(1 << 32) - 1, trailer_bytes=(1 << 32) - 1),
    "trailer-of-0-bytes": lambda: trailer(trailer_bytes=0),
    "trailer-longer-than-the-file": lambda: trailer(num_chunks=1000, trailer_bytes=6028),
    "trailer-samples-2-pow-64": lambda: trailer(num_samples=U64_MAX),
    "bytes-behind-the-trailer": lambda: base().join() + b"x",
    "two-files-in-one": lambda: base().join() + base().join(),
}


@file
def index_overlaps() -> bytes:
    parts = base()
    (first, count), (second, other) = right_index(parts)
    parts.index = [(first + 10, count), (second - 10, other)]
    return parts.join()


@file
def index_of_too_many_chunks() -> bytes:
    parts = base()
    total = sum(length for length, _ in right_index(parts))
    parts.index = [(29, 2)] * (total // 29)
    return parts.join()


@file
def index_entry_of_4_gib() -> bytes:
    parts = base()
    parts.index = [((1 << 32) - 1, 8), (40, 4)]
    return parts.join()


@file
def index_segments_differ() -> bytes:
    parts = base()
    parts.index = [(length, count + 2) for length, count in right_index(parts)]
    return parts.join()


@file
def markers_everywhere() -> bytes:
    return base().join()[:-40] + fmt.CHUNK_MARKER * 4000


@file
def hop_a_quarter_of_a_nanosecond() -> bytes:
    parts = base()
    put(parts.fixed, HEADER_FIELDS["hop_numerator"], 1)
    put(parts.fixed, HEADER_FIELDS["hop_denominator"], (1 << 32) - 1)
    parts.num_samples = 0
    return parts.join()


@file
def markers_that_claim_the_rest() -> bytes:
    """Each of a thousand false chunks reaches to the end of the file."""
    parts = base()
    chunks_start = len(parts.join()) - 40 - sum(len(part.join()) for part in parts.chunks)
    heads = [ChunkParts(bytearray(parts.chunks[0].head), b"", fix_length=False) for _ in range(1000)]
    for index, part in enumerate(heads):
        put(part.head, CHUNK_FIELDS["payload_bytes"], 24 * (len(heads) - index))
    return parts.join()[:chunks_start] + b"".join(bytes(part.head) for part in heads) + bytes(100)


# Payloads in order by-pair


def coupled(
    first: int = 0,
    second: int = 1,
    *,
    loudness: int = 16,
    agreement: int = 255,
    count: int = 1,
    silent: bool = False,
    order: ChunkOrder = ChunkOrder.BY_PAIR,
    make: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """Return a file of three channels whose first chunk has a coupling.

    Args:
        first: Channel that is decoded before.
        second: Channel that is told of it.
        loudness: In each pass.
        agreement: In each band.
        count: How often the coupling stands there.
        silent: Rotate the first two channels, with nothing stored of the second.
        order: Of that chunk.
        make: Makes its payload of what it was meant to hold.
    """
    chunks = [draw(count, seed=seed, num_channels=3) for seed, count in enumerate(SEGMENTS)]
    if silent:
        chunks[0].latent[1] = chunks[0].weights[1] = 0
    parts = parse(write(*chunks, model=CONTEXT_MODEL))
    pairs = [(64, 255)] if silent else []
    kept = reference.stored_channels(pairs, 3)
    told = (0, 1, 200, (loudness % 17,) * 7, (agreement or 1,) * 8)
    words = reference.write_payload(
        chunks[0].latent[kept], chunks[0].weights[kept], reference.BY_PAIR, CONTEXT_TENSORS, QUALITY, [told]
    )
    record = struct.pack("<BBB7s8s", first, second, 200, bytes([loudness] * 7), bytes([agreement] * 8))
    first_chunk = parts.chunks[0]
    first_chunk.payload = make(b"@\xff" * silent + bytes([count]) + record * count + words)
    put(first_chunk.head, CHUNK_FIELDS["order"], int(order))
    put(first_chunk.head, CHUNK_FIELDS["flags"], 4 * silent)
    return parts.join()


FILES |= {
    "context-pair": lambda: coupled(),
    "context-pair-agreement-0": lambda: coupled(agreement=0),
    "context-pair-as-context": lambda: coupled(order=ChunkOrder.BY_CONTEXT),
    "context-pair-backwards": lambda: coupled(1, 0),
    "context-pair-cut": lambda: coupled(make=lambda old: old[:12]),
    "context-pair-loudness-17": lambda: coupled(loudness=17),
    "context-pair-none": lambda: coupled(count=0),
    "context-pair-of-a-silent-channel": lambda: coupled(silent=True),
    "context-pair-of-another-channel": lambda: coupled(1, 3),
    "context-pair-of-one-channel": lambda: coupled(1, 1),
    "context-pair-of-other-channels": lambda: coupled(0, 2),
    "context-pair-twice": lambda: coupled(count=2),
    "context-pair-without-symbols": lambda: coupled(make=lambda old: old[:19]),
}

# Payloads in order by-context

FILES |= {
    "context": lambda: context(),
    "context-as-large-as-may-be": lambda: largest_by_context(),
    "context-attacks": lambda: context(num_attacks=2),
    "context-cut": lambda: context(lambda words: words[: len(words) // 2]),
    "context-cut-from-the-front": lambda: context(lambda words: words[4:]),
    "context-empty-behind-attacks": lambda: context(lambda words: b"", num_attacks=1),
    "context-ends-with-a-zero-byte": lambda: context(lambda words: words + b"\0"),
    "context-leftover-state": lambda: context(
        lambda words: reference.words_of([*context_steps(draw(SEGMENTS[0])), (1 << 23, 1 << 23)])
    ),
    "context-leftover-words": lambda: context(
        lambda words: reference.words_of(context_steps(draw(SEGMENTS[0])) + 2 * context_steps(draw(4, seed=1)))
    ),
    "context-magnitude-that-has-a-token": lambda: context(lambda words: written_out((1 << 16) - 1)),
    "context-of-another-chunk": lambda: context(lambda words: reference.words_of(context_steps(draw(4, seed=1)))),
    "context-narrow": lambda: narrow(1, stored=12, model=CONTEXT_MODEL),
    "context-narrow-alone": lambda: narrow(1, stored=12, make=lambda old: old[:1], model=CONTEXT_MODEL),
    "context-narrow-announced-only": lambda: narrow(1, stored=12, make=lambda old: old[1:], model=CONTEXT_MODEL),
    "context-narrow-by-everything": lambda: narrow(3, stored=4, model=CONTEXT_MODEL),
    "context-narrow-by-nothing": lambda: narrow(0, stored=20, model=CONTEXT_MODEL),
    "context-narrow-not-announced": lambda: narrow(1, stored=12, flags=0, model=CONTEXT_MODEL),
    "context-narrow-of-other-weights": lambda: narrow(2, stored=12, model=CONTEXT_MODEL),
    "context-rotations": lambda: rotations((37, 12), model=CONTEXT_MODEL),
    "context-rotations-alone": lambda: rotations((37, 12), make=lambda old: old[:2], model=CONTEXT_MODEL),
    "context-rotations-cut": lambda: rotations((37, 12), make=lambda old: old[:1], model=CONTEXT_MODEL),
    "context-rotations-silent": lambda: rotations((37, 255), model=CONTEXT_MODEL),
    "context-rotations-silent-and-stored": lambda: rotations((37, 255), stored=2, model=CONTEXT_MODEL),
    "context-random-words": lambda: context(lambda words: np.random.default_rng(0).bytes(1000)),
    "context-symbol-beyond-32-bits": lambda: context(lambda words: written_out(1 << 31)),
    "context-two-zero-bytes": lambda: context(lambda words: bytes(2)),
    "context-zstd": lambda: context(lambda words: frames.compress(bytes(176))),
    "context-zeros": lambda: context(lambda words: bytes(1)),
}

# Payloads in the other orders

FILES |= {
    "attacks": lambda: attacks((36, 0, 15), (112, 0, 1)),
    "attacks-none": lambda: attacks(),
    "attacks-not-announced": lambda: attacks((36, 0, 15), announced=False),
    "attacks-announced-only": lambda: chunk(flags=2),
    "attacks-65535": lambda: attacks((36, 0, 15), count=65535),
    "attacks-too-early": lambda: attacks((35, 0, 15)),
    "attacks-too-late": lambda: attacks((113, 0, 15)),
    "attacks-too-near": lambda: attacks((40, 0, 15), (55, 0, 15)),
    "attacks-of-another-channel": lambda: attacks((40, 1, 15)),
    "attacks-gain-0": lambda: attacks((40, 0, 0)),
    "attacks-gain-255": lambda: attacks((40, 0, 255)),
    "narrow": lambda: narrow(2, stored=4),
    "narrow-by-255": lambda: narrow(255, stored=20),
    "narrow-of-all-weights": lambda: narrow(1, stored=20),
    "narrow-ends-in-front-of-it": lambda: narrow(
        1, stored=12, flags=10, make=lambda old: struct.pack("<HHBB", 1, 36, 0, 15)
    ),
    "narrow-not-announced": lambda: narrow(1, stored=12, flags=0),
    "rotations": lambda: rotations((37, 12)),
    "rotations-alone": lambda: rotations((37, 12), make=lambda old: old[:2]),
    "rotations-announced-only": lambda: rotations((0, 0), make=lambda old: old[2:]),
    "rotations-behind-attacks": lambda: rotations((37, 255), in_front=ONE_ATTACK, flags=6),
    "rotations-cut": lambda: rotations((37, 12), make=lambda old: old[:1]),
    "rotations-in-front-of-attacks": lambda: rotations(
        (37, 12), in_front=ONE_ATTACK, make=lambda old: old[6:8] + old[:6] + old[8:], flags=6
    ),
    "rotations-none": lambda: rotations((0, 0), (0, 0), num_channels=5),
    "rotations-not-announced": lambda: rotations((37, 12), flags=0),
    "rotations-of-one-channel": lambda: chunk(flags=4),
    "rotations-of-one-pair": lambda: rotations((37, 12), num_channels=4),
    "rotations-of-quality-0": lambda: rotations((255, 254)),
    "rotations-silent": lambda: rotations((64, 255)),
    "rotations-without-the-second-channel": lambda: rotations((64, 12), stored=1),
    "rotations-silent-and-stored": lambda: rotations((64, 255), stored=2),
    "zstd-garbage": lambda: payload(lambda old: bytes(range(40))),
    "zstd-truncated": lambda: payload(lambda old: frames.compress(old)[:-5]),
    "zstd-extra-bytes": lambda: payload(lambda old: frames.compress(old) + b"\0\0\0"),
    "zstd-two-frames": lambda: payload(lambda old: frames.compress(old) * 2),
    "zstd-skippable-frame": lambda: payload(lambda old: frames.skippable(len(old), old)),
    "zstd-skippable-frame-before": lambda: payload(lambda old: frames.skippable(3, b"abc") + frames.compress(old)),
    "zstd-skippable-frame-of-4-gib": lambda: payload(lambda old: frames.skippable(-1, old)),
    "zstd-empty-frame": lambda: payload(lambda old: frames.compress(b"")),
    "zstd-dictionary": lambda: payload(lambda old: frames.frame(frames.raw_blocks(old), len(old), dictionary=7)),
    "zstd-reserved-bit": lambda: payload(
        lambda old: frames.frame(frames.raw_blocks(old), len(old), flags=frames.RESERVED_BIT)
    ),
    "zstd-window-of-3-tib": lambda: payload(lambda old: frames.frame(frames.raw_blocks(old), len(old), window=255)),
    "zstd-wrong-checksum": lambda: payload(
        lambda old: frames.frame(frames.raw_blocks(old), len(old), flags=frames.CHECKSUM_BIT) + bytes(4)
    ),
    "content-size-unknown": lambda: payload(
        lambda old: zstandard.ZstdCompressor(write_content_size=False).compress(old)
    ),
    "content-size-of-4-gib": lambda: payload(lambda old: frames.frame(frames.raw_blocks(old), 1 << 32)),
    "content-size-of-2-pow-64": lambda: payload(lambda old: frames.frame(frames.raw_blocks(old), -2)),
    "content-size-one-too-few": lambda: payload(lambda old: frames.frame(frames.raw_blocks(old), len(old) - 1)),
    "content-size-one-too-many": lambda: payload(lambda old: frames.frame(frames.raw_blocks(old), len(old) + 1)),
    "bomb-of-64-mib": lambda: payload(lambda old: frames.frame(frames.repeated_blocks(0, 1 << 26), 1 << 26)),
    "bomb-that-claims-little": lambda: payload(lambda old: frames.frame(frames.repeated_blocks(0, 1 << 26), len(old))),
    "content-too-short": lambda: content(lambda old: old[:20]),
    "content-one-byte-too-many": lambda: content(lambda old: old[:-8] + b"\0" + old[-8:]),
    "content-of-another-chunk": lambda: payload(lambda old: base().chunks[1].payload),
    "escape-of-small-value": lambda: content(lambda old: b"\xff" + old[1:] + struct.pack("<i", 5)),
    "escapes-without-values": lambda: content(lambda old: b"\xff" * 40),
    "large-value-without-escape": lambda: content(lambda old: old + struct.pack("<i", 500)),
    "runs-too-long": lambda: content(lambda old: old[: dense_bytes()] + b"\xfe" * 60),
    "runs-without-end": lambda: content(lambda old: old[: dense_bytes()] + b"\xff" * 200),
    "run-value-zero": lambda: content(lambda old: old[: dense_bytes()] + bytes(2 * num_sparse() + 1)),
    "runs-of-25-million-bytes": lambda: largest(bytes(LARGEST_CONTENT)),
    "runs-of-25-million-times-255": lambda: largest(bytes(LARGEST_DENSE) + b"\xff" * (LARGEST_CONTENT - LARGEST_DENSE)),
    "symbols-extreme": lambda: extreme((0,), (-(1 << 31), (1 << 31) - 1, 0)),
    "latent-extreme": lambda: extreme((-(1 << 31), (1 << 31) - 1, 1 << 30, -1), (1, 0)),
    "symbols-and-latent-extreme": lambda: extreme((-(1 << 31), 1 << 20), (-(1 << 31), (1 << 31) - 1)),
}  # fmt: skip


def main() -> None:
    """Write all files that are not there."""
    missing = [name for name in sorted(FILES) if not (FOLDER / f"{name}.hsnd").exists()]
    for name in missing:
        (FOLDER / f"{name}.hsnd").write_bytes(FILES[name]())
    print(f"{len(missing)} of {len(FILES)} files written")


if __name__ == "__main__":
    main()
