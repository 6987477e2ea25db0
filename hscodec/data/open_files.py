"""Files that a process has open, the last few of them; never those of the process that it was forked from."""

import contextlib
import os
from collections import OrderedDict

from hscodec.codec.symbols import LayeredReader, SymbolReader, open_symbols
from hscodec.coding.layered import LayeredSymbols
from hscodec.coding.payload import ChunkSymbols
from hscodec.container.reader import ContainerReader, open_container
from hscodec.errors import FormatError

_MAX_UNPACKED = 4


class OpenFiles:
    """Opens `.hsnd` files when they are first asked for, and keeps the ones that were used last.

    It may be pickled, and used after a fork: the other process then opens files of its own, since file positions must
    not be shared.

    The last few chunks that were unpacked are kept as well, for crops that lie side by side.

    Args:
        max_open: How many files to keep open, at least 1.
    """

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._process_id = os.getpid()
        self._open: OrderedDict[str, tuple[contextlib.ExitStack, SymbolReader | LayeredReader]] = OrderedDict()
        self._unpacked: OrderedDict[tuple[str, int], ChunkSymbols | LayeredSymbols] = OrderedDict()

    def __getstate__(self) -> int:
        return self._max_open

    def __setstate__(self, max_open: int) -> None:
        self.__init__(max_open)

    def __len__(self) -> int:
        return len(self._open)

    def __del__(self) -> None:
        if "_open" in self.__dict__:
            self.close()

    def symbols(self, path: str) -> SymbolReader | LayeredReader:
        """Return what reads the symbols of a file.

        Raises:
            FormatError: The file cannot be read, is damaged or cut short.
            ModelError: The model that it names is not installed.
        """
        if self._process_id != os.getpid():
            self.close()  # this process's copies of the descriptors; the other one keeps its own
            self._process_id = os.getpid()
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path][1]
        with contextlib.ExitStack() as stack:
            container: ContainerReader = stack.enter_context(open_container(path))
            if container.index_was_rebuilt:
                raise FormatError(f"{path} is cut short or damaged; `hscodec verify` says where")
            symbols = open_symbols(container)
            self._open[path] = stack.pop_all(), symbols
        while len(self._open) > self._max_open:
            self._open.popitem(last=False)[1][0].close()
        return symbols

    def read(self, path: str, index: int) -> ChunkSymbols | LayeredSymbols:
        """Return the symbols of span `index` of a file.

        Raises:
            FormatError: As `symbols`, or the chunk is missing or damaged.
            ModelError: As `symbols`.
        """
        key = path, index
        if key not in self._unpacked:
            self._unpacked[key] = self.symbols(path).read(index)
        self._unpacked.move_to_end(key)
        while len(self._unpacked) > _MAX_UNPACKED:
            self._unpacked.popitem(last=False)
        return self._unpacked[key]

    def close(self) -> None:
        """Close all files that are open in this process, and forget their chunks."""
        self._unpacked.clear()
        while self._open:
            self._open.popitem()[1][0].close()
