"""hscodec and the second implementation read files to the same symbols, and refuse the same files."""

import ast
import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from hscodec.codec import encode_file
from hscodec.codec.symbols import SymbolReader
from hscodec.coding.order import Order
from hscodec.coding.payload import unpack
from hscodec.container import ChunkOrder, ContainerReader, ContainerWriter, FileHeader
from hscodec.errors import FormatError, ModelError
from hscodec.rates import HOP_SECONDS
from hscodec.registry import load_model

ALLOWED = {"numpy", "zstandard"}
SAME_NAMES = "num_channels model_id num_samples sample_rate gain num_weights quality sample_format".split()
EDGES = st.sampled_from([0, 1, 2, 127, 128, 253, 254, 255])


class Tables(dict):
    """A model's tensors, in a failing example no longer than this."""

    def __repr__(self):
        return "Tables"


@pytest.fixture(scope="module")
def tables(tiny_model_path):
    return Tables(load_file(tiny_model_path))


@pytest.fixture
def encode(tmp_path, tiny_model):
    """Return a function that encodes noise and returns the file's bytes."""

    def encode_noise(seconds, *, rate, num_channels=1, quality=5.0):
        swell = 0.1 + 0.4 * np.sin(np.arange(round(seconds * rate)) / 900)[:, None] ** 2
        noise = np.random.default_rng(7).uniform(-1, 1, (len(swell), num_channels))
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
            payload=reference.write_payload(chunk.latent, chunk.symbols, order, tables, file.header.quality),
            last=chunk.is_last,
        )
    writer.close(num_samples=file.num_samples)
    return sink.getvalue()


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
    assert [chunk.symbols.shape for chunk in file.chunks] == [(num_channels, 16, rate // 50)]
    assert file.num_samples == round(0.3 * rate)
    assert len(np.unique(file.chunks[0].symbols)) > 5


@pytest.mark.parametrize("order", [0, 1])
def test_either_order(encode, reference, tables, tiny_model, order):
    file = reference.read_file(encode(11, rate=8000, num_channels=2, quality=3.37), tables)
    again = assert_same(write(file, order, reference, tables), reference, tables, tiny_model)
    assert [chunk.num_segments for chunk in again.chunks] == [250, 302]
    assert [chunk.order for chunk in again.chunks] == [order, order]
    assert [chunk.digest for chunk in again.chunks] == [chunk.digest for chunk in file.chunks]


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
    """Return (a file of about 700 bytes, where each checksum's range starts and stops)."""
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
    for order, num_segments in enumerate((4, 6)):
        latent = np.round(random.laplace(0, 3, (2, num_segments // 2, 4))).astype(np.int32)
        symbols = np.round(random.laplace(0, 2, (2, num_segments, 20))).astype(np.int32)
        latent.flat[::5] *= 100
        symbols.flat[::7] *= 100
        start = sink.tell()
        writer.write_chunk(
            first_segment=writer.num_segments,
            num_segments=num_segments,
            order=ChunkOrder(order),
            symbol_digest=reference.symbol_digest(latent, symbols),
            payload=reference.write_payload(latent, symbols, order, tables, 437),
        )
        spans.append((start, sink.tell() - 4))
    start = sink.tell()
    writer.close(num_samples=header.max_num_samples(10))
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
    changes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 95), EDGES | st.integers(0, 255)), max_size=2),
)
def test_both_refuse_the_same_headers_and_trailers(sealed, reference, tables, tiny_model, changes):
    """Bytes are changed and the checksums made good again: what is left to object to is what the format says."""
    original, spans = sealed
    changed = bytearray(original)
    for record, offset, byte in changes:
        start, stop = spans[record]
        changed[min(start + offset, stop + 11 if record == 3 else stop)] = byte
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


def test_tables_that_could_overflow_are_refused(reference, tables):
    for name, (_, magnitude) in reference.TABLES.items():
        changed = tables[f"fixed_point.{name}"].copy()
        changed.flat[-1] = magnitude + 1
        with pytest.raises(reference.FormatError, match=name):
            reference.check_tables(tables | {f"fixed_point.{name}": changed})
