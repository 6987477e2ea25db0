"""Many sounds at once: the networks of several files and chunks run in one batch, straight to tensors on the device.

Chunks are read here, unpacked by threads on the CPU, and then go through the networks in batches of equal shape.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from torch.nn import functional

from hscodec.codec.constants import SLICE_SEGMENTS
from hscodec.codec.decoder import Decoder
from hscodec.codec.playback import Number
from hscodec.codec.prepared import Prepared, join, prepare, refined
from hscodec.codec.reader import Reader
from hscodec.codec.symbols import Span
from hscodec.codec.workers import default_workers, worker_pool
from hscodec.coding.payload import ChunkSymbols
from hscodec.device import choose_device
from hscodec.errors import FormatError, HscodecError
from hscodec.inr.coordinates import first_sample_of_hop, hop_of_sample
from hscodec.inr.envelope import lowered
from hscodec.inr.lapped import LappedSiren
from hscodec.registry import AnyModel

ItemT = TypeVar("ItemT")

_CPU_BATCH = 2
"""Windows of one batch on the CPU, which gains little from more."""
_DEVICE_BATCH = 64
"""Windows of one batch on another device: with as many segments as there can be, they take some 2 GB."""


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
    to what a range needs, and not where a decoder of whole files would cut. That makes short crops cheap: a second
    takes a third of the networks' work of `Reader.read`. Crops of one length become one tensor by `torch.stack`; a
    data loader that draws several crops from a file had better keep it open as a `Reader`.

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
        results: list[torch.Tensor | None] = [None] * len(sources)
        crops: list[_Crop] = []
        for place, (source, (start, stop)) in enumerate(zip(sources, wanted, strict=True)):
            reader = source
            if not isinstance(reader, Reader):
                reader = stack.enter_context(Reader(reader, model=model, rate=rate, speed=speed, device=device))
            if (reader.device.type, reader.device.index or 0) != (device.type, device.index or 0):
                raise HscodecError(f"a reader is on {reader.device}, the batch on {device}")
            reader.check_range(start, stop)
            end = reader.num_samples if stop is None else min(stop, reader.num_samples)
            crop = _Crop(place, reader.decoder, start, end) if isinstance(reader.decoder, Decoder) else None
            if crop is not None and start < end and _has_room(crop):
                crops.append(crop)
            else:  # networks with hidden layers know nothing of one another, and gain nothing here
                results[place] = reader.read(start, stop)
        pool = stack.enter_context(worker_pool(workers or default_workers()))
        for crop, samples in zip(crops, _decoded(crops, pool, device), strict=True):
            # Multiplied here, outside inference mode, so that what is handed out may take part in training.
            results[crop.place] = samples * crop.decoder.source.header.gain
        return [samples for samples in results if samples is not None]


@dataclass(frozen=True)
class _Crop:
    """The samples `[start, end)` of one source, not empty."""

    place: int
    decoder: Decoder
    start: int
    end: int


@dataclass(frozen=True)
class _Piece:
    """Some hops `[first, stop)` of a crop, and the window of segments that renders them."""

    crop: int
    first: int
    stop: int
    window: Prepared

    @property
    def shape(self) -> tuple[int, ...]:
        """Whatever has to be alike in a batch."""
        channels, segments, num_weights = self.window.symbols.shape
        return self.stop - self.first, self.first - self.window.first_segment, channels, segments, num_weights


def _decoded(crops: list[_Crop], pool: Executor, device: torch.device) -> list[torch.Tensor]:
    """Return the samples [C, T] of each crop, not yet multiplied by the gain."""
    prepared = _prepared(crops, pool, device)
    pieces = [piece for number, crop in enumerate(crops) for piece in _pieces(number, crop, prepared)]
    batches = list(_batches(pieces, lambda piece: (id(crops[piece.crop].decoder.network), *piece.shape), device))

    def render(batch: list[_Piece]) -> list[torch.Tensor]:
        return _rendered(batch, [crops[piece.crop] for piece in batch], prepared)

    parts: dict[tuple[int, int], torch.Tensor] = {}
    for batch, rendered in zip(batches, _in_turn(pool, device)(render, batches), strict=True):
        parts.update({(piece.crop, piece.first): part for piece, part in zip(batch, rendered, strict=True)})
    return [
        torch.cat([parts[piece.crop, piece.first] for piece in own], 1)
        for _, own in groupby(pieces, lambda piece: piece.crop)
    ]


def _prepared(crops: list[_Crop], pool: Executor, device: torch.device) -> dict[tuple[int, int], Prepared]:
    """Return all spans that crops need, by the identity of their decoder and their index."""
    pending: dict[tuple[int, int], tuple[Decoder, Span, Future[ChunkSymbols]]] = {}
    for crop in crops:
        source, (first, stop) = crop.decoder.source, _segments(crop)
        for index, span in _spans(crop.decoder, first, stop):
            key = (id(crop.decoder), index)
            if key not in pending:
                pending[key] = crop.decoder, span, pool.submit(source.fetch(index))
    loaded = [(key, decoder, span, symbols.result()) for key, (decoder, span, symbols) in pending.items()]
    batches = list(_batches(loaded, lambda item: (id(item[1].network), *item[3].weights.shape), device))

    @torch.inference_mode()
    def load(batch: list[tuple[tuple[int, int], Decoder, Span, ChunkSymbols]]) -> list[Prepared]:
        return prepare(
            [symbols for _, _, _, symbols in batch],
            [span.first_segment for _, _, span, _ in batch],
            quality_hundredths=[decoder.source.header.quality for _, decoder, _, _ in batch],
            network=batch[0][1].network,
            device=device,
        )

    found = zip(batches, _in_turn(pool, device)(load, batches), strict=True)
    return {item[0]: each for batch, parts in found for item, each in zip(batch, parts, strict=True)}


def _pieces(number: int, crop: _Crop, prepared: dict[tuple[int, int], Prepared]) -> Iterator[_Piece]:
    """Yield the pieces of a crop, in order; all but the last have as many hops as a slice."""
    decoder = crop.decoder
    stop_hop = hop_of_sample(crop.end - 1, decoder.grid) + 1
    for first in range(hop_of_sample(crop.start, decoder.grid), stop_hop, SLICE_SEGMENTS):
        stop = min(first + SLICE_SEGMENTS, stop_hop)
        around = max(first - decoder.context, 0), stop + 1 + decoder.context
        parts = [prepared[id(decoder), index].slice(*around) for index, _ in _spans(decoder, *around)]
        window = join(parts)
        if window is None:
            raise FormatError(f"segments {first} to {stop}: chunks are missing")
        yield _Piece(number, first, stop, window)


@torch.inference_mode()
def _rendered(
    pieces: list[_Piece], crops: list[_Crop], prepared: dict[tuple[int, int], Prepared]
) -> list[torch.Tensor]:
    """Return the samples [C, T] of pieces of one shape, those that their crops want."""
    num_hops, skipped, _, num_segments, num_weights = pieces[0].shape
    margins = skipped, max(num_segments - skipped - num_hops - 1, 0)
    theta = torch.stack(refined(crops[0].decoder.network, [piece.window for piece in pieces], margins))
    theta = functional.pad(theta, (0, 0, 0, num_hops + 1 - theta.shape[2]))  # behind the very last hop is no segment
    target = LappedSiren(num_weights)
    grids = [crop.decoder.grid for crop in crops]
    if len(set(grids)) == 1 and grids[0].denominator == 1:
        samples = list(target.synthesize(theta, grids[0]))
    else:  # where samples sit depends on the hop
        samples = [
            target.synthesize(each, grid, first_segment=piece.first)
            for each, grid, piece in zip(theta, grids, pieces, strict=True)
        ]
    return [
        _cut(_with_gain(each, piece, crop, prepared), piece, crop)
        for each, piece, crop in zip(samples, pieces, crops, strict=True)
    ]


def _with_gain(
    samples: torch.Tensor, piece: _Piece, crop: _Crop, prepared: dict[tuple[int, int], Prepared]
) -> torch.Tensor:
    """Return samples lowered in front of the attacks of their chunks."""
    decoder, grid = crop.decoder, crop.decoder.grid
    origin = first_sample_of_hop(piece.first, grid)
    for index, span in _spans(decoder, piece.first + 1, piece.stop + 1):
        attacks = prepared[id(decoder), index].attacks
        if len(attacks):
            # A chunk's own are the hops in front of its segments.
            first = max(first_sample_of_hop(max(span.first_segment - 1, 0), grid) - origin, 0)
            stop = max(first_sample_of_hop(span.stop_segment - 1, grid) - origin, 0)
            is_last = decoder.source.span(index + 1) is None
            part = slice(first, samples.shape[1] if is_last else stop)
            samples[:, part] = lowered(samples[:, part], attacks, grid, origin=span.first_segment, start=origin + first)
    return samples


def _cut(samples: torch.Tensor, piece: _Piece, crop: _Crop) -> torch.Tensor:
    origin = first_sample_of_hop(piece.first, crop.decoder.grid)
    return samples[:, max(crop.start - origin, 0) : max(crop.end - origin, 0)]


def _segments(crop: _Crop) -> tuple[int, int]:
    """Return the segments `[first, stop)` that a crop needs, its context included."""
    decoder = crop.decoder
    return max(hop_of_sample(crop.start, decoder.grid) - decoder.context, 0), hop_of_sample(
        crop.end - 1, decoder.grid
    ) + 2 + decoder.context


def _has_room(crop: _Crop) -> bool:
    """Return whether the context of a chunk ends within the chunks beside it, further than which no decoder looks."""
    first, stop = _segments(crop)
    last_index = crop.decoder.source.find(2**63)
    inner = (span for index, span in _spans(crop.decoder, first, stop) if 0 < index < last_index)
    return all(span.stop_segment - span.first_segment >= crop.decoder.context for span in inner)


def _spans(decoder: Decoder, first: int, stop: int) -> Iterator[tuple[int, Span]]:
    """Yield index and span of all spans that hold some of the segments `[first, stop)`."""
    index = decoder.source.find(first)
    while (span := decoder.source.span(index)) is not None and span.first_segment < stop:
        yield index, span
        index += 1


def _batches(
    items: Sequence[ItemT], key: Callable[[ItemT], tuple[int, ...]], device: torch.device
) -> Iterator[list[ItemT]]:
    """Yield items of one key together, as many as a batch holds."""
    size = _CPU_BATCH if device.type == "cpu" else _DEVICE_BATCH
    for _, group in groupby(sorted(items, key=key), key):
        alike = list(group)
        for place in range(0, len(alike), size):
            yield alike[place : place + size]


def _in_turn(pool: Executor, device: torch.device) -> Callable[..., Iterator]:
    """Return a `map`: on the CPU by the threads of a pool, on other devices by the calling one."""
    return pool.map if device.type == "cpu" else map
