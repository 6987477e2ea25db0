"""One case of a fuzzer: everything that reads `.hsnd` files reads these bytes, and only `HscodecError` may come out.

What two readers say about the same bytes must agree; an `AssertionError` says that they do not.
"""

import io
import json
import os
import resource
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from hscodec.cli import info
from hscodec.codec import symbols, verify
from hscodec.codec.reader import Reader, open_decoder
from hscodec.codec.symbols import LayeredStream, SymbolStream, open_symbols
from hscodec.coding import by_context, layered, payload
from hscodec.container import Chunk, ContainerReader, FileHeader, iter_chunks
from hscodec.container import format as fmt
from hscodec.errors import HscodecError
from hscodec.registry import Model

MAX_SECONDS = 2.0
MAX_BYTES = 500 * 10**6
"""Limits of a case, of memory above what the process held before."""

LOW_RATE_HZ = 8000
READ_SAMPLES = 400
MAX_STREAM_VALUES = 1 << 20
"""A stream is decoded until it has given this many samples; long sounds take long, which is no fault of theirs."""
MAX_MESSAGE = 500
UNUSED_FLAGS = 0xF800
"""Of the header: unused bits, and the bit of all sample formats that have no meaning."""


class Stage(IntEnum):
    """How far the bytes of a case got."""

    HEADER = 0
    """The file header was refused."""
    CHECKSUM = 1
    """No chunk with a checksum that holds, or none of a valid size; empty files are here as well."""
    FRAME = 2
    """No payload was a zstd frame of a possible size, or words."""
    SYMBOLS = 3
    """No payload held symbols with the right digest."""
    DECODER = 4
    """Symbols got into the decoder, but not all of the file."""
    WHOLE = 5
    """Everything was accepted."""


@dataclass
class Outcome:
    """What became of a case.

    Attributes:
        stage: How far it got.
        refusals: What each reader said that refused, as `reader: class of the error`.
    """

    stage: Stage = Stage.HEADER
    refusals: list[str] = field(default_factory=list)


class Checker:
    """Checks cases one after the other.

    Args:
        model: The model whose id the files carry.
        path: Where a case is written for those readers that want a file.
    """

    def __init__(self, model: Model, path: Path) -> None:
        self._model = model
        self._path = path

    def check(self, data: bytes) -> Outcome:
        """Let everything that reads files read these bytes.

        Raises:
            Exception: Any other than HscodecError that a reader raised, or AssertionError: this is a failure.
        """
        self._path.write_bytes(data)
        outcome = Outcome()
        with warnings.catch_warnings(), self._watched() as frames:
            warnings.simplefilter("error")
            chunks = self._check_container(data, outcome)
            is_whole = self._check_stream(data, outcome, chunks)
            self._check_info(outcome)
            num_read = self._check_symbols(data, outcome)
            is_valid = self._check_verify(outcome)
            self._check_sound(data, outcome)
        if outcome.stage > Stage.HEADER and any(chunk is not None for chunk in chunks):
            outcome.stage = Stage.DECODER if num_read else Stage.SYMBOLS if frames else Stage.FRAME
        if is_valid:
            _require(is_whole, "verify accepts what a stream refuses")
            outcome.stage = Stage.WHOLE
        return outcome

    def _check_container(self, data: bytes, outcome: Outcome) -> list[Chunk | None]:
        """Return the chunks that can be read through index or scan, None for those that cannot."""
        container = self._try(outcome, "container", lambda: ContainerReader(io.BytesIO(data)))
        if container is None:
            return []
        outcome.stage = Stage.CHECKSUM
        header = container.header
        _require(FileHeader.unpack(header.pack()) == header, "a header changes when packed and unpacked")
        packed = header.pack()
        _, _, minor, flags, header_bytes = fmt.HEADER_PREFIX.unpack_from(data)
        # Other minor versions say so in a byte of their own, and may have fields that this one skips.
        has_hints = minor != fmt.VERSION_MINOR or flags & UNUSED_FLAGS or header_bytes != len(packed)
        _require(has_hints or data.startswith(packed), "a header has two encodings")
        stop = segment = 0
        for entry in container.chunks:
            _require(stop <= entry.offset and entry.stop_offset <= len(data), "chunks overlap or lie outside the file")
            _require(segment <= entry.first_segment < entry.stop_segment <= fmt.MAX_SEGMENTS, "segments overlap")
            stop, segment = entry.stop_offset, entry.stop_segment
        _require(0 <= container.num_samples <= fmt.MAX_SAMPLES, "an impossible number of samples")
        indices = range(len(container.chunks))
        chunks = [self._try(outcome, "chunk", lambda index=index: container.read_chunk(index)) for index in indices]
        if container.index_was_rebuilt:
            outcome.refusals.append("index: rebuilt")
        return chunks

    def _check_stream(self, data: bytes, outcome: Outcome, chunks: list[Chunk | None]) -> bool:
        """Return whether a reader that cannot seek accepts everything; it must find what the index says."""
        source = io.BytesIO(data)
        found = self._try(outcome, "stream", lambda: list(iter_chunks(source)))
        is_whole = found is not None and source.tell() == len(data)
        rebuilt = "index: rebuilt" in outcome.refusals
        if is_whole:
            _require(found == chunks and not rebuilt, "a stream is whole, but not its index")
        elif outcome.stage > Stage.HEADER:
            _require(rebuilt or None in chunks, "the index is whole, but not its stream")
        return is_whole

    def _check_info(self, outcome: Outcome) -> None:
        about = self._try(outcome, "info", lambda: info.describe(self._path))
        if about is not None:
            json.dumps(about, allow_nan=False)
            lines = info._text({"file": self._path.name, **about})
            _require(lines.replace("\n", "").isprintable(), "text from a file drives the terminal")

    def _check_symbols(self, data: bytes, outcome: Outcome) -> int:
        """Return how many chunks hold symbols that are those of their digest."""
        container = self._try(outcome, "container", lambda: ContainerReader(io.BytesIO(data)), note=False)
        if container is None:
            return 0
        source = self._try(outcome, "symbols", lambda: open_symbols(container, self._model))
        if source is None:
            return 0
        indices = range(len(source.spans))
        read = (self._try(outcome, "payload", lambda index=index: source.read(index)) for index in indices)
        return sum(symbols is not None for symbols in read)

    def _check_verify(self, outcome: Outcome) -> bool:
        result = self._try(outcome, "verify", lambda: verify.verify_file(self._path))
        return result is not None and result.ok

    def _check_sound(self, data: bytes, outcome: Outcome) -> None:
        """Decode short ranges in several ways; where two succeed they must be equal."""
        forgiving: dict[int, torch.Tensor] = {}
        strict: dict[int, torch.Tensor] = {}
        self._try(outcome, "forgiving reader", lambda: self._read(data, forgiving, keep_going=True))
        self._try(outcome, "reader", lambda: self._read(data, strict, keep_going=False))
        for start in forgiving.keys() & strict.keys():
            _require(torch.equal(forgiving[start], strict[start]), "keep_going changes what is not damaged")
        self._try(outcome, "stream decoder", lambda: self._read_stream(io.BytesIO(data)))

    def _read(self, data: bytes, sound: dict[int, torch.Tensor], *, keep_going: bool) -> None:
        """Note a range at the start; of a reader that keeps going, one at the end and one between as well."""
        source = io.BytesIO(data)
        with Reader(source, model=self._model, rate=LOW_RATE_HZ, device="cpu", keep_going=keep_going) as reader:
            length = reader.num_samples
            anywhere = Random(zlib.crc32(data)).randrange(length + 1)
            for start in sorted({0, max(length - READ_SAMPLES, 0), anywhere} if keep_going else {0}):
                stop = min(start + READ_SAMPLES, length)
                samples = reader.read(start, stop)
                _require(samples.shape == (reader.num_channels, stop - start), "a range of the wrong shape")
                if torch.isfinite(samples).all():
                    sound[start] = samples
            _require(all(0 <= start_s <= stop_s for start_s, stop_s in reader.lost), "a negative time is lost")

    def _read_stream(self, source: io.BytesIO) -> None:
        stream = iter_chunks(source)
        symbols = SymbolStream(stream, self._model) if stream.header.network is None else LayeredStream(stream)
        decoder = open_decoder(symbols, self._model, rate=None, device="cpu", keep_going=False)
        num_values = 0
        for block in decoder.blocks():
            num_values += block.numel()
            if num_values > MAX_STREAM_VALUES:
                return

    @contextmanager
    def _watched(self) -> Iterator[list[int]]:
        """Note the size of all content and words in payloads, and do not read the model file for each case."""
        sizes: list[int] = []
        decompress, load, words_reader = payload._decompress, symbols.shared_model_by_id, by_context.Reader

        def counting(*arguments: Any) -> bytes:
            content = decompress(*arguments)
            sizes.append(len(content))
            return content

        def counting_words(words: bytes) -> by_context.Reader:
            reader = words_reader(words)
            sizes.append(len(words))
            return reader

        decompress_layers = layered._decompress

        def counting_layers(*arguments: Any) -> np.ndarray:
            content = decompress_layers(*arguments)
            sizes.append(len(content))
            return content

        payload._decompress, by_context.Reader, layered._decompress = counting, counting_words, counting_layers
        symbols.shared_model_by_id = lambda name: self._model if name == self._model.model_id else load(name)
        try:
            yield sizes
        finally:
            payload._decompress, symbols.shared_model_by_id, by_context.Reader = decompress, load, words_reader
            layered._decompress = decompress_layers

    @staticmethod
    def _try(outcome: Outcome, reader: str, action: Callable[[], Any], *, note: bool = True) -> Any:
        """Return what the action returns, None if it refuses as it should."""
        try:
            return action()
        except HscodecError as error:
            message = str(error)
            _require(0 < len(message) <= MAX_MESSAGE and "\n" not in message, f"a message that is no line: {message!r}")
            if note:
                outcome.refusals.append(f"{reader}: {type(error).__name__}")
            return None


class Memory:
    """Peak of the process's resident memory, above what it was when this was made."""

    def __init__(self) -> None:
        self.forget()
        self._before = self._peak_bytes()

    def forget(self) -> None:
        """Let a new peak begin, where the system can do that."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def growth_bytes(self) -> int:
        """Return the growth up to the peak."""
        return max(self._peak_bytes() - self._before, 0)

    @staticmethod
    def _peak_bytes() -> int:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def use_model(folder: Path) -> None:
    """Let files that name a model find it in `folder`, also in the processes that this one starts."""
    os.environ["HSCODEC_MODELS"] = str(folder)
