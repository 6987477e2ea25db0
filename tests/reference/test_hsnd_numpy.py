"""hscodec and the second implementation read files to the same symbols, and refuse the same files."""

import ast
import io
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from hscodec.codec import encode_file
from hscodec.codec.symbols import SymbolReader
from hscodec.coding import by_context
from hscodec.coding.coupling import Coupling, pack_couplings
from hscodec.coding.frequencies import TABLE_NAMES, FrequencyTables
from hscodec.coding.order import Order
from hscodec.coding.payload import ChunkSymbols, pack, unpack
from hscodec.container import ChunkOrder, ContainerReader, ContainerWriter, FileHeader
from hscodec.errors import FormatError, ModelError
from hscodec.rates import HOP_SECONDS
from hscodec.registry import load_model

ALLOWED = {"numpy", "zstandard"}
SAME_NAMES = "num_channels model_id num_samples sample_rate gain num_weights quality sample_format".split()
EDGES = st.sampled_from([0, 1, 2, 127, 128, 253, 254, 255])
LARGE = [2**31 - 1, -(2**31), 2**16, -(2**16), 2**16 - 1, 39, 40, 41, 15, -16, 7, 8]


class Tables(dict):
    """A model's tensors, in a failing example no longer than this."""

    def __repr__(self):
        return "Tables"


@pytest.fixture(scope="module")
def tables(tiny_model_path):
    return Tables(load_file(tiny_model_path))


@pytest.fixture
def encode(tmp_path, tiny_model):
    """Return a function that encodes noise and returns the file's bytes; with a width of 0 all channels are alike."""

    def encode_noise(seconds, *, rate, num_channels=1, quality=5.0, width=1.0):
        swell = 0.1 + 0.4 * np.sin(np.arange(round(seconds * rate)) / 900)[:, None] ** 2
        noise = np.random.default_rng(7).uniform(-1, 1, (len(swell), num_channels))
        noise = width * noise + (1 - width) * noise[:, :1]
        source, target = tmp_path / "in.wav", tmp_path / "out.hsnd"
        soundfile.write(source, noise * swell, rate)
        encode_file(source, target, model=tiny_model, quality=quality, device="cpu")
        return target.read_bytes()

    return encode_noise


def read_ours(data, model):
    """Return the symbols that hscodec reads, and the number of samples; a file that needs repair is refused."""
    container = ContainerReader(io.BytesIO(data))
    if container.index_was_rebuilt:
        raise FormatError("not whole")
    symbols = SymbolReader(container, model)
    return [symbols.read(index) for index in range(len(container.chunks))], container.num_samples


def assert_same(data, reference, tables, model):
    """Read a file twice and compare; return what the second implementation read."""
    file = reference.read_file(data, tables)
    chunks, num_samples = read_ours(data, model)
    assert file.num_samples == num_samples
    assert len(file.chunks) == len(chunks)
    for theirs, ours in zip(file.chunks, chunks, strict=True):
        np.testing.assert_array_equal(theirs.latent, ours.latent)
        np.testing.assert_array_equal(theirs.symbols, ours.weights)
        assert theirs.rotations == [tuple(pair) for pair in ours.rotations.tolist()]
    header = ContainerReader(io.BytesIO(data)).header
    for name in SAME_NAMES:
        assert getattr(file.header, name) == getattr(header, name)
    assert file.header.hop == header.hop_seconds
    assert file.header.tags == list(header.tags)
    return file


def write(file, order, reference, tables, *, num_samples_known=True):
    """Return the file again, by hscodec's container, with every payload in `order`."""
    header = FileHeader(
        sample_rate=file.header.sample_rate,
        num_channels=file.header.num_channels,
        num_samples=file.num_samples if num_samples_known else None,
        num_weights=file.header.num_weights,
        quality=file.header.quality,
        gain=file.header.gain,
        model_id=file.header.model_id,
        tags=tuple(file.header.tags),
    )
    sink = io.BytesIO()
    writer = ContainerWriter(sink, header)
    for chunk in file.chunks:
        writer.write_chunk(
            first_segment=chunk.first_segment,
            num_segments=chunk.num_segments,
            order=ChunkOrder(order),
            symbol_digest=chunk.digest,
            payload=reference.write_rotated(
                chunk.latent, chunk.symbols, chunk.rotations, order, tables, file.header.quality
            ),
            last=chunk.is_last,
            has_rotations=bool(chunk.rotations),
        )
    writer.close(num_samples=file.num_samples)
    return sink.getvalue()


def silence(latent, symbols, rotations, reference):
    """Set those channels to 0 of which nothing is stored."""
    stored = reference.stored_channels(rotations, len(latent))
    for values in (latent, symbols):
        values[[channel for channel in range(len(values)) if channel not in stored]] = 0


def test_nothing_of_hscodec_is_imported(reference):
    tree = ast.parse(Path(reference.__file__).read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= ALLOWED | sys.stdlib_module_names


@pytest.mark.parametrize("quality", [0.0, 3.37, 5.0, 10.0])
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_files_of_noise(encode, reference, tables, tiny_model, rate, num_channels, quality):
    data = encode(0.3, rate=rate, num_channels=num_channels, quality=quality)
    file = assert_same(data, reference, tables, tiny_model)
    by_context = write(file, reference.BY_CONTEXT, reference, tables)
    assert assert_same(by_context, reference, tables, tiny_model).chunks[0].order == reference.BY_CONTEXT
    assert [chunk.symbols.shape for chunk in file.chunks] == [(num_channels, 16, rate // 50)]
    assert file.num_samples == round(0.3 * rate)
    assert len(np.unique(file.chunks[0].symbols)) > 5


@pytest.mark.parametrize("order", [0, 1, 2])
def test_every_order(encode, reference, tables, tiny_model, order):
    file = reference.read_file(encode(11, rate=8000, num_channels=2, quality=3.37), tables)
    again = assert_same(write(file, order, reference, tables), reference, tables, tiny_model)
    assert [chunk.num_segments for chunk in again.chunks] == [250, 302]
    assert [chunk.order for chunk in again.chunks] == [order, order]
    assert [chunk.digest for chunk in again.chunks] == [chunk.digest for chunk in file.chunks]


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize(
    ("num_channels", "width", "are_stored"),
    [(2, 0.05, [True]), (2, 0, [False]), (3, 0.05, [True]), (4, 0.02, [True, True])],
)
def test_rotations_in_every_order(encode, reference, tables, tiny_model, order, num_channels, width, are_stored):
    data = encode(0.3, rate=8000, num_channels=num_channels, quality=5.37, width=width)
    file = reference.read_file(data, tables)
    again = assert_same(write(file, order, reference, tables), reference, tables, tiny_model)
    assert [chunk.order for chunk in again.chunks] == [order]
    assert again.chunks[0].rotations == file.chunks[0].rotations
    reductions = [reduction for _, reduction in file.chunks[0].rotations]
    assert [reduction != 255 for reduction in reductions] == are_stored
    assert min(reductions) > 0
    assert again.chunks[0].digest == file.chunks[0].digest


def test_a_length_that_was_left_open(encode, reference, tables, tiny_model):
    file = reference.read_file(encode(0.3, rate=8000), tables)
    again = assert_same(
        write(file, reference.BY_CLASS, reference, tables, num_samples_known=False), reference, tables, tiny_model
    )
    assert (again.header.num_samples, again.num_samples) == (None, 2400)


def test_an_empty_sound(encode, reference, tables, tiny_model):
    file = assert_same(encode(0, rate=8000), reference, tables, tiny_model)
    assert (file.chunks, file.num_samples) == ([], 0)


def test_speech_with_the_shipped_model(tmp_path, reference, speech):
    model = load_model("hsc-1")
    encode_file(speech, tmp_path / "speech.hsnd", model=model, device="cpu")
    file = assert_same((tmp_path / "speech.hsnd").read_bytes(), reference, load_file(model.path), model)
    assert file.chunks[0].order == reference.BY_CLASS
    assert file.chunks[0].symbols.shape == (1, 302, 441)


# Damage


@pytest.fixture(scope="module")
def sealed(reference, tables, tiny_model):
    """Return (a file of about 900 bytes, where each checksum's range starts and stops)."""
    random = np.random.default_rng(0)
    header = FileHeader(
        sample_rate=1000,
        num_channels=2,
        num_samples=None,
        num_weights=20,
        quality=437,
        model_id=tiny_model.model_id,
        tags=(("title", "Stück"), ("title", "")),
    )
    sink = io.BytesIO()
    writer = ContainerWriter(sink, header)
    spans = [(0, sink.tell() - 4)]
    for order, (num_segments, rotations) in enumerate(((4, []), (6, [(37, 12)]), (4, [(200, 255)]))):
        latent = np.round(random.laplace(0, 3, (2, num_segments // 2, 4))).astype(np.int32)
        symbols = np.round(random.laplace(0, 2, (2, num_segments, 20))).astype(np.int32)
        latent.flat[::5] *= 100
        symbols.flat[::7] *= 100
        silence(latent, symbols, rotations, reference)
        start = sink.tell()
        writer.write_chunk(
            first_segment=writer.num_segments,
            num_segments=num_segments,
            order=ChunkOrder(order),
            symbol_digest=reference.symbol_digest(latent, symbols),
            payload=reference.write_rotated(latent, symbols, rotations, order, tables, 437),
            has_rotations=bool(rotations),
        )
        spans.append((start, sink.tell() - 4))
    start = sink.tell()
    writer.close(num_samples=header.max_num_samples(14))
    spans.append((start, sink.tell() - 12))
    return sink.getvalue(), spans


def test_every_flipped_bit_is_noticed(sealed, reference, tables):
    data, _ = sealed
    reference.read_file(data, tables)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(reference.FormatError):
            reference.read_file(bytes(damaged), tables)


def test_every_truncation_is_noticed(sealed, reference, tables):
    data, _ = sealed
    for stop in range(len(data)):
        with pytest.raises(reference.FormatError):
            reference.read_file(data[:stop], tables)
    with pytest.raises(reference.FormatError):
        reference.read_file(data + b"\0", tables)


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 95), EDGES | st.integers(0, 255)), max_size=2),
)
def test_both_refuse_the_same_headers_and_trailers(sealed, reference, tables, tiny_model, changes):
    """Bytes are changed and the checksums made good again: what is left to object to is what the format says."""
    original, spans = sealed
    changed = bytearray(original)
    for record, offset, byte in changes:
        start, stop = spans[record]
        changed[min(start + offset, stop + 11 if record == 4 else stop)] = byte
    for start, stop in spans:
        changed[stop : stop + 4] = zlib.crc32(changed[start:stop]).to_bytes(4, "little")
    data = bytes(changed)
    try:
        file = reference.read_file(data, tables)
    except reference.FormatError:
        with pytest.raises((FormatError, ModelError)):
            read_ours(data, tiny_model)
        return
    # hscodec reads fewer channels than the format allows, and its only model has one hop.
    if file.header.model_id == tiny_model.model_id and file.header.hop == HOP_SECONDS:
        assert_same(data, reference, tables, tiny_model)


@settings(max_examples=300, deadline=None)
@given(
    order=st.sampled_from([0, 1]),
    seed=st.integers(0, 9),
    changes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), EDGES | st.integers(0, 255)), max_size=3),
)
def test_both_refuse_the_same_payloads(reference, tables, tiny_model, order, seed, changes):
    random, shape = np.random.default_rng(seed), (2, 6, 20)
    latent = np.round(random.laplace(0, 3, (2, 3, 4))).astype(np.int32)
    symbols = np.round(random.laplace(0, 1, shape)).astype(np.int32)
    symbols.flat[: 20 * seed : 7] = 2**30 + seed
    content = bytearray(reference.payload_content(latent, symbols, order, tables, 437))
    for kind, place, byte in changes:
        place %= len(content)
        content[place : place + (kind != 0)] = b"" if kind == 1 else bytes([byte])  # inserted, removed or changed
    payload = zstandard.ZstdCompressor(level=1).compress(bytes(content))
    try:
        expected = reference.read_payload(payload, shape, order, tables, 437)
    except reference.FormatError:
        with pytest.raises(FormatError):
            unpack(payload, Order(order), tiny_model.tables, 437, shape=shape)
        return
    read = unpack(payload, Order(order), tiny_model.tables, 437, shape=shape)
    np.testing.assert_array_equal(read.latent, expected[0])
    np.testing.assert_array_equal(read.weights, expected[1])
    if not changes:
        np.testing.assert_array_equal(read.latent, latent)
        np.testing.assert_array_equal(read.weights, symbols)


# Rotations


def read_rotated(payload, shape, order, reference, tables, quality):
    """Return the rotations, latent and symbols that the second implementation reads."""
    rotations, rest = reference.read_rotations(payload, shape[0])
    return rotations, *reference.read_rotated(rest, rotations, shape, order, tables, quality)


def unpack_rotated(payload, shape, order, model, quality):
    """Return the symbols that hscodec reads."""
    options = {"shape": shape, "frequencies": model.frequencies, "has_rotations": True}
    return unpack(payload, Order(order), model.tables, quality, **options)


ANGLES_AND_REDUCTIONS = st.tuples(EDGES | st.integers(0, 255), EDGES | st.integers(0, 110))


@settings(max_examples=150, deadline=None)
@given(
    rotations=st.lists(ANGLES_AND_REDUCTIONS, min_size=1, max_size=3).filter(lambda pairs: {*pairs} != {(0, 0)}),
    unpaired=st.booleans(),
    segments=st.integers(1, 5).map(lambda pairs: 2 * pairs),
    quality=st.sampled_from([0, 49, 50, 1000]) | st.integers(0, 1000),
    scale=st.sampled_from([0, 0.3, 2, 50, 3000]),
    order=st.integers(0, 2),
)
def test_both_write_the_same_rotations(
    reference, tables, tiny_model, rotations, unpaired, segments, quality, scale, order
):
    random, shape = np.random.default_rng(quality), (2 * len(rotations) + unpaired, segments, 12)
    latent = np.round(random.laplace(0, 3, (shape[0], segments // 2, 4))).astype(np.int32)
    symbols = np.round(random.laplace(0, scale, shape)).astype(np.int32)
    silence(latent, symbols, rotations, reference)
    ours = ChunkSymbols(latent, symbols, rotations=np.array(rotations, np.int32))
    packed = pack(ours, tiny_model.tables, quality, frequencies=tiny_model.frequencies)
    written = reference.write_rotated(latent, symbols, rotations, order, tables, quality)
    for payload, stored in ((packed.payload, int(packed.order)), (written, order)):
        expected = read_rotated(payload, shape, stored, reference, tables, quality)
        read = unpack_rotated(payload, shape, stored, tiny_model, quality)
        assert expected[0] == rotations == [tuple(pair) for pair in read.rotations.tolist()]
        for theirs, our, original in zip(expected[1:], (read.latent, read.weights), (latent, symbols), strict=True):
            np.testing.assert_array_equal(theirs, original)
            np.testing.assert_array_equal(our, original)
    if order == packed.order == reference.BY_CONTEXT:  # there is one encoding
        assert written == packed.payload


@settings(max_examples=200, deadline=None)
@given(
    num_channels=st.integers(1, 5),
    stored=st.integers(1, 5),
    begin=st.binary(max_size=6) | st.lists(st.sampled_from([0, 255]), max_size=6).map(bytes),
    order=st.integers(0, 2),
)
def test_both_refuse_the_same_rotations(reference, tables, tiny_model, num_channels, stored, begin, order):
    """What stands behind them is sometimes of another number of channels, or of another quality."""
    random, shape = np.random.default_rng(stored), (num_channels, 4, 12)
    latent = np.round(random.laplace(0, 3, (stored, 2, 4))).astype(np.int32)
    symbols = np.round(random.laplace(0, 1, (stored, 4, 12))).astype(np.int32)
    payload = begin + reference.write_payload(latent, symbols, order, tables, 437)
    try:
        expected = read_rotated(payload, shape, order, reference, tables, 437)
    except reference.FormatError:
        with pytest.raises(FormatError):
            unpack_rotated(payload, shape, order, tiny_model, 437)
        return
    read = unpack_rotated(payload, shape, order, tiny_model, 437)
    assert expected[0] == [tuple(pair) for pair in read.rotations.tolist()]
    np.testing.assert_array_equal(read.latent, expected[1])
    np.testing.assert_array_equal(read.weights, expected[2])


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize(
    ("num_channels", "begin"),
    [(1, b""), (2, b"\0\0"), (5, b"\0\0\0\0"), (2, b"\1\xff"), (3, b"\1\xff"), (4, b"\0\0\1\xff")],
)
def test_rotations_that_are_refused(reference, tables, tiny_model, order, num_channels, begin):
    """Zeros, and those of reduction 255 in front of the symbols of all channels."""
    random = np.random.default_rng(0)
    latent = np.round(random.laplace(0, 3, (num_channels, 2, 4))).astype(np.int32)
    symbols = np.round(random.laplace(0, 1, (num_channels, 4, 12))).astype(np.int32)
    payload = begin + reference.write_payload(latent, symbols, order, tables, 437)
    with pytest.raises(reference.FormatError, match="left|zero|content|runs" if any(begin) else "no pair"):
        read_rotated(payload, (num_channels, 4, 12), order, reference, tables, 437)
    with pytest.raises(FormatError, match="payload" if any(begin) else "announces rotations and has none"):
        unpack_rotated(payload, (num_channels, 4, 12), order, tiny_model, 437)


# Order by-context


@st.composite
def frequencies(draw):
    """Draw tables of frequencies for four latent dimensions, some of whose rows hardly allow for a second token."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    contexts = draw(st.sampled_from([1, 2, 3, 9, 64]))

    def rows(*shape):
        mean = random.exponential(draw(st.sampled_from([1e-3, 1, 20])), (*shape, 1))
        shares = np.exp(-np.abs(np.arange(61) - random.integers(0, 61, (*shape, 1))) / mean)
        shares = np.floor(shares / shares.sum(-1, keepdims=True) * (2**20 - 61)).astype(np.int32) + 1
        shares[..., random.integers(61)] += 2**20 - shares.sum(-1)
        return shares

    unit = random.integers(0, draw(st.sampled_from([1, 300, 2**16])), 64, endpoint=True, dtype=np.int32)
    highest = draw(st.sampled_from([1, 10_000, 2**26]))
    edges = np.sort(random.integers(-2, highest, (7, contexts - 1), dtype=np.int32))
    return FrequencyTables(unit, edges, rows(7, contexts, 64), rows(11, 4))


def with_frequencies(tables, frequencies):
    """Return a model's tensors with other frequencies."""
    return Tables(tables | {f"frequency.{name}": getattr(frequencies, name) for name in TABLE_NAMES})


@settings(max_examples=100, deadline=None)
@given(
    frequencies=frequencies(),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5).map(lambda pairs: 2 * pairs), st.integers(1, 30)),
    quality=st.integers(0, 1000),
    scale=st.sampled_from([0, 0.3, 2, 50, 3000]),
    large=st.lists(st.tuples(st.integers(0, 2**20), st.sampled_from(LARGE)), max_size=8),
)
def test_both_write_the_same_words(reference, tables, tiny_model, frequencies, shape, quality, scale, large):
    tables = with_frequencies(tables, frequencies)
    reference.check_tables(tables)
    random = np.random.default_rng(quality)
    latent = np.round(random.laplace(0, 3, (shape[0], shape[1] // 2, 4))).astype(np.int32)
    symbols = np.round(random.laplace(0, scale, shape)).astype(np.int32)
    for place, value in large:
        values = symbols if place % 2 else latent
        values.flat[place // 2 % values.size] = value
    words = by_context.write(latent, symbols, tiny_model.tables, frequencies, quality)
    assert words == reference.write_payload(latent, symbols, reference.BY_CONTEXT, tables, quality)
    read = reference.read_payload(words, shape, reference.BY_CONTEXT, tables, quality)
    np.testing.assert_array_equal(read[0], latent)
    np.testing.assert_array_equal(read[1], symbols)
    read = by_context.read(words, tiny_model.tables, frequencies, quality, shape=shape)
    np.testing.assert_array_equal(read[0], latent)
    np.testing.assert_array_equal(read[1], symbols)


def refuse_or_read_alike(words, shape, reference, tables, model):
    """Let both read words; return the message of the second implementation if they refuse them."""
    order = reference.BY_CONTEXT
    try:
        expected = reference.read_payload(words, shape, order, tables, 437)
    except reference.FormatError as error:
        with pytest.raises(FormatError):
            unpack(words, Order(order), model.tables, 437, shape=shape, frequencies=model.frequencies)
        return str(error)
    read = unpack(words, Order(order), model.tables, 437, shape=shape, frequencies=model.frequencies)
    np.testing.assert_array_equal(read.latent, expected[0])
    np.testing.assert_array_equal(read.weights, expected[1])
    assert reference.write_payload(*expected, order, tables, 437) == words  # there is one encoding
    return ""


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 9),
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), st.integers(0, 400)), max_size=2),
    changes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), EDGES | st.integers(0, 255)), max_size=1),
)
def test_both_refuse_the_same_words(reference, tables, tiny_model, seed, steps, changes):
    """Numbers are inserted, removed or replaced before they are coded, bytes after that."""
    random, shape = np.random.default_rng(seed), (2, 6, 20)
    latent = np.round(random.laplace(0, 3, (2, 3, 4))).astype(np.int32)
    symbols = np.round(random.laplace(0, 1, shape)).astype(np.int32)
    symbols.flat[: 20 * seed : 7] = 2**30 + seed
    changed = reference.payload_steps(latent, symbols, tables, 437)
    for kind, place, source in steps:
        place %= len(changed)
        changed[place : place + (kind != 0)] = [] if kind == 1 else [changed[source % len(changed)]]
    words = bytearray(reference.words_of(changed))
    for kind, place, byte in changes:
        place %= len(words)
        words[place : place + (kind != 0)] = b"" if kind == 1 else bytes([byte])
    message = refuse_or_read_alike(bytes(words), shape, reference, tables, tiny_model)
    assert steps or changes or not message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=12) | st.binary(max_size=4).map(lambda words: words + b"\0"))
def test_few_words_are_read_alike(reference, tables, tiny_model, words):
    refuse_or_read_alike(words, (1, 2, 3), reference, tables, tiny_model)


@pytest.mark.parametrize("among", ["residuals", "symbols"])
@pytest.mark.parametrize(
    ("upper", "lower", "sign", "words"),
    [
        (1, 0, 0, ""),
        (0, 2**16 - 1, 0, "written out"),
        (0, 0, 1, "written out"),
        (2**15 - 1, 2**16 - 1, 0, ""),
        (2**15, 0, 1, ""),
        (2**15, 0, 0, "beyond int32"),
        (2**15, 1, 1, "beyond int32"),
        (2**16 - 1, 2**16 - 1, 1, "beyond int32"),
    ],
)
def test_magnitudes_that_are_written_out(reference, tables, tiny_model, among, upper, lower, sign, words):
    latent, symbols = np.zeros((1, 1, 4), np.int32), np.zeros((1, 2, 1), np.int32)
    (latent if among == "residuals" else symbols).flat[0] = -(2**20) if sign else 2**20
    steps = reference.payload_steps(latent, symbols, tables, 437)
    halves = 4 if among == "residuals" else 5  # behind the tokens of the residuals, or the first symbol's as well
    steps[halves : halves + 2] = [(upper * 2**8, 2**8), (lower * 2**8, 2**8)]
    message = refuse_or_read_alike(reference.words_of(steps), symbols.shape, reference, tables, tiny_model)
    assert message.endswith(words)
    assert bool(message) == bool(words)


@pytest.mark.parametrize("end", [b"", b"\0", b"\0\0\0\0"])
def test_zero_bytes_behind_the_words(reference, tables, tiny_model, end):
    latent, symbols = np.zeros((1, 1, 4), np.int32), np.full((1, 2, 40), 3, np.int32)
    words = reference.write_payload(latent, symbols, reference.BY_CONTEXT, tables, 437)
    message = refuse_or_read_alike(words + end, symbols.shape, reference, tables, tiny_model)
    assert ("zero" in message) == bool(end)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_numbers_behind_the_last(reference, tables, tiny_model, count):
    latent, symbols = np.zeros((1, 1, 4), np.int32), np.full((1, 2, 40), 3, np.int32)
    steps = reference.payload_steps(latent, symbols, tables, 437) + count * [(2**23, 2**23)]
    message = refuse_or_read_alike(reference.words_of(steps), symbols.shape, reference, tables, tiny_model)
    assert ("left" in message) == bool(count)


def test_no_words_at_all(reference, tables, tiny_model):
    assert refuse_or_read_alike(b"", (1, 2, 3), reference, tables, tiny_model)
    assert refuse_or_read_alike(b"\0\0", (1, 2, 3), reference, tables, tiny_model)
    assert not refuse_or_read_alike(b"\0", (1, 2, 3), reference, tables, tiny_model)


def test_a_model_without_frequencies_cannot_read_them(encode, reference, tables):
    file = reference.read_file(encode(0.3, rate=8000), tables)
    data = write(file, reference.BY_CONTEXT, reference, tables)
    without = {name: table for name, table in tables.items() if not name.startswith("frequency.")}
    reference.check_tables(without)
    with pytest.raises(reference.FormatError, match="no frequencies"):
        reference.read_file(data, without)


def put(name, place, value):
    """Return what changes one entry of a table."""

    def change(tables):
        tables[name][place] = value

    return change


def replace(name, new):
    """Return what puts a function of a table in its place."""
    return lambda tables: tables.update({name: new(tables[name])})


def merge(name):
    """Return what gives one token's frequency to another."""

    def change(tables):
        tables[name][..., 59] += tables[name][..., 60]
        tables[name][..., 60] = 0

    return change


BAD_FREQUENCIES = {
    "unit below 0": put("unit", 3, -1),
    "unit above 2^16": put("unit", 63, 2**16 + 1),
    "unit of another length": replace("unit", lambda table: table[:63]),
    "unit of another type": replace("unit", lambda table: table.astype(np.int64)),
    "edges descend": put("edges", (6, 0), 2**31 - 1),
    "edges descend from end to end": put("edges", (3, np.s_[:2]), [2**31 - 1, -(2**31)]),
    "edges of another type": replace("edges", lambda table: table.astype(np.uint32)),
    "edges of fewer passes": replace("edges", lambda table: table[:6]),
    "edges of more contexts": replace("edges", lambda table: np.repeat(table, 2, axis=1)),
    "no contexts": replace("weights", lambda table: table[:, :0]),
    "65 contexts": lambda tables: tables.update(
        weights=np.repeat(tables["weights"][:, :1], 65, axis=1), edges=np.zeros((7, 64), np.int32)
    ),
    "weights of another type": replace("weights", lambda table: table.astype(np.int64)),
    "weights of fewer classes": replace("weights", lambda table: table[:, :, :16]),
    "weights of fewer tokens": replace("weights", lambda table: table[..., :60]),
    "weights without dimensions": replace("weights", lambda table: table.reshape(-1)),
    "a weight's token never occurs": merge("weights"),
    "weights do not add up": put("weights", (0, 0, 0, 60), 2**19),
    "latent of fewer dimensions": replace("latent", lambda table: table[:, :3]),
    "latent of more dimensions": replace("latent", lambda table: np.repeat(table, 2, axis=1)),
    "latent of fewer qualities": replace("latent", lambda table: table[:10]),
    "latent of another type": replace("latent", lambda table: table.astype(np.uint32)),
    "a latent's token never occurs": merge("latent"),
    "latent does not add up": put("latent", (10, 3, 60), 2**20),
    **{f"{name} is missing": lambda tables, name=name: tables.pop(name) for name in TABLE_NAMES},
}


@pytest.mark.parametrize("name", BAD_FREQUENCIES)
def test_bad_frequencies_are_refused(tmp_path, reference, tables, tiny_model, name):
    changed = {name: tables[f"frequency.{name}"].copy() for name in TABLE_NAMES}
    BAD_FREQUENCIES[name](changed)
    tensors = {key: table for key, table in tables.items() if not key.startswith("frequency.")}
    tensors |= {f"frequency.{key}": np.ascontiguousarray(table) for key, table in changed.items()}
    with pytest.raises(reference.FormatError):
        reference.check_tables(tensors)
    config = json.dumps(tiny_model.config.to_mapping())
    save_file(tensors, tmp_path / "bad.safetensors", metadata={"family": "hsc", "hypernetwork": config})
    with pytest.raises(ModelError, match="frequency"):
        load_model(tmp_path / "bad.safetensors")


def test_tables_that_could_overflow_are_refused(reference, tables):
    for name, (_, magnitude) in reference.TABLES.items():
        changed = tables[f"fixed_point.{name}"].copy()
        changed.flat[-1] = magnitude + 1
        with pytest.raises(reference.FormatError, match=name):
            reference.check_tables(tables | {f"fixed_point.{name}": changed})


# Order by-pair

SHARES, PARTS = st.sampled_from([0, 255]) | st.integers(0, 255), st.integers(0, 16)


@st.composite
def couplings_of(draw, channels):
    """Draw couplings of some of these channels, in ascending order."""
    shuffled = draw(st.permutations(channels))
    pairs = [tuple(sorted(shuffled[place : place + 2])) for place in range(0, len(shuffled) - 1, 2)]
    return [
        (
            *pair,
            draw(SHARES),
            tuple(draw(st.lists(PARTS, min_size=7, max_size=7))),
            tuple(draw(st.lists(st.integers(1, 255), min_size=8, max_size=8))),
        )
        for pair in sorted(pairs[: draw(st.integers(1, len(pairs)))])
    ]


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    num_channels=st.integers(2, 5),
    segments=st.integers(1, 5).map(lambda pairs: 2 * pairs),
    quality=st.sampled_from([0, 1000]) | st.integers(0, 1000),
    scale=st.sampled_from([0.3, 2, 50, 3000]),
    likeness=st.sampled_from([0, 0.9]),
)
def test_both_write_the_same_couplings(
    reference, tables, tiny_model, data, num_channels, segments, quality, scale, likeness
):
    random, shape = np.random.default_rng(quality), (num_channels, segments, 12)
    latent = np.round(random.laplace(0, 3, (shape[0], segments // 2, 4))).astype(np.int32)
    symbols = np.round(random.laplace(0, scale, shape)).astype(np.int32)
    for values in (latent, symbols):
        values[1:] = np.where(random.random(values[1:].shape) < likeness, values[:1], values[1:])
    couplings = data.draw(couplings_of(list(range(num_channels))))
    written = reference.write_rotated(latent, symbols, [], reference.BY_PAIR, tables, quality, couplings)
    told = [Coupling(*each) for each in couplings]
    words = by_context.write(latent, symbols, tiny_model.tables, tiny_model.frequencies, quality, told)
    assert written == pack_couplings(told) + words
    read = unpack(written, Order.BY_PAIR, tiny_model.tables, quality, shape=shape, frequencies=tiny_model.frequencies)
    found, rest = reference.read_couplings(written, [], num_channels)
    assert found == couplings
    expected = reference.read_rotated(rest, [], shape, reference.BY_PAIR, tables, quality, found)
    for theirs, ours, original in zip(expected, (read.latent, read.weights), (latent, symbols), strict=True):
        np.testing.assert_array_equal(theirs, original)
        np.testing.assert_array_equal(ours, original)


@settings(max_examples=150, deadline=None)
@given(
    begin=st.lists(st.sampled_from([0, 1, 2, 3, 16, 17, 255]), max_size=40).map(bytes),
    count=st.integers(0, 2),
    silent=st.booleans(),
)
def test_both_refuse_the_same_couplings(reference, tables, tiny_model, begin, count, silent):
    random, shape = np.random.default_rng(0), (3, 4, 12)
    rotations = [(64, 255)] if silent else []
    sizes = (3 - silent, 2, 4), (3 - silent, 4, 12)
    latent, symbols = (np.round(random.laplace(0, 2, size)).astype(np.int32) for size in sizes)
    payload = bytes([count]) + begin + reference.write_payload(latent, symbols, reference.BY_CONTEXT, tables, 437)
    options = {"shape": shape, "frequencies": tiny_model.frequencies, "has_rotations": silent}
    in_front = b"@\xff" * silent
    try:
        couplings, rest = reference.read_couplings(payload, rotations, 3)
        expected = reference.read_rotated(rest, rotations, shape, reference.BY_PAIR, tables, 437, couplings)
    except reference.FormatError:
        with pytest.raises(FormatError):
            unpack(in_front + payload, Order.BY_PAIR, tiny_model.tables, 437, **options)
        return
    read = unpack(in_front + payload, Order.BY_PAIR, tiny_model.tables, 437, **options)
    np.testing.assert_array_equal(read.latent, expected[0])
    np.testing.assert_array_equal(read.weights, expected[1])
