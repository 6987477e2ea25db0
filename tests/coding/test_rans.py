import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscodec.coding.rans import CODER_BITS, Reader, Writer, code_bits, distribution
from hscodec.errors import FormatError

TOTAL_BITS = 20


class Documented:
    """A decoder as docs/format.md describes it, in Python's integers."""

    def __init__(self, content):
        content += bytes(-len(content) % 4)
        self.words = [int.from_bytes(content[place : place + 4], "little") for place in range(0, len(content), 4)]
        while self.words and self.words[-1] == 0:
            self.words.pop()
        self.state = 0
        self.fill()

    def fill(self):
        while self.state < 2**32 and self.words:
            self.state = 2**32 * self.state + self.words.pop()

    def decode(self, frequencies):
        rest, below = self.state % 2**24, 0
        for symbol, frequency in enumerate(frequencies):
            if rest < below + frequency:
                self.state = frequency * (self.state // 2**24) + rest - below
                self.fill()
                return symbol
            below += frequency
        raise AssertionError("frequencies do not add up to 2^24")

    def is_at_the_end(self):
        return not self.words and self.state == 0


def table(weights):
    """Return frequencies of at least 1 that add up to 2^20, in about the proportions of `weights`."""
    weights = np.array(weights, float)
    frequencies = 1 + np.floor(weights / max(weights.sum(), 1e-9) * (2**TOTAL_BITS - len(weights))).astype(np.int32)
    frequencies[np.argmax(frequencies)] += 2**TOTAL_BITS - frequencies.sum()
    return frequencies


def peaked(length, place):
    """Return frequencies of which one is all that the others leave, 2^20 less 1 for each of them."""
    frequencies = np.ones(length, np.int32)
    frequencies[place] = 2**TOTAL_BITS - length + 1
    return frequencies


TABLES = [
    table(np.ones(61)),
    table(0.5 ** np.arange(61)),
    table(0.9 ** np.arange(61)),
    table(np.random.default_rng(0).uniform(0, 1, 61)),
    table([3, 1]),
    table(np.random.default_rng(1).uniform(0, 1, 61) ** 30),
    *(peaked(61, place) for place in (0, 1, 30, 59, 60)),
]


@st.composite
def messages(draw):
    """Return groups of (table, symbols)."""
    groups = []
    for _ in range(draw(st.integers(0, 6))):
        frequencies = TABLES[draw(st.integers(0, len(TABLES) - 1))]
        symbols = draw(st.lists(st.integers(0, len(frequencies) - 1), max_size=40))
        groups.append((frequencies, symbols))
    return groups


def written(groups):
    writer = Writer()
    for frequencies, symbols in groups:
        returned = writer.code(distribution(frequencies, TOTAL_BITS), np.array(symbols, np.int32))
        assert returned.tolist() == symbols
    return writer.finish()


def ideal_bits(groups):
    return sum(float((TOTAL_BITS - np.log2(frequencies[symbols])).sum()) for frequencies, symbols in groups if symbols)


@settings(deadline=None)
@given(messages())
def test_round_trip(groups):
    content = written(groups)
    assert content == b"\0" or content[-1] != 0
    assert len(content) <= ideal_bits(groups) / 8 + 8
    reader = Reader(content)
    for frequencies, symbols in groups:
        assert reader.code(distribution(frequencies, TOTAL_BITS), np.zeros(len(symbols), np.int32)).tolist() == symbols
    reader.check_end()


@settings(deadline=None)
@given(messages())
def test_a_decoder_written_from_the_documentation_reads_ours(groups):
    decoder = Documented(written(groups))
    for frequencies, symbols in groups:
        assert [decoder.decode([16 * f for f in frequencies.tolist()]) for _ in symbols] == symbols
    assert decoder.is_at_the_end()


@pytest.mark.parametrize("index", range(len(TABLES)))
def test_frequencies_are_exact(index):
    """Each symbol, also the rarest, takes the numbers that the page gives it: one off, and all that follows differs."""
    frequencies = TABLES[index]
    symbols = np.random.default_rng(index).permutation(np.tile(np.arange(len(frequencies)), 5)).tolist()
    decoder = Documented(written([(frequencies, symbols)]))
    assert [decoder.decode([16 * f for f in frequencies.tolist()]) for _ in symbols] == symbols
    assert decoder.is_at_the_end()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2**20), min_size=2, max_size=61), st.randoms(use_true_random=False))
def test_frequencies_are_exact_whatever_they_are(weights, random):
    frequencies = table(weights)
    symbols = [random.randrange(len(weights)) for _ in range(100)]
    decoder = Documented(written([(frequencies, symbols)]))
    assert [decoder.decode([16 * f for f in frequencies.tolist()]) for _ in symbols] == symbols


@pytest.mark.parametrize("frequencies", [peaked(61, 0), peaked(61, 60), table(0.8 ** np.arange(61))])
def test_sizes_are_those_of_the_probabilities(frequencies):
    random = np.random.default_rng(0)
    symbols = random.choice(61, 100_000, p=frequencies / 2**TOTAL_BITS).tolist()
    groups = [(frequencies, symbols)]
    assert ideal_bits(groups) / 8 - 1 <= len(written(groups)) <= ideal_bits(groups) / 8 * 1.001 + 8


@pytest.mark.parametrize("num_bits", range(1, 17))
def test_raw_bits(num_bits):
    values = np.random.default_rng(num_bits).integers(0, 2**num_bits, 300)
    values[:2] = [0, 2**num_bits - 1]
    writer = Writer()
    np.testing.assert_array_equal(code_bits(writer, num_bits, values), values)
    content = writer.finish()
    assert len(content) <= 300 * num_bits / 8 + 8
    reader = Reader(content)
    np.testing.assert_array_equal(code_bits(reader, num_bits, np.zeros(300, np.int64)), values)
    reader.check_end()
    decoder = Documented(content)
    assert [decoder.decode([2 ** (CODER_BITS - num_bits)] * 2**num_bits) for _ in range(20)] == values[:20].tolist()


def test_nothing_is_one_byte():
    assert Writer().finish() == b"\0"
    assert written([(TABLES[0], [])]) == b"\0"
    Reader(b"\0").check_end()


@pytest.mark.parametrize("content", [b"", b"\0\0", b"a\0", b"abcd\0", b"abcd\0\0\0\0", bytes(8)])
def test_what_no_writer_ends_like_is_refused(content):
    with pytest.raises(FormatError, match="empty, or ends with a zero byte"):
        Reader(content)


def test_leftovers_are_refused():
    groups = [(TABLES[1], [3, 1, 4, 1, 5, 9, 2, 6] * 10)]
    content = written(groups)
    for bad in (content + b"\1", b"\1\2\3\4" + content, content[4:], content[:-1]):
        reader = Reader(bad.rstrip(b"\0") or b"\0")
        reader.code(distribution(TABLES[1], TOTAL_BITS), np.zeros(80, np.int32))
        with pytest.raises(FormatError, match="does not end with its last symbol"):
            reader.check_end()
    reader = Reader(content)
    reader.code(distribution(TABLES[1], TOTAL_BITS), np.zeros(79, np.int32))
    with pytest.raises(FormatError, match="does not end"):
        reader.check_end()


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40).filter(lambda content: content[-1] != 0), st.integers(0, 100))
def test_any_bytes_are_some_symbols(content, count):
    """A reader that has come to the end goes on with what the state still gives, and never fails."""
    reader, decoder = Reader(content), Documented(content)
    symbols = reader.code(distribution(TABLES[2], TOTAL_BITS), np.zeros(count, np.int32))
    assert symbols.tolist() == [decoder.decode([16 * f for f in TABLES[2].tolist()]) for _ in range(count)]
