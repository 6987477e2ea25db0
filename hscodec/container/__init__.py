"""The `.hsnd` file: header, chunks of segments, seek index. Payloads are opaque bytes here. See `docs/format.md`."""

from hscodec.container.format import ChunkHeader, ChunkOrder, FileHeader, TargetNetwork
from hscodec.container.reader import (
    Chunk,
    ChunkEntry,
    ChunkStream,
    ContainerReader,
    iter_chunks,
    open_container,
    scan_chunks,
)
from hscodec.container.writer import ContainerWriter

__all__ = [
    "Chunk",
    "ChunkEntry",
    "ChunkHeader",
    "ChunkOrder",
    "ChunkStream",
    "ContainerReader",
    "ContainerWriter",
    "FileHeader",
    "TargetNetwork",
    "iter_chunks",
    "open_container",
    "scan_chunks",
]
