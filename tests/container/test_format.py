"""The three records: what they accept, what they refuse, and that packing is the inverse of unpacking."""

import dataclasses
import zlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscodec import rates
from hscodec.container import format as fmt
from hscodec.errors import FormatError

U32_MAX = (1 << 32) - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)

HOPS = st.one_of(
    st.just(Fraction(1, 50)),
    st.builds(Fraction, st.integers(1, 1 << 20), st.integers(1 << 20, U32_MAX)),
    st.fractions(Fraction(1, 1000), fmt.MAX_HOP_SECONDS, max_denominator=10_000),
)
HEADERS = st.builds(
    fmt.FileHeader,
    sample_rate=st.integers(1, fmt.MAX_SAMPLE_RATE_HZ),
    num_channels=st.integers(1, fmt.MAX_CHANNELS),
    num_samples=st.none() | st.integers(0, fmt.MAX_SAMPLES),
    num_weights=st.integers(1, fmt.MAX_WEIGHTS),
    quality=st.integers(0, fmt.MAX_QUALITY),
    hop_seconds=HOPS,
    gain=st.floats(1e-30, 1e30),
    model_id=st.binary(min_size=16, max_size=16),
    tags=st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=5).map(tuple),
)
EVEN = st.integers(1, fmt.MAX_CHUNK_SEGMENTS // 2).map(lambda half: 2 * half)
CHUNK_HEADERS = st.builds(
    fmt.ChunkHeader,
    first_segment=st.integers(0, (fmt.MAX_SEGMENTS - fmt.MAX_CHUNK_SEGMENTS) // 2).map(lambda half: 2 * half),
    num_segments=EVEN,
    order=st.sampled_from(fmt.ChunkOrder),
    payload_bytes=st.integers(1, fmt.MAX_CHUNK_PAYLOAD_BYTES),
    symbol_digest=st.binary(min_size=8, max_size=8),
    is_last=st.booleans(),
    has_attacks=st.booleans(),
    has_rotations=st.booleans(),
    has_bandwidth=st.booleans(),
)
CHUNK_LENGTHS = st.integers(fmt.CHUNK_OVERHEAD_BYTES + 1, fmt.CHUNK_OVERHEAD_BYTES + fmt.MAX_CHUNK_PAYLOAD_BYTES)
TRAILERS = st.builds(
    fmt.Trailer,
    st.lists(st.builds(fmt.IndexEntry, CHUNK_LENGTHS, EVEN), max_size=20).map(tuple),
    st.integers(0, fmt.MAX_SAMPLES),
)


def reseal(data: bytes) -> bytes:
    """Give a changed header a checksum that holds."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def patch(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


@given(HEADERS)
def test_header_round_trip(header):
    data = header.pack()
    assert fmt.FileHeader.unpack(data) == header
    assert fmt.FileHeader.unpack(data).pack() == data
    assert fmt.header_byte_length(data[: fmt.HEADER_PREFIX.size]) == len(data)


@given(CHUNK_HEADERS)
def test_chunk_header_round_trip(header):
    assert fmt.ChunkHeader.unpack(header.pack()) == header
    assert header.byte_length - header.payload_bytes == 28


@given(TRAILERS)
def test_trailer_round_trip(trailer):
    data = trailer.pack()
    assert fmt.Trailer.unpack(data) == trailer
    assert len(data) == trailer.byte_length == 28 + 6 * len(trailer.index)


@given(HEADERS, st.data())
def test_a_flipped_header_bit_is_detected(header, data):
    packed = bytearray(header.pack())
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError):
        fmt.FileHeader.unpack(bytes(packed))


@given(st.binary(max_size=200), st.sampled_from([b"", fmt.MAGIC, fmt.MAGIC + b"\1\0\0\0\x44\0", fmt.TRAILER_MARKER]))
def test_noise_is_refused_with_a_format_error(noise, start):
    data = start + noise
    for record in (fmt.FileHeader, fmt.Trailer):
        with pytest.raises(FormatError):
            record.unpack(data)


def test_fixed_sizes(header):
    assert len(dataclasses.replace(header, tags=()).pack()) == 68
    assert fmt.HEADER.format.startswith(fmt.HEADER_PREFIX.format)
    assert (fmt.CHUNK_OVERHEAD_BYTES, fmt.TRAILER_OVERHEAD_BYTES) == (28, 28)
    assert len({fmt.CHUNK_MARKER, fmt.TRAILER_MARKER, fmt.END_MARKER}) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", 0),
        ("sample_rate", fmt.MAX_SAMPLE_RATE_HZ + 1),
        ("num_channels", 0),
        ("num_channels", fmt.MAX_CHANNELS + 1),
        ("num_samples", -1),
        ("num_samples", fmt.MAX_SAMPLES + 1),
        ("num_weights", 0),
        ("num_weights", fmt.MAX_WEIGHTS + 1),
        ("quality", -1),
        ("quality", fmt.MAX_QUALITY + 1),
        ("hop_seconds", Fraction(0)),
        ("hop_seconds", Fraction(-1, 50)),
        ("hop_seconds", fmt.MAX_HOP_SECONDS + Fraction(1, 2)),
        ("hop_seconds", Fraction(1, 1 << 32)),
        ("hop_seconds", Fraction((1 << 32) + 1, 1 << 32)),
        ("gain", 0.0),
        ("gain", -1.0),
        ("gain", 1e-60),
        ("gain", 1e39),
        ("gain", float("inf")),
        ("gain", float("nan")),
        ("model_id", bytes(15)),
        ("target_network", 1),  # without a network record
        ("target_network", 3),
        ("tags", (("", "empty key"),)),
        ("tags", (("k" * 256, "long key"),)),
        ("tags", (("lone surrogate", "\ud800"),)),
        ("tags", (("k", "v" * fmt.MAX_TAG_BYTES),)),
        ("tags", (("k", "v" * 1000),) * 33),
    ],
)
def test_header_refuses_values_out_of_range(header, name, value):
    with pytest.raises(FormatError) as caught:
        dataclasses.replace(header, **{name: value})
    assert "\n" not in str(caught.value)


def test_gain_is_the_number_that_is_stored(header):
    rounded = dataclasses.replace(header, gain=0.1)
    assert rounded.gain != 0.1
    assert fmt.FileHeader.unpack(rounded.pack()).gain == rounded.gain == pytest.approx(0.1, rel=1e-7)


def test_tags_may_fill_their_cap(header):
    full = dataclasses.replace(header, tags=(("k", "v" * (fmt.MAX_TAG_BYTES - 4)),))
    assert fmt.FileHeader.unpack(full.pack()) == full


@pytest.mark.parametrize(
    ("offset", "new", "message"),
    [
        (0, b"RIFF", "not a .hsnd file"),
        (0, b"\x09", "text mode"),
        (5, b"\n\x1a", "text mode"),
        (8, b"\2", "made by a newer version"),
        (8, b"\0", "not a valid .hsnd file"),
        (10, b"\1", "reserved bits"),
        (12, b"\x43\0", "too few"),
        (14, b"\3", "target network 3 is reserved"),
        (44, b"\2\0\0\0\x64\0\0\0", "lowest terms"),
        (48, b"\0\0\0\0", "lowest terms"),
        (52, b"\0\0\xc0\x7f", "gain nan"),
        (62, b"\1", "tags"),
    ],
)
def test_each_way_to_be_wrong_has_its_message(header, offset, new, message):
    data = dataclasses.replace(header, tags=()).pack()
    with pytest.raises(FormatError, match=message):
        fmt.FileHeader.unpack(reseal(patch(data, offset, new)))


def test_empty_and_short_prefixes(header):
    with pytest.raises(FormatError, match="empty"):
        fmt.header_byte_length(b"")
    with pytest.raises(FormatError, match="not a .hsnd file"):
        fmt.header_byte_length(b"ID3")
    for length in range(1, len(fmt.MAGIC) + 1):
        with pytest.raises(FormatError, match="truncated"):
            fmt.header_byte_length(fmt.MAGIC[:length])


@pytest.mark.parametrize("tag", [b"\1\0", b"\1\xff\xff" + b"k", b"\1\1\0" + b"\xff\xff", b"\1\1\0" + b"kvx"])
def test_tags_that_do_not_fill_their_room_are_refused(header, tag):
    data = dataclasses.replace(header, tags=()).pack()
    data = patch(data[:-4] + tag + bytes(4), 12, (len(data) + len(tag)).to_bytes(2, "little"))
    with pytest.raises(FormatError, match="tag"):
        fmt.FileHeader.unpack(reseal(patch(patch(data, 62, b"\1"), 9, b"\0")))


def test_a_tag_longer_than_the_header_of_a_later_minor_version_is_refused(header):
    data = dataclasses.replace(header, tags=()).pack()
    data = patch(data[:-4] + b"\1\xff\0k" + bytes(4), 12, (len(data) + 4).to_bytes(2, "little"))
    with pytest.raises(FormatError, match="longer than the header"):
        fmt.FileHeader.unpack(reseal(patch(patch(data, 62, b"\1"), 9, b"\1")))


def test_unused_flags_are_ignored(header):
    data = reseal(patch(header.pack(), 11, b"\xff"))
    assert fmt.FileHeader.unpack(data) == header
    chunk = fmt.ChunkHeader(
        first_segment=0, num_segments=2, order=fmt.ChunkOrder.PLAIN, payload_bytes=1, symbol_digest=bytes(8)
    )
    assert fmt.ChunkHeader.unpack(patch(chunk.pack(), 11, b"\xf0")) == chunk


def test_fields_of_a_later_minor_version_are_skipped(header):
    data = header.pack()[:-4] + b"new field" + bytes(4)
    data = patch(data, 12, len(data).to_bytes(2, "little"))
    with pytest.raises(FormatError, match="unexpected bytes"):
        fmt.FileHeader.unpack(reseal(patch(data, 9, b"\0")))
    for minor in (1, 2, 255):
        later = fmt.FileHeader.unpack(reseal(patch(data, 9, bytes([minor]))))
        assert later == header
        assert (later.minor, fmt.FileHeader.unpack(later.pack()).minor) == (minor, fmt.VERSION_MINOR)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_segments", 0),
        ("num_segments", 3),
        ("num_segments", fmt.MAX_CHUNK_SEGMENTS + 2),
        ("first_segment", 1),
        ("first_segment", -2),
        ("first_segment", fmt.MAX_SEGMENTS),
        ("payload_bytes", 0),
        ("payload_bytes", fmt.MAX_CHUNK_PAYLOAD_BYTES + 1),
        ("order", 5),
        ("symbol_digest", bytes(7)),
    ],
)
def test_chunk_header_refuses_values_out_of_range(name, value):
    chunk = fmt.ChunkHeader(
        first_segment=0, num_segments=2, order=fmt.ChunkOrder.PLAIN, payload_bytes=1, symbol_digest=bytes(8)
    )
    with pytest.raises(FormatError):
        dataclasses.replace(chunk, **{name: value})


@pytest.mark.parametrize("entry", [(28, 2), (fmt.MAX_CHUNK_PAYLOAD_BYTES + 29, 2), (30, 0), (30, 3), (30, 2002)])
def test_trailer_refuses_entries_out_of_range(entry):
    with pytest.raises(FormatError):
        fmt.Trailer((fmt.IndexEntry(*entry),), 0)


@pytest.mark.parametrize("num_chunks", [0, 1, 3])
def test_trailer_refuses_a_count_that_is_not_its_entries(num_chunks):
    data = fmt.Trailer((fmt.IndexEntry(30, 2),) * 2, 0).pack()
    checked = data[:-24] + num_chunks.to_bytes(4, "little") + data[-20:-12]
    with pytest.raises(FormatError, match="contradict"):
        fmt.Trailer.unpack(checked + zlib.crc32(checked).to_bytes(4, "little") + data[-8:])


def test_trailer_refuses_counts_out_of_range():
    with pytest.raises(FormatError, match="number of samples"):
        fmt.Trailer((), fmt.UNKNOWN_NUM_SAMPLES)
    with pytest.raises(FormatError, match="number of chunks"):
        fmt.Trailer((fmt.IndexEntry(30, 2),) * (fmt.MAX_CHUNKS + 1), 0)


@given(st.integers(1, 10**7), st.integers(rates.MIN_SAMPLE_RATE_HZ, rates.MAX_SAMPLE_RATE_HZ))
def test_every_sound_fits_the_segments_that_it_is_given(num_samples, sample_rate):
    """The cap on samples never refuses an honest file, also where the sound was resampled, and is tight to two hops."""
    analysis_rate = rates.analysis_rate(sample_rate)
    num_analyzed = rates.scaled_length(num_samples, sample_rate, analysis_rate)
    num_segments = rates.num_segments(num_analyzed, int(analysis_rate * rates.HOP_SECONDS))
    header = fmt.FileHeader(
        sample_rate=sample_rate, num_channels=1, num_samples=num_samples, num_weights=960, quality=0
    )
    covered = header.max_num_samples(num_segments)
    assert num_samples <= covered <= num_samples + 2 * rates.HOP_SECONDS * sample_rate + 2


def test_max_num_samples_by_hand(header):
    assert [header.max_num_samples(count) for count in (0, 2, 4, 6)] == [0, 2, 6, 10]
    assert header.max_num_samples(fmt.MAX_SEGMENTS) <= fmt.MAX_SAMPLES
    long_hop = dataclasses.replace(header, hop_seconds=Fraction(60), sample_rate=fmt.MAX_SAMPLE_RATE_HZ)
    assert long_hop.max_num_samples(fmt.MAX_SEGMENTS) == fmt.MAX_SAMPLES
