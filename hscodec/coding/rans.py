"""Symbols to bytes by range asymmetric numeral systems, and back, through `constriction`.

Writer and reader have one method in common, `code`, so that one description of a payload serves both: it walks through
the symbols in order, and hands over those that it has, or fills in those that it gets.

rANS (Duda, "Asymmetric numeral systems", 2013) is a stack: what is to be read first is written last.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import constriction
import numpy as np

from hscodec.errors import FormatError

_stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue]: it comes without types
_AnsCoder = _stream.stack.AnsCoder

Distribution: TypeAlias = Any
"""What the coder takes for the probabilities of symbols: a model of constriction."""

CODER_BITS = 24
"""The coder's own frequencies add up to 2^24."""
_WORD_BYTES = 4
_MAX_UNIFORM_BITS = 16
_UNIFORM = [_stream.model.Uniform(2**bits) for bits in range(1, _MAX_UNIFORM_BITS + 1)]


def distribution(frequencies: np.ndarray, total_bits: int) -> Distribution:
    """Return the coder's model of symbols 0, 1, ..., whose frequencies are at least 1 and add up to 2^total_bits.

    The coder takes weights in floating point, which it scales to 2^24 minus their number, sums up, rounds, and raises
    by 1 each. What it is given here is scaled by 1, and single precision holds all sums: its frequencies are ours.
    """
    weights = frequencies * 2 ** (CODER_BITS - total_bits) - 1
    return _stream.model.Categorical(weights.astype(np.float32), perfect=False)


class Coder(Protocol):
    """Writer or reader."""

    def code(self, model: Distribution, symbols: np.ndarray) -> np.ndarray:
        """Return as many symbols as there are given, [N]: a writer the given ones, a reader those that it reads."""
        ...

    def code_runs(
        self, models: Sequence[Distribution], counts: np.ndarray, symbols: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Code symbols in runs, each with a model of its own; return them, [N] int32.

        Args:
            models: The model of each run.
            counts: How many symbols each run has.
            symbols: Returns the symbols; a reader does not call it.
        """
        given, stops = symbols(), np.cumsum(counts).tolist()
        parts = (given[start:stop] for start, stop in zip([0, *stops], stops, strict=False))
        return _joined([self.code(model, part) for model, part in zip(models, parts, strict=True)])


class Writer(Coder):
    """Collects symbols, and turns them into bytes at the end."""

    def __init__(self) -> None:
        self._coded: list[tuple[Distribution, np.ndarray]] = []

    def code(self, model: Distribution, symbols: np.ndarray) -> np.ndarray:
        """Note symbols, [N]; return them."""
        self._coded.append((model, symbols.astype(np.int32)))
        return symbols

    def finish(self) -> bytes:
        """Return the bytes: 32-bit words, little-endian, without zero bytes at the end, but at least one byte."""
        coder = _AnsCoder()
        for model, symbols in reversed(self._coded):
            coder.encode_reverse(symbols, model)
        return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0") or b"\0"


class Reader(Coder):
    """Reads symbols from bytes.

    Raises:
        FormatError: No writer ends like this.
    """

    def __init__(self, content: bytes) -> None:
        if content != b"\0" and (not content or content.endswith(b"\0")):
            raise FormatError("payload is empty, or ends with a zero byte")
        content = content.rstrip(b"\0")
        words = np.frombuffer(content + bytes(-len(content) % _WORD_BYTES), "<u4").astype(np.uint32)
        self._coder = _AnsCoder(words)

    def code(self, model: Distribution, symbols: np.ndarray) -> np.ndarray:
        """Return the next symbols, as many as are given: [N] int32."""
        return self._coder.decode(model, symbols.size)

    def code_runs(
        self, models: Sequence[Distribution], counts: np.ndarray, symbols: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return the next symbols, [N] int32; see `Coder`."""
        # A chunk has two thousand runs, and Python's part of reading them is done by one thread at a time.
        decode = self._coder.decode
        return _joined([decode(model, count) for model, count in zip(models, counts.tolist(), strict=True)])

    def check_end(self) -> None:
        """Raise FormatError unless everything was read."""
        if not self._coder.is_empty():
            raise FormatError("payload does not end with its last symbol")


def code_bits(coder: Coder, num_bits: int, values: np.ndarray) -> np.ndarray:
    """Code values of 1 to 16 bits, each as likely as any other."""
    return coder.code(_UNIFORM[num_bits - 1], values)


def _joined(runs: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(runs) if runs else np.zeros(0, np.int32)
