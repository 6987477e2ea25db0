import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.coding.fixedpoint import scale_classes
from hscodec.coding.order import RUN_CLASSES, Order, sort_symbols
from hscodec.coding.payload import ChunkSymbols, pack, unpack
from hscodec.coding.quantize import to_bytes
from hscodec.errors import FormatError

QUALITY = 437
SHAPE = (2, 8, 20)
ORDERS = [(Order.PLAIN, False), (Order.BY_CLASS, True)]


def assert_equal(symbols, latent, weights):
    np.testing.assert_array_equal(symbols.latent, latent)
    np.testing.assert_array_equal(symbols.weights, weights)
    assert symbols.latent.dtype == symbols.weights.dtype == np.int32


def frame(content, **changes):
    return zstandard.ZstdCompressor(level=3, **changes).compress(content)


@pytest.fixture(scope="module")
def chunk(make_tables, make_symbols, documented):
    """Return (tables, symbols, the documented payload)."""
    tables = make_tables()
    return tables, make_symbols(shape=SHAPE), documented(tables, QUALITY)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("large", [False, True])
def test_round_trip(make_tables, make_symbols, seed, large):
    tables, symbols = make_tables(seed=seed), make_symbols(seed=seed, large=large, shape=SHAPE)
    packed = pack(symbols, tables, QUALITY)
    restored = unpack(packed.payload, packed.order, tables, QUALITY, shape=SHAPE)
    assert_equal(restored, symbols.latent, symbols.weights)
    assert restored.digest() == symbols.digest()


@pytest.mark.parametrize(("order", "by_class"), ORDERS)
@pytest.mark.parametrize("large", [False, True])
def test_a_payload_written_from_the_documentation_can_be_read(
    make_tables, make_symbols, documented, order, by_class, large
):
    tables, symbols = make_tables(seed=3), make_symbols(seed=3, large=large, shape=SHAPE)
    payload = documented(tables, QUALITY).write(symbols.latent, symbols.weights, by_class=by_class)
    assert_equal(unpack(payload, order, tables, QUALITY, shape=SHAPE), symbols.latent, symbols.weights)


@pytest.mark.parametrize("large", [False, True])
def test_a_reader_written_from_the_documentation_can_read_ours(make_tables, make_symbols, documented, large):
    seen = set()
    for symbols in (make_symbols(seed=4, large=large, shape=SHAPE), repeated(large=large), by_class_only(make_tables)):
        tables = make_tables()
        packed = pack(symbols, tables, QUALITY)
        reader = documented(tables, QUALITY)
        by_class = packed.order is Order.BY_CLASS
        latent, weights = reader.read(packed.payload, shape=symbols.weights.shape, by_class=by_class)
        assert_equal(symbols, latent, weights)
        assert symbols.digest() == reader.digest(latent, weights)
        seen.add(by_class)
    assert seen == {False, True}


def repeated(*, large=False):
    """Return symbols whose plain order is one short pattern, over and over."""
    pattern = np.random.default_rng(0).integers(-60, 60, 20, dtype=np.int32) * (3 if large else 1)
    latent = np.random.default_rng(1).integers(-9, 9, (2, 40, 3), dtype=np.int32)
    return ChunkSymbols(latent, np.tile(pattern, (2, 80, 1)))


def by_class_only(make_tables):
    """Return symbols that only the class tells apart: the large ones stand where the model expects them."""
    random = np.random.default_rng(1)
    latent = random.integers(-9, 9, (2, 40, 3), dtype=np.int32)
    classes = scale_classes(make_tables(), latent, QUALITY, 20)
    weights = np.where(classes > np.median(classes), random.integers(-50, 50, classes.shape), 0).astype(np.int32)
    return ChunkSymbols(latent, weights)


def test_the_smaller_order_is_kept(make_tables):
    tables = make_tables()
    assert pack(repeated(), tables, QUALITY).order is Order.PLAIN
    assert pack(by_class_only(make_tables), tables, QUALITY).order is Order.BY_CLASS


def test_the_digest_does_not_depend_on_the_order(chunk):
    tables, symbols, documented = chunk
    digests = {
        unpack(
            documented.write(symbols.latent, symbols.weights, by_class=by_class), order, tables, QUALITY, shape=SHAPE
        ).digest()
        for order, by_class in ORDERS
    }
    assert digests == {documented.digest(symbols.latent, symbols.weights)}
    assert len(digests.pop()) == 8


def test_packing_is_deterministic(chunk):
    tables, symbols, _ = chunk
    assert pack(symbols, tables, QUALITY) == pack(symbols, tables, QUALITY)


def test_the_frame_declares_its_size_and_nothing_more(chunk):
    tables, symbols, documented = chunk
    packed = pack(symbols, tables, QUALITY)
    parameters = zstandard.get_frame_parameters(packed.payload)
    content = documented.content(symbols.latent, symbols.weights, by_class=packed.order is Order.BY_CLASS)
    assert parameters.content_size == len(content)
    assert not parameters.has_checksum
    assert parameters.dict_id == 0


def test_a_silent_chunk_is_tiny(make_tables):
    shape = (1, 250, 320)
    symbols = ChunkSymbols(np.zeros((1, 125, 16), np.int32), np.zeros(shape, np.int32))
    tables = make_tables(channels=16, num_weights=320)
    packed = pack(symbols, tables, QUALITY)
    assert len(packed.payload) < 40 and packed.has_bandwidth
    restored = unpack(packed.payload, packed.order, tables, QUALITY, shape=shape, has_bandwidth=True)
    assert_equal(restored, symbols.latent, symbols.weights)


@pytest.mark.parametrize("shape", [(1, 8, 20), (2, 6, 20), (2, 10, 20), (2, 8, 19), (2, 8, 21), (3, 8, 20)])
def test_a_payload_of_another_shape_is_refused(chunk, shape):
    tables, symbols, _ = chunk
    packed = pack(symbols, tables, QUALITY)
    with pytest.raises(FormatError):
        unpack(packed.payload, packed.order, tables, QUALITY, shape=shape)


def test_bad_payloads_are_refused(chunk):
    tables, symbols, documented = chunk
    content = documented.content(symbols.latent, symbols.weights, by_class=False)
    valid = frame(content)
    num_symbols = 2 * 4 * 3 + 2 * 8 * 20
    small = bytes(num_symbols)
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    bad = {
        "empty": b"",
        "not zstd": b"hello, world",
        "cut off": valid[:-1],
        "one byte more": valid + b"\0",
        "two frames": valid + valid,
        "a skippable frame first": skippable + valid,
        "no declared size": frame(content, write_content_size=False),
        "one symbol less": frame(small[:-1]),
        "one symbol more": frame(small + b"\0"),
        "an escape too many": frame(small + (1000).to_bytes(4, "little")),
        "an escape too few": frame(b"\xff" + small[1:]),
        "half an escape": frame(b"\xff" + small[1:] + b"\1\2"),
        "an escape without need": frame(b"\xff" + small[1:] + bytes(4)),
        "more escapes than symbols": frame(small + bytes(4 * (num_symbols + 1))),
        "nothing but runs that go on": frame(b"\xff" * num_symbols),
    }
    assert_equal(unpack(valid, Order.PLAIN, tables, QUALITY, shape=SHAPE), symbols.latent, symbols.weights)
    for name, payload in bad.items():
        for order, _ in ORDERS:
            with pytest.raises(FormatError):
                unpack(payload, order, tables, QUALITY, shape=SHAPE)
                pytest.fail(name)


def claiming(content_bytes):
    """Return a frame whose header claims `content_bytes`, and that holds nothing else."""
    return b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + content_bytes.to_bytes(8, "little") + b"\x01\x00\x00"


@pytest.mark.parametrize("payload", [frame(bytes(50_000_000)), claiming(1 << 40), claiming((1 << 64) - 2)])
def test_bombs_are_refused_before_anything_is_allocated(chunk, payload):
    tables, _, _ = chunk
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="does not fit"):
            unpack(payload, Order.PLAIN, tables, QUALITY, shape=SHAPE)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000


@settings(max_examples=100, deadline=None)
@given(payload=st.binary(max_size=200), order=st.sampled_from(Order))
def test_random_bytes_are_refused(chunk, payload, order):
    with pytest.raises(FormatError):
        unpack(payload, order, chunk[0], QUALITY, shape=SHAPE)


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), order=st.sampled_from(Order))
def test_a_flipped_bit_does_no_harm(chunk, place, bit, order):
    tables, symbols, _ = chunk
    payload = bytearray(pack(symbols, tables, QUALITY).payload)
    payload[place % len(payload)] ^= 1 << bit
    try:
        restored = unpack(bytes(payload), order, tables, QUALITY, shape=SHAPE)
    except FormatError:
        return
    assert restored.weights.shape == SHAPE
    assert restored.latent.shape == symbols.latent.shape


def test_every_truncation_is_refused(chunk):
    tables, symbols, _ = chunk
    packed = pack(symbols, tables, QUALITY)
    for stop in range(len(packed.payload)):
        with pytest.raises(FormatError):
            unpack(packed.payload[:stop], packed.order, tables, QUALITY, shape=SHAPE)


def rotated(symbols, reduction):
    return ChunkSymbols(symbols.latent, symbols.weights, rotations=np.array([(64, reduction)], np.int32))


def test_plain_order_does_not_depend_on_the_reduction(make_tables):
    tables = make_tables()
    payloads = {pack(rotated(repeated(), reduction), tables, QUALITY).payload[2:] for reduction in (0, 30, 254)}
    assert payloads == {pack(repeated(), tables, QUALITY).payload}


@pytest.mark.parametrize("reduction", [1, 30, 43, 254])
def test_symbols_are_sorted_by_the_quality_of_their_channel(make_tables, reduction):
    tables, symbols = make_tables(), by_class_only(make_tables)
    packed = pack(rotated(symbols, reduction), tables, QUALITY)
    assert packed.order is Order.BY_CLASS
    qualities = QUALITY, max(QUALITY - 10 * reduction, 0)
    classes = [scale_classes(tables, symbols.latent[c : c + 1], quality, 20) for c, quality in enumerate(qualities)]
    ordered = sort_symbols(symbols.weights, np.concatenate(classes))
    dense = ordered[np.count_nonzero(np.concatenate(classes) < RUN_CLASSES) :]
    content = zstandard.decompress(packed.payload[2:])
    num_residuals = symbols.latent.size
    assert content[num_residuals : num_residuals + dense.size] == to_bytes(dense)[0].tobytes()
    assert dense.size > 100
    options = {"shape": symbols.weights.shape, "has_rotations": True}
    assert_equal(unpack(packed.payload, packed.order, tables, QUALITY, **options), symbols.latent, symbols.weights)
