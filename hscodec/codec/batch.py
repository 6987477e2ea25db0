"""Many sounds at once: the networks of several files and chunks run in one batch, straight to tensors on the device.

Chunks are read here and unpacked by threads on the CPU. What a range needs is taken out of them as crops
(`codec.crop`), and all crops go through the networks in batches of equal shape (`codec.crop_batch`).
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import BinaryIO

import torch

from hscodec.codec.constants import SLICE_SEGMENTS
from hscodec.codec.crop import LappedCrop, spans_around, take_crop
from hscodec.codec.crop_batch import MAX_SEGMENTS, alike, render_alike
from hscodec.codec.decoder import Decoder
from hscodec.codec.playback import Number
from hscodec.codec.reader import Reader
from hscodec.codec.symbols import SymbolReader
from hscodec.codec.workers import default_workers, worker_pool
from hscodec.coding.payload import ChunkSymbols
from hscodec.device import choose_device
from hscodec.errors import HscodecError
from hscodec.inr.coordinates import first_sample_of_hop, hop_of_sample
from hscodec.model import Hypernetwork
from hscodec.registry import AnyModel

_CPU_SEGMENTS = 600
"""Segments that are refined at once on the CPU, which gains little from more; then there is work for all threads."""


def decode_batch(
    sources: Sequence[str | Path | BinaryIO | Reader],
    ranges: Sequence[tuple[int, int | None]] | None = None,
    *,
    rate: Number | None = None,
    speed: Number = 1,
    device: torch.device | str = "auto",
    model: AnyModel | None = None,
    workers: int | None = None,
) -> list[torch.Tensor]:
    """Decode many sounds, or ranges of them, to tensors on one device.

    Each tensor is what `Reader.read` returns of its range, but for rounding (some 1e-6 of full scale): windows are cut
    to what a range needs, and not where a decoder of whole files would cut, so short crops are cheap. Crops of one
    length become one tensor by `torch.stack`; whoever draws several crops from a file had better keep it open as a
    `Reader`, and whoever trains on them reads them in processes of their own (`hscodec.data`).

    Args:
        sources: Paths, binary files that can seek, or open readers, which are left open. The same reader may occur
            more than once; rate, speed and device of a reader are its own.
        ranges: The samples `[start, stop)` of each source's output, `start` at least 0; None for `stop`, or anything
            beyond the end, is the end. None decodes every sound as a whole.
        rate: Output rate (Hz), whole or not; None keeps the rate of each source.
        speed: How fast the sounds are played; pitch and duration change together.
        device: Where the networks run and the tensors are returned.
        model: The model that the files name; None finds it.
        workers: Threads that unpack chunks, and on the CPU also run the networks; None is as many as torch would use.

    Shape:
        returns: [C, T] float32 for each source, T = stop - start

    Raises:
        FormatError: A source is not a `.hsnd` file, or something needed of it is damaged.
        ModelError: A model is not installed, or not the one that its file names.
        HscodecError: A range does not lie in its sound, there are not as many ranges as sources, the rate or the speed
            is out of range, a reader is on another device, or there is no such device.
    """
    if isinstance(device, str):
        device = choose_device(device)
    wanted = [(0, None)] * len(sources) if ranges is None else list(ranges)
    if len(wanted) != len(sources):
        raise HscodecError(f"there are {len(wanted)} ranges for {len(sources)} sources")
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(worker_pool(workers or default_workers()))
        chunks = _Chunks(pool)
        alone: list[tuple[int, Callable[[], torch.Tensor]]] = []
        pieces: list[tuple[int, Decoder, int, int]] = []
        for place, (source, (start, stop)) in enumerate(zip(sources, wanted, strict=True)):
            reader = source
            if not isinstance(reader, Reader):
                reader = stack.enter_context(Reader(reader, model=model, rate=rate, speed=speed, device=device))
            if (reader.device.type, reader.device.index or 0) != (device.type, device.index or 0):
                raise HscodecError(f"a reader is on {reader.device}, the batch on {device}")
            reader.check_range(start, stop)
            end = reader.num_samples if stop is None else min(stop, reader.num_samples)
            cuts = list(_pieces(reader.decoder, start, end)) if isinstance(reader.decoder, Decoder) else []
            if cuts and all([chunks.begin(*cut) for cut in cuts]):
                pieces += [(place, *cut) for cut in cuts]
            else:  # networks with hidden layers know nothing of one another, and gain nothing here
                alone.append((place, partial(reader.read, start, stop)))
        parts: list[list[torch.Tensor]] = [[] for _ in sources]
        crops = [(chunks.take(decoder, first, last), decoder.network) for _, decoder, first, last in pieces]
        for (place, *_), samples in zip(pieces, _rendered(crops, pool, device), strict=True):
            parts[place].append(samples)
        for place, read in alone:
            parts[place].append(read())
        return [torch.cat(part, 1) if len(part) > 1 else part[0] for part in parts]


def _rendered(crops: list[tuple[LappedCrop, Hypernetwork]], pool: Executor, device: torch.device) -> list[torch.Tensor]:
    """Return the samples of crops, each beside the networks that render it: on the CPU batches side by side."""

    def render(batch: list[int]) -> list[torch.Tensor]:
        return render_alike([crops[index][0] for index in batch], crops[batch[0]][1], device)

    max_segments = _CPU_SEGMENTS if device.type == "cpu" else MAX_SEGMENTS
    batches = list(alike([crop for crop, _ in crops], max_segments))
    in_turn = pool.map if device.type == "cpu" else map
    rendered: dict[int, torch.Tensor] = {}
    for batch, samples in zip(batches, in_turn(render, batches), strict=True):
        rendered.update(zip(batch, samples, strict=True))
    return [rendered[index] for index in range(len(crops))]


class _Chunks:
    """Chunks of open files, each of them read once and unpacked by a pool."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._unpacked: dict[tuple[int, int], Future[ChunkSymbols]] = {}

    def begin(self, decoder: Decoder, start: int, stop: int) -> bool:
        """Let the pool unpack what a piece needs, and return at once; False if it is no piece that can be cropped."""
        source = decoder.source
        spans = spans_around(source, decoder.grid, start, stop) if isinstance(source, SymbolReader) else None
        for index in spans or ():
            self._begin(decoder, index)
        return spans is not None

    def take(self, decoder: Decoder, start: int, stop: int) -> LappedCrop:
        """Return what a piece needs, which was begun."""
        source = decoder.source
        assert isinstance(source, SymbolReader)
        rate = decoder.playback.samples_per_second
        crop = take_crop(source, rate, start, stop, read=lambda index: self._begin(decoder, index).result())
        assert isinstance(crop, LappedCrop)
        return crop

    def _begin(self, decoder: Decoder, index: int) -> Future[ChunkSymbols]:
        key = id(decoder), index
        if key not in self._unpacked:
            self._unpacked[key] = self._pool.submit(decoder.source.fetch(index))
        return self._unpacked[key]


def _pieces(decoder: Decoder, start: int, stop: int) -> Iterator[tuple[Decoder, int, int]]:
    """Yield the ranges of a range, in order, of which all but the last have as many hops as a slice."""
    while start < stop:
        next_start = first_sample_of_hop(hop_of_sample(start, decoder.grid) + SLICE_SEGMENTS, decoder.grid)
        yield decoder, start, min(next_start, stop)
        start = next_start
