"""What a fuzzer does to valid `.hsnd` files: by bytes, by fields with checksums put right, by payloads, by chunks.

A mutation is a function of a random source and what it changes. Those of parts change `FileParts` in place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from benchmarks import fuzz_frames as frames
from benchmarks.fuzz_layout import CHUNK_FIELDS, HEADER_FIELDS, TRAILER_FIELDS, ChunkParts, FileParts, get, parse, put
from hscodec.coding import layered
from hscodec.coding.attacks import ATTACK, COUNT
from hscodec.coding.bandwidth import BANDWIDTH, MAX_STEPS, STEP, pack_bandwidth
from hscodec.coding.by_context import walk
from hscodec.coding.context import PASSES
from hscodec.coding.coupling import COUNT as COUNT_OF_COUPLINGS
from hscodec.coding.coupling import COUPLING, NUM_BANDS, Coupling, pack_couplings
from hscodec.coding.order import Order
from hscodec.coding.payload import ChunkSymbols, unpack
from hscodec.coding.rans import Distribution, Writer
from hscodec.coding.rotations import ROTATION, SILENT, channel_qualities, is_stored, no_rotations, pack_rotations
from hscodec.container import format as fmt
from hscodec.errors import FormatError, HscodecError
from hscodec.registry import Model

MARKERS = (fmt.CHUNK_MARKER, fmt.TRAILER_MARKER, fmt.END_MARKER, fmt.MAGIC)
_CAPS = (
    fmt.MAX_SAMPLE_RATE_HZ, fmt.MAX_CHANNELS, fmt.MAX_SAMPLES, fmt.MAX_WEIGHTS, fmt.MAX_QUALITY, fmt.MAX_TAG_BYTES,
    fmt.MAX_CHUNK_SEGMENTS, fmt.MAX_CHUNK_PAYLOAD_BYTES, fmt.MAX_CHUNKS, fmt.MAX_SEGMENTS,
)  # fmt: skip
_FLOATS = (0x7FC00000, 0x7F800000, 0xFF800000, 0x80000000, 0x00000001, 0x7F7FFFFF, 0xBF800000, 0x3F800000)
"""float32: not a number, both infinities, -0, the smallest, the largest, -1, 1."""
_STRUCTURED_DRAWS = (1, 1, 1, 2, 3)


@dataclass(frozen=True)
class Corpus:
    """What there is to mutate.

    Attributes:
        files: Valid files by name.
        model: The model that they name; it has frequencies.
    """

    files: dict[str, bytes]
    model: Model


def make_case(corpus: Corpus, seed: int, number: int) -> tuple[str, bytes]:
    """Return (kind of mutation, bytes) of one case, which depends on these arguments only."""
    random = Random(f"{seed} {number}")
    data = random.choice(list(corpus.files.values()))
    kind = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    if kind in BY_BYTES:
        return kind, BY_BYTES[kind](random, data, corpus)
    parts = parse(data)
    BY_PARTS[kind](random, parts, corpus)
    for _ in range(random.choice(_STRUCTURED_DRAWS) - 1):
        BY_PARTS[random.choice(list(BY_PARTS))](random, parts, corpus)
    joined = parts.join()
    return kind, _flip_bits(random, joined, corpus) if random.random() < 0.03 else joined


def interesting(random: Random, size: int, old: int = 0) -> int:
    """Return a number of `size` bytes: a boundary of integers, a cap or its neighbour, near the old one, or any."""
    bits = 8 * size
    choice = random.choice(
        (
            random.choice((0, 1, 2, 3, 127, 128, 255, 256)),
            (1 << random.randrange(bits)) + random.choice((-1, 0, 1)),
            (1 << bits) - 1 - random.randrange(3),
            random.choice(_CAPS) + random.choice((-1, 0, 1, 2)),
            old + random.choice((-2, -1, 1, 2)),
            old ^ 1 << random.randrange(bits),
            random.getrandbits(bits),
        )
    )
    return choice % (1 << bits)


def _flip_bits(random: Random, data: bytes, corpus: Corpus) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _set_bytes(random: Random, data: bytes, corpus: Corpus) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 5))):
        size = random.choice((1, 2, 4, 8))
        place = (random.randrange(len(data) - size), size)
        put(changed, place, interesting(random, size, get(changed, place)))
    return bytes(changed)


def _truncate(random: Random, data: bytes, corpus: Corpus) -> bytes:
    return data[: random.randrange(len(data))]


def _insert(random: Random, data: bytes, corpus: Corpus) -> bytes:
    start, stop = sorted(random.randrange(len(data) + 1) for _ in range(2))
    new = random.choice((random.randbytes(random.randint(1, 40)), bytes(random.randint(1, 9)), data[start:stop]))
    place = random.choice((random.randrange(len(data) + 1), len(data)))
    return data[:place] + new + data[place:]


def _delete(random: Random, data: bytes, corpus: Corpus) -> bytes:
    start = random.randrange(len(data))
    return data[:start] + data[start + random.choice((1, 2, 4, 28, 100)) :]


def _splice(random: Random, data: bytes, corpus: Corpus) -> bytes:
    other = random.choice(list(corpus.files.values()))
    if random.random() < 0.4:
        return data[: random.randrange(len(data))] + other[random.randrange(len(other)) :]
    first, second = parse(data), parse(other)
    pieces = [chunk.join() for chunk in first.chunks], [chunk.join() for chunk in second.chunks]
    header = data[: get(data, HEADER_FIELDS["header_bytes"])]
    chunks = random.choice((pieces[0] + pieces[1], pieces[1], pieces[0]))
    trailer = random.choice((data, other, first.join(), second.join()))
    length = fmt.trailer_byte_length(random.choice((len(first.chunks), len(second.chunks))))
    return b"".join([header, *chunks, trailer[-length:]])


def _spray_markers(random: Random, data: bytes, corpus: Corpus) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 4, 30))):
        new = random.choice((*MARKERS, _false_chunk(random), _false_chunk(random)))
        place = random.randrange(len(changed) + 1)
        changed[place : place + (len(new) if random.random() < 0.5 else 0)] = new
    return bytes(changed)


def _false_chunk(random: Random) -> bytes:
    payload = random.randbytes(random.randint(1, 9))
    head = fmt.ChunkHeader(
        first_segment=2 * random.choice((0, 1, 3, random.randrange(fmt.MAX_SEGMENTS // 2 - fmt.MAX_CHUNK_SEGMENTS))),
        num_segments=2 * random.choice((1, 2, random.randint(1, fmt.MAX_CHUNK_SEGMENTS // 2))),
        order=random.choice(list(fmt.ChunkOrder)),
        payload_bytes=random.choice((len(payload), random.randint(1, 400), fmt.MAX_CHUNK_PAYLOAD_BYTES)),
        symbol_digest=bytes(8),
        is_last=random.random() < 0.1,
    ).pack()
    return random.choice((ChunkParts(bytearray(head), payload).join(), head))


def _change_header(random: Random, parts: FileParts, corpus: Corpus) -> None:
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(HEADER_FIELDS))
        place = HEADER_FIELDS[name]
        value = interesting(random, place[1], get(parts.fixed, place))
        if name == "gain" and random.random() < 0.7:
            value = random.choice(_FLOATS)
        if name == "sample_rate" and random.random() < 0.5:
            value = random.randint(1, fmt.MAX_SAMPLE_RATE_HZ)
        if name == "header_bytes":
            parts.fix_header_length = False
        put(parts.fixed, place, value)


def _change_tags(random: Random, parts: FileParts, corpus: Corpus) -> None:
    tags = parts.tags
    change = random.choice(("new", "byte", "length", "cut", "count", "bytes behind"))
    if change == "new":
        key, value = random.randbytes(random.choice((0, 1, 9, 255))), random.randbytes(random.choice((0, 4, 3000)))
        if random.random() < 0.7:
            key, value = key.hex()[:255].encode(), "\x00\x1b]0;\u202e\n".encode() * random.randrange(3)
        times = random.choice((1, 1, 2, 100))
        tags += (fmt.TAG.pack(len(key), len(value)) + key + value) * times
        count = get(parts.fixed, HEADER_FIELDS["num_tags"]) + times
        put(parts.fixed, HEADER_FIELDS["num_tags"], count)
    elif change == "count":
        put(parts.fixed, HEADER_FIELDS["num_tags"], interesting(random, 2, get(parts.fixed, HEADER_FIELDS["num_tags"])))
    elif change == "bytes behind":
        tags += random.randbytes(random.choice((1, 4, 500)))
        put(parts.fixed, HEADER_FIELDS["minor"], random.randrange(3))
    elif len(tags) > 3:
        size = {"byte": 1, "length": 2, "cut": 0}[change]
        place = (random.randrange(len(tags) - 2), size)
        put(tags, place, interesting(random, size)) if size else tags.__delitem__(slice(place[0], None))
    del tags[(1 << 16) - 1 - fmt.HEADER.size - fmt.CHECKSUM.size :]


def _change_chunk(random: Random, parts: FileParts, corpus: Corpus) -> None:
    if not parts.chunks:
        return
    chunk = random.choice(parts.chunks)
    index = _right_index(parts) if random.random() < 0.3 else None
    name = random.choice(list(CHUNK_FIELDS))
    place = CHUNK_FIELDS[name]
    put(chunk.head, place, interesting(random, place[1], get(chunk.head, place)))
    chunk.fix_length = chunk.fix_length and name != "payload_bytes"
    parts.index = parts.index or index


def _change_trailer(random: Random, parts: FileParts, corpus: Corpus) -> None:
    name = random.choice(TRAILER_FIELDS)
    if name in ("byte_length", "num_segments"):
        index = list(parts.index or _right_index(parts))
        for _ in range(random.choice((1, 2))):
            if index:
                which = random.randrange(len(index))
                length, count = index[which]
                change = random.choice((interesting(random, 4, length), length + 2, length - 2))
                index[which] = (change, count) if name == "byte_length" else (length, interesting(random, 2, count))
        parts.index = index
    elif name == "num_samples":
        parts.num_samples = interesting(random, 8, parts.num_samples)
    else:
        parts.stated[name] = interesting(random, 4, fmt.trailer_byte_length(len(parts.chunks)))


def _change_chunk_list(random: Random, parts: FileParts, corpus: Corpus) -> None:
    if not parts.chunks:
        return
    if random.random() < 0.3:
        parts.index = _right_index(parts)
    chunks, which = parts.chunks, random.randrange(len(parts.chunks))
    change = random.choice(("swap", "repeat", "delete", "other's", "gap", "last", "not last"))
    if change == "swap":
        random.shuffle(chunks)
    elif change == "repeat":
        copies = [chunks[which].copy() for _ in range(random.choice((1, 3, 40)))]
        chunks[which:which] = copies
    elif change == "delete":
        del chunks[which]
    elif change == "other's":
        chunks.insert(which, random.choice(parse(random.choice(list(corpus.files.values()))).chunks or chunks).copy())
    elif change == "gap":
        step = 2 * random.choice((1, 100, random.randrange(fmt.MAX_SEGMENTS // 2), fmt.MAX_SEGMENTS // 2 - 10))
        for chunk in chunks[which:]:
            place = CHUNK_FIELDS["first_segment"]
            put(chunk.head, place, get(chunk.head, place) + step)
    else:
        others = get(chunks[which].head, CHUNK_FIELDS["flags"]) & ~fmt.CHUNK_FLAG_LAST
        put(chunks[which].head, CHUNK_FIELDS["flags"], others | fmt.CHUNK_FLAG_LAST * (change == "last"))
    if random.random() < 0.5:
        _renumber(parts)


def _renumber(parts: FileParts) -> None:
    segment = 0
    for chunk in parts.chunks:
        put(chunk.head, CHUNK_FIELDS["first_segment"], segment)
        segment += get(chunk.head, CHUNK_FIELDS["num_segments"])


def _change_frame(random: Random, parts: FileParts, corpus: Corpus) -> None:
    for chunk in random.sample(parts.chunks, min(len(parts.chunks), random.choice((1, 1, 2)))):
        in_front, symbols = split_payload(parts, chunk)
        content = frames.decompress(symbols)
        chunk.payload = in_front + random.choice(list(frames.KINDS.values()))(random, content or b"")


def _change_content(random: Random, parts: FileParts, corpus: Corpus) -> None:
    """Change what a frame holds, or words; symbols that they then stand for, if any, mostly get their right digest."""
    for chunk in random.sample(parts.chunks, min(len(parts.chunks), 1)):
        by_context = get(chunk.head, CHUNK_FIELDS["order"]) in (Order.BY_CONTEXT, Order.BY_PAIR)
        in_front, symbols = split_payload(parts, chunk)
        content = bytearray((symbols if by_context else frames.decompress(symbols)) or b"\x00")
        for _ in range(random.choice((1, 1, 2, 6))):
            place = random.choice((random.randrange(len(content) + 1), len(content)))
            length = random.choice((1, 1, 4, 30))
            number = interesting(random, 4).to_bytes(4, "little")
            piece = random.choice((b"\xff", b"\x00", b"\xfe", bytes([random.randrange(256)]), number))
            change = random.random()
            if change < 0.6:
                content[place : place + len(piece)] = piece
            elif change < 0.8:
                content[place:place] = piece * length
            else:
                del content[place : place + length]
            content = content or bytearray(1)
        chunk.payload = in_front + (bytes(content) if by_context else frames.compress(bytes(content)))
        if random.random() < 0.2:
            put(chunk.head, CHUNK_FIELDS["order"], random.randrange(5))
        if random.random() < 0.9:
            fix_digest(parts, chunk, corpus.model)


def _change_rotations(random: Random, parts: FileParts, corpus: Corpus) -> None:
    """Change, add or remove what stands in front of symbols, which then may belong to another number of channels."""
    if not parts.chunks:
        return
    chunk = random.choice(parts.chunks)
    in_front, symbols = split_payload(parts, chunk)
    new = pack_rotations(_draw_rotations(random, parts.shape[0]))
    change = random.choice(("new", "new", "byte", "cut", "toggle"))
    if change == "new":
        chunk.payload = new + symbols
        put(chunk.head, CHUNK_FIELDS["flags"], fmt.CHUNK_FLAG_ROTATIONS)
    elif change == "byte" and in_front:
        place = random.randrange(len(in_front))
        chunk.payload = in_front[:place] + bytes([interesting(random, 1, in_front[place])]) + chunk.payload[place + 1 :]
    elif change == "cut":
        chunk.payload = new[: random.randrange(len(new) + 1)] or b"\0"
        put(chunk.head, CHUNK_FIELDS["flags"], fmt.CHUNK_FLAG_ROTATIONS)
    else:
        put(chunk.head, CHUNK_FIELDS["flags"], get(chunk.head, CHUNK_FIELDS["flags"]) ^ fmt.CHUNK_FLAG_ROTATIONS)
    fix_digest(parts, chunk, corpus.model)


def _change_bandwidth(random: Random, parts: FileParts, corpus: Corpus) -> None:
    """Change, add or remove the bandwidth of a chunk, whose symbols then may be of another number of weights."""
    if not parts.chunks:
        return
    chunk = random.choice(parts.chunks)
    in_front, symbols = split_payload(parts, chunk)
    flags = get(chunk.head, CHUNK_FIELDS["flags"])
    steps = random.choice((0, 1, min(parts.shape[1] // STEP, MAX_STEPS), MAX_STEPS, random.randrange(MAX_STEPS + 1)))
    change = random.choice(("new", "new", "cut", "toggle"))
    if change == "toggle":
        put(chunk.head, CHUNK_FIELDS["flags"], flags ^ fmt.CHUNK_FLAG_BANDWIDTH)
    else:
        if flags & fmt.CHUNK_FLAG_BANDWIDTH:
            in_front = in_front[: -BANDWIDTH.size]
        chunk.payload = in_front + pack_bandwidth(steps) + symbols if change == "new" else in_front or b"\0"
        put(chunk.head, CHUNK_FIELDS["flags"], flags | fmt.CHUNK_FLAG_BANDWIDTH)
    fix_digest(parts, chunk, corpus.model)


def _change_groups(random: Random, parts: FileParts, corpus: Corpus) -> None:
    """Change lengths and bits of the groups of a chunk in order by-layer, or its scales, so that much still fits."""
    chunks = [chunk for chunk in parts.chunks if get(chunk.head, CHUNK_FIELDS["order"]) == Order.BY_LAYER]
    if not chunks:
        return
    chunk = random.choice(chunks)
    in_front, frame = split_payload(parts, chunk)
    described = in_front[layered.HEAD.size :]
    described = described[: len(described) // layered.GROUP.size * layered.GROUP.size]  # it may have been cut before
    groups = [list(group) for group in layered.GROUP.iter_unpack(described)]
    if not groups:
        return
    group, other = random.choice(groups), random.choice(groups)
    change = random.choice(("bits", "bits", "length", "move", "swap", "merge", "scales"))
    if change == "bits":
        group[1] = random.choice((0, 1, 2, group[1] - 1, group[1] + 1, 8, 9, 16, 17, 255)) % 256
    elif change == "length":
        group[0] = interesting(random, 4, group[0])
    elif change == "move" and other[0] > 1:
        group[0], other[0] = group[0] + 1, other[0] - 1
    elif change == "swap":
        random.shuffle(groups)
    elif change == "merge" and len(groups) > 1:
        groups[-2][0] += groups.pop()[0]
    elif content := frames.decompress(frame):
        scales = bytearray(content)
        num_scales = parts.shape[0] * get(chunk.head, CHUNK_FIELDS["num_segments"]) * len(groups)
        for _ in range(random.choice((1, 4))):
            scales[random.randrange(min(4 * num_scales, len(scales)))] = random.choice((0, 0x7F, 0x80, 0xFF))
        frame = frames.compress(bytes(scales))
    described = b"".join(layered.GROUP.pack(length % (1 << 32), bits) for length, bits in groups)
    chunk.payload = layered.HEAD.pack(len(groups)) + described + frame
    fix_digest(parts, chunk, corpus.model)


def _draw_rotations(random: Random, num_channels: int) -> np.ndarray:
    """Return rotations [P, 2] of all pairs of channels."""
    reductions = (0, 1, 12, 50, 254, SILENT, SILENT)
    pairs = [
        (random.choice((0, 64, random.randrange(256))), random.choice(reductions)) for _ in range(num_channels // 2)
    ]
    return np.array(pairs, np.int32).reshape(-1, 2)


def _change_couplings(random: Random, parts: FileParts, corpus: Corpus) -> None:
    """Change, add or remove what stands in front of symbols in order by-pair."""
    if not parts.chunks:
        return
    chunk = random.choice(parts.chunks)
    in_front, symbols = split_payload(parts, chunk)
    if get(chunk.head, CHUNK_FIELDS["order"]) == Order.BY_PAIR:
        size = COUNT_OF_COUPLINGS.size + COUPLING.size * get(symbols, (0, COUNT_OF_COUPLINGS.size))
        old, symbols = bytearray(symbols[:size]), symbols[size:]
        if random.random() < 0.5 and old:
            place = random.randrange(len(old))
            old[place] = interesting(random, 1, old[place]) % 256
    else:
        old = bytearray()
    new = (
        bytes(old)
        if old and random.random() < 0.6
        else pack_couplings(_draw_couplings(random, parts.shape[0] + (random.random() < 0.1)))
    )
    cut = random.randrange(len(new) + 1) if random.random() < 0.2 else len(new)
    chunk.payload = in_front + new[:cut] + symbols * (cut == len(new)) or b"\0"
    put(chunk.head, CHUNK_FIELDS["order"], int(random.choice((Order.BY_PAIR, Order.BY_PAIR, Order.BY_CONTEXT))))
    fix_digest(parts, chunk, corpus.model)


def _draw_couplings(random: Random, num_channels: int) -> list[Coupling]:
    """Return couplings of channels that follow, mostly such as a reader takes."""
    channels = range(num_channels)
    return [
        Coupling(
            first,
            first + 1,
            random.choice((0, 255, random.randrange(256))),
            tuple(random.choice((0, 16, random.randrange(17), random.randrange(18))) for _ in PASSES),
            tuple(random.choice((1, 128, 255, random.randrange(1, 256))) for _ in range(NUM_BANDS)),
        )
        for first in channels[:-1:2]
        if random.random() < 0.8
    ]


def split_payload(parts: FileParts, chunk: ChunkParts) -> tuple[bytes, bytes]:
    """Return what a payload holds in front of its symbols, as its flags say, and the symbols."""
    if get(chunk.head, CHUNK_FIELDS["order"]) == Order.BY_LAYER:
        length = layered.HEAD.size + layered.GROUP.size * get(chunk.payload, (0, layered.HEAD.size))
        return chunk.payload[:length], chunk.payload[length:]
    flags, length = get(chunk.head, CHUNK_FIELDS["flags"]), 0
    if flags & fmt.CHUNK_FLAG_ATTACKS:
        length = COUNT.size + ATTACK.size * get(chunk.payload, (0, COUNT.size))
    if flags & fmt.CHUNK_FLAG_ROTATIONS:
        length += ROTATION.size * (parts.shape[0] // 2)
    if flags & fmt.CHUNK_FLAG_BANDWIDTH:
        length += BANDWIDTH.size
    return chunk.payload[:length], chunk.payload[length:]


def _change_symbols(random: Random, parts: FileParts, corpus: Corpus) -> None:
    """Store extreme symbols as a writer would, in plain order or by context: everything about the file holds.

    The writer by context may be a liar, whose files hold if nobody can tell.
    """
    if not parts.chunks:
        return
    chunk = random.choice(parts.chunks)
    channels, weights = parts.shape
    steps = random.randrange(min(max(weights - 1, 0) // STEP, MAX_STEPS) + 1) if random.random() < 0.3 else 0
    weights -= STEP * steps
    segments = get(chunk.head, CHUNK_FIELDS["num_segments"])
    if not 0 < channels * segments * weights < 1 << 16:
        return
    quality = get(parts.fixed, HEADER_FIELDS["quality"])
    rotations = _draw_rotations(random, channels)
    if random.random() < 0.6 or not rotations.any():
        rotations = no_rotations()
    stored = is_stored(rotations, channels)
    qualities = channel_qualities(rotations, quality, channels)[stored]
    channels = len(qualities)
    num_latent = channels * (segments // 2) * corpus.model.tables.latent_channels
    extremes = [random.choice((0, 1, -1, -128, 128, 1 << 20, (1 << 31) - 1, -(1 << 31))) for _ in range(3)]
    values = [random.choice(extremes) for _ in range(num_latent + channels * segments * weights)]
    order = random.choice((Order.PLAIN, Order.BY_CONTEXT, Order.BY_PAIR))
    couplings = _draw_couplings(random, channels) if order is Order.BY_PAIR and stored.all() else []
    if order is Order.PLAIN:
        content = frames.compress(plain_content(values))
    elif weights <= corpus.model.tables.num_weights and quality <= fmt.MAX_QUALITY and segments % 2 == 0:
        residuals, symbols = np.split(np.array(values, np.int32), [num_latent])
        shapes = (channels, segments // 2, -1), (channels, segments, weights)
        writer = random.choice((Writer(), _Liar(random)))
        content = _words(
            writer, residuals.reshape(shapes[0]), symbols.reshape(shapes[1]), corpus.model, qualities, couplings
        )
        content = pack_couplings(couplings) * (order is Order.BY_PAIR) + content
    else:
        _, content = split_payload(parts, chunk)
    chunk.payload = pack_rotations(rotations) + pack_bandwidth(steps) * (steps > 0) + content
    flags = fmt.CHUNK_FLAG_ROTATIONS * bool(len(rotations)) | fmt.CHUNK_FLAG_BANDWIDTH * (steps > 0)
    put(chunk.head, CHUNK_FIELDS["flags"], flags)
    put(chunk.head, CHUNK_FIELDS["order"], int(order))
    fix_digest(parts, chunk, corpus.model)


class _Liar(Writer):
    """Writes numbers that are not those that it was given, which no honest writer might have written."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def code(self, model: Distribution, symbols: np.ndarray) -> np.ndarray:
        told = symbols.copy()
        if len(told) and self._random.random() < 0.1:
            told[self._random.randrange(len(told))] = self._random.choice((0, told[0], told[-1]))
        super().code(model, told)
        return symbols


def _words(
    writer: Writer,
    residuals: np.ndarray,
    symbols: np.ndarray,
    model: Model,
    qualities: np.ndarray,
    couplings: list[Coupling],
) -> bytes:
    """Return the words of residuals [C, S/2, Z] and symbols [C, S, K] of channels of these qualities."""
    assert model.frequencies is not None
    walk(writer, residuals, symbols, model.tables, model.frequencies, qualities, couplings)
    return writer.finish()


def plain_content(values: list[int]) -> bytes:
    """Return what a frame in plain order holds: residuals, then symbols."""
    large = [value for value in values if not -127 <= value <= 127]
    small = bytes(255 if abs(value) > 127 else 2 * value - 1 if value > 0 else -2 * value for value in values)
    return small + b"".join(value.to_bytes(4, "little", signed=True) for value in reversed(large))


def _change_shape(random: Random, parts: FileParts, corpus: Corpus) -> None:
    """Make a file of one chunk out of it, of zeros, whose shape is anything up to the caps."""
    scale = random.choice((1, 1, 1, 1, 1, 1, 1, 30))
    channels = random.choice((1, 1, 2, 8, 9, 64))
    tables = corpus.model.tables
    weights = random.choice((1, random.randint(1, 10 * scale), tables.num_weights + random.randint(-1, 1)))
    segments = 2 * random.choice((1, random.randint(1, 10 * scale), random.choice((1, 1000)) if scale > 1 else 3))
    put(parts.fixed, HEADER_FIELDS["num_channels"], channels)
    put(parts.fixed, HEADER_FIELDS["num_weights"], weights)
    if random.random() < 0.3:
        put(parts.fixed, HEADER_FIELDS["sample_rate"], random.randint(1, fmt.MAX_SAMPLE_RATE_HZ))
    size = channels * segments // 2 * tables.latent_channels + channels * segments * weights
    chunk = ChunkParts(bytearray(fmt.CHUNK_HEADER.size), frames.compress(bytes(min(size, 1 << 23))))
    if random.random() < 0.3:
        chunk.payload = b"\0"
        put(chunk.head, CHUNK_FIELDS["order"], int(Order.BY_CONTEXT))
    put(chunk.head, CHUNK_FIELDS["marker"], int.from_bytes(fmt.CHUNK_MARKER, "little"))
    put(chunk.head, CHUNK_FIELDS["num_segments"], segments)
    parts.chunks[:] = [chunk]
    parts.index = None
    if size <= 1 << 23:
        zeros = np.zeros(size, np.int32)
        latent, symbols = np.split(zeros, [channels * segments // 2 * tables.latent_channels])
        chunk.head[16:24] = ChunkSymbols(latent, symbols).digest()


def fix_digest(parts: FileParts, chunk: ChunkParts, model: Model) -> bool:
    """Write the digest of the symbols that the payload now stands for; False if it stands for none."""
    channels, weights = parts.shape
    segments = get(chunk.head, CHUNK_FIELDS["num_segments"])
    quality = get(parts.fixed, HEADER_FIELDS["quality"])
    order = get(chunk.head, CHUNK_FIELDS["order"])
    if (
        not 0 < channels * segments * weights < 1 << 16
        or quality > fmt.MAX_QUALITY
        or order > max(Order)
        or segments % 2
    ):
        return False
    shape = (channels, segments, weights)
    if order == Order.BY_LAYER:
        try:
            chunk.head[16:24] = layered.unpack(chunk.payload, shape=shape).digest()
        except FormatError:
            return False
        return True
    if weights > model.tables.num_weights:
        return False
    flags = get(chunk.head, CHUNK_FIELDS["flags"])
    try:
        symbols = unpack(
            chunk.payload,
            Order(order),
            model.tables,
            quality,
            shape=shape,
            frequencies=model.frequencies,
            has_attacks=bool(flags & fmt.CHUNK_FLAG_ATTACKS),
            has_rotations=bool(flags & fmt.CHUNK_FLAG_ROTATIONS),
            has_bandwidth=bool(flags & fmt.CHUNK_FLAG_BANDWIDTH),
        )
    except (HscodecError, ArithmeticError, LookupError, MemoryError, ValueError):
        return False  # anything but HscodecError is a bug that the case itself will meet
    chunk.head[16:24] = symbols.digest()
    return True


def _right_index(parts: FileParts) -> list[tuple[int, int]]:
    return [(len(chunk.join()), get(chunk.head, CHUNK_FIELDS["num_segments"])) for chunk in parts.chunks]


def _change_nothing(random: Random, parts: FileParts, corpus: Corpus) -> None:
    pass


BY_BYTES: dict[str, Callable[[Random, bytes, Corpus], bytes]] = {
    "bits": _flip_bits,
    "bytes": _set_bytes,
    "truncate": _truncate,
    "insert": _insert,
    "delete": _delete,
    "splice": _splice,
    "markers": _spray_markers,
}
BY_PARTS: dict[str, Callable[[Random, FileParts, Corpus], None]] = {
    "header": _change_header,
    "tags": _change_tags,
    "chunk": _change_chunk,
    "trailer": _change_trailer,
    "chunk-list": _change_chunk_list,
    "frame": _change_frame,
    "content": _change_content,
    "rotations": _change_rotations,
    "bandwidth": _change_bandwidth,
    "couplings": _change_couplings,
    "groups": _change_groups,
    "symbols": _change_symbols,
    "shape": _change_shape,
    "nothing": _change_nothing,
}
_WEIGHTS = {
    **dict.fromkeys(BY_BYTES, 2.0),
    **dict.fromkeys(BY_PARTS, 4.0),
    "content": 12.0,
    "frame": 8.0,
    "header": 8.0,
    "shape": 2.0,
    "nothing": 1.0,
}
