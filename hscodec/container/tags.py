"""The tags of a file header: pairs of text, packed one after the other."""

from struct import Struct
from struct import error as StructError

from hscodec.errors import FormatError

Tags = tuple[tuple[str, str], ...]
"""(key, value) pairs, in order. Keys may repeat."""

MAX_TAG_BYTES = 1 << 15
MAX_KEY_BYTES = 255
TAG = Struct("<BH")


def pack_tags(tags: Tags) -> bytes:
    """Return the bytes of the tags.

    Raises:
        FormatError: If a key has not 1 to `MAX_KEY_BYTES` bytes, all together exceed `MAX_TAG_BYTES`, or text cannot
            be written as UTF-8.
    """
    packed = bytearray()
    for key, value in tags:
        try:
            key_data, value_data = key.encode(), value.encode()
        except UnicodeEncodeError:
            raise FormatError(f"tag {key!r} cannot be written as UTF-8") from None
        if not 1 <= len(key_data) <= MAX_KEY_BYTES:
            raise FormatError(f"tag key bytes {len(key_data)} is not in 1 to {MAX_KEY_BYTES}")
        num_bytes = len(packed) + TAG.size + len(key_data) + len(value_data)
        if num_bytes > MAX_TAG_BYTES:
            raise FormatError(f"tag bytes {num_bytes} is not in 0 to {MAX_TAG_BYTES}")
        packed += TAG.pack(len(key_data), len(value_data)) + key_data + value_data
    return bytes(packed)


def unpack_tags(data: bytes, start: int, num_tags: int) -> tuple[Tags, int]:
    """Read `num_tags` tags from offset `start` of a header without its checksum; return them and where they stop.

    Raises:
        FormatError: If they are longer than the header, than `MAX_TAG_BYTES`, or not UTF-8.
    """
    tags = []
    stop = start
    try:
        for _ in range(num_tags):
            key_bytes, value_bytes = TAG.unpack_from(data, stop)
            key_start = stop + TAG.size
            stop = key_start + key_bytes + value_bytes
            tags.append((data[key_start : key_start + key_bytes].decode(), data[key_start + key_bytes : stop].decode()))
    except (StructError, UnicodeDecodeError):
        raise FormatError("header: the tags are longer than the header, or not UTF-8") from None
    if stop > len(data):
        raise FormatError("header: the tags are longer than the header")
    return tuple(tags), stop
