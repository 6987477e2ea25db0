"""zstd frames that a payload should not be, built by hand (RFC 8878): bombs, false sizes, several frames, damage."""

from collections.abc import Callable
from random import Random

import zstandard

MAGIC = b"\x28\xb5\x2f\xfd"
MAX_BLOCK_BYTES = 1 << 17
BOMB_BYTES = 1 << 26
MAX_CONTENT_BYTES = 1 << 20
"""Larger frames are not changed further."""
RAW, RLE = 0, 1
RESERVED_BIT, CHECKSUM_BIT = 0x08, 0x04


def compress(content: bytes) -> bytes:
    """Return the frame that a writer might store."""
    return zstandard.ZstdCompressor(level=1).compress(content)


def decompress(payload: bytes) -> bytes | None:
    """Return the content of a frame of at most `MAX_CONTENT_BYTES`, None if it is not one."""
    try:
        if zstandard.get_frame_parameters(payload).content_size > MAX_CONTENT_BYTES:
            return None
        return zstandard.ZstdDecompressor().decompress(payload)
    except zstandard.ZstdError:
        return None


def block(kind: int, data: bytes, size: int, *, last: bool) -> bytes:
    """Return a block of `size` bytes of content: the bytes of a raw one, or the byte that another kind repeats."""
    return (int(last) | kind << 1 | size << 3).to_bytes(3, "little") + data


def raw_blocks(content: bytes) -> bytes:
    """Return content as blocks that are not compressed."""
    pieces = [content[start : start + MAX_BLOCK_BYTES] for start in range(0, len(content), MAX_BLOCK_BYTES)] or [b""]
    return b"".join(block(RAW, piece, len(piece), last=piece is pieces[-1]) for piece in pieces)


def repeated_blocks(byte: int, size: int) -> bytes:
    """Return `size` times the same byte; four bytes stand for 128 kB."""
    whole, rest = divmod(size, MAX_BLOCK_BYTES)
    piece = bytes([byte])
    return block(RLE, piece, MAX_BLOCK_BYTES, last=False) * whole + block(RLE, piece, rest, last=True)


def frame(blocks: bytes, content_size: int, *, window: int | None = None, flags: int = 0, dictionary: int = 0) -> bytes:
    """Return a frame.

    Args:
        blocks: The blocks.
        content_size: What the frame declares, any number below 2^64.
        window: Window descriptor; None is a frame in a single segment.
        flags: Bits of the descriptor to be set beside those that the fields need.
        dictionary: Identifier of the dictionary that the frame asks for; 0 is none.
    """
    descriptor = 3 << 6 | (window is None) << 5 | flags | (3 if dictionary else 0)
    fields = b"" if window is None else bytes([window])
    fields += dictionary.to_bytes(4, "little") if dictionary else b""
    return MAGIC + bytes([descriptor]) + fields + (content_size % (1 << 64)).to_bytes(8, "little") + blocks


def skippable(size: int, data: bytes, kind: int = 0) -> bytes:
    """Return a skippable frame that claims `size` bytes and holds `data`."""
    return (0x184D2A50 + kind).to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little") + data


def _flipped(random: Random, content: bytes) -> bytes:
    data = bytearray(compress(content))
    for _ in range(random.randint(1, 4)):
        data[random.randrange(min(len(data), random.choice((8, len(data)))))] ^= 1 << random.randrange(8)
    return bytes(data)


def _bomb(random: Random, content: bytes) -> bytes:
    size = random.choice((1 << 16, 1 << 20, BOMB_BYTES, random.randrange(1, 1 << 22)))
    declared = random.choice((size, size, len(content), size - 1, size + 1))
    return frame(repeated_blocks(random.choice((0, 1, 255)), size), declared)


def _false_size(random: Random, content: bytes) -> bytes:
    near = (len(content) + step for step in (-1, 1, 255, -len(content)))
    far = (1 << 16, (1 << 31) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)
    blocks = random.choice((raw_blocks(content), b"", compress(content)[6:]))
    return frame(blocks, random.choice((*near, *far)))


def _several(random: Random, content: bytes) -> bytes:
    data = bytes(random.randrange(9))
    other = skippable(random.choice((len(data), 1 << 31, (1 << 32) - 1)), data, random.randrange(16))
    inside = [compress(content), random.choice((other, compress(content), compress(b"")))]
    random.shuffle(inside)
    return b"".join(inside) if random.random() < 0.8 else other


def _cut(random: Random, content: bytes) -> bytes:
    data = compress(content)
    return data[: random.randrange(1, len(data))] if random.random() < 0.7 else data + bytes(random.randint(1, 9))


def _many_blocks(random: Random, content: bytes) -> bytes:
    return frame(block(RAW, b"", 0, last=False) * random.choice((1, 100, 20_000)) + raw_blocks(content), len(content))


def _other_magic(random: Random, content: bytes) -> bytes:
    data = compress(content)
    return random.choice((data[4:], bytes([random.randrange(0x20, 0x2A)]) + data[1:], b"\x37\xa4\x30\xec" + data[4:]))


KINDS: dict[str, Callable[[Random, bytes], bytes]] = {
    "flipped": _flipped,
    "bomb": _bomb,
    "false-size": _false_size,
    "several": _several,
    "cut": _cut,
    "many-blocks": _many_blocks,
    "other-magic": _other_magic,
    "no-size": lambda random, content: zstandard.ZstdCompressor(write_content_size=False).compress(content),
    "window": lambda random, content: frame(raw_blocks(content), len(content), window=random.choice((0, 0x88, 0xFF))),
    "reserved-bit": lambda random, content: frame(raw_blocks(content), len(content), flags=RESERVED_BIT),
    "reserved-block": lambda random, content: frame(block(3, content, len(content), last=True), len(content)),
    "dictionary": lambda random, content: frame(raw_blocks(content), len(content), dictionary=random.getrandbits(32)),
    "checksum": lambda random, content: zstandard.ZstdCompressor(write_checksum=True).compress(content),
    "wrong-checksum": lambda random, content: frame(raw_blocks(content), len(content), flags=CHECKSUM_BIT) + bytes(4),
    "empty": lambda random, content: compress(b""),
    "garbage": lambda random, content: MAGIC + random.randbytes(random.randrange(60)),
}
"""Frames by what is wrong with them: functions of a random source and the content that belongs there."""
