"""Crops in, samples out: the networks' half of reading many short ranges, each step once for all crops of a batch."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from hscodec.codec.crop import ChunkPart, CropSymbols, LappedCrop, WholeChunksCrop
from hscodec.codec.decoder import Decoder
from hscodec.codec.mlp_decoder import MlpDecoder
from hscodec.codec.playback import Playback
from hscodec.codec.shared_models import shared_model_by_id
from hscodec.codec.stored_network import stored_network
from hscodec.codec.symbols import check_fit
from hscodec.errors import ModelError
from hscodec.inr.envelope import lowered
from hscodec.inr.lapped import LappedSiren
from hscodec.inr.rotation import rotated
from hscodec.model import Hypernetwork, Precision
from hscodec.registry import Model

MAX_SEGMENTS = 2**14
"""Segments that are refined at once, which bounds the memory that large batches take to about a gigabyte."""


def render_crops(crops: Sequence[CropSymbols], device: torch.device) -> list[torch.Tensor]:
    """Decode crops; models are loaded once in a process.

    Samples are those of `Reader.read`, up to rounding. Crops of lapped SIRENs that have model, output rate and length
    in common go through the networks together; others one by one.

    Args:
        crops: From `take_crop`, of any files.
        device: Where the networks run and samples are returned.

    Shape:
        returns: one [C, T] float32 for each crop

    Raises:
        ModelError: A model is not installed.
        FormatError: A crop does not fit the model that it names.
    """
    samples: dict[int, torch.Tensor] = {}
    lapped: list[int] = []
    for index, crop in enumerate(crops):
        if isinstance(crop, LappedCrop):
            lapped.append(index)
        else:
            samples[index] = _render_by_itself(crop, device)
    crops_together = [crop for crop in crops if isinstance(crop, LappedCrop)]
    for part in alike(crops_together, MAX_SEGMENTS):
        together = [crops_together[place] for place in part]
        rendered = render_alike(together, _network(together[0].model_id, device), device)
        samples.update(zip([lapped[place] for place in part], rendered, strict=True))
    return [samples[index] for index in range(len(crops))]


def alike(crops: Sequence[LappedCrop], max_segments: int) -> Iterator[list[int]]:
    """Yield the indices of crops that `render_alike` can render together.

    Args:
        crops: Any crops.
        max_segments: Segments of all channels that are refined at once; a single crop may have more.
    """
    together: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, crop in enumerate(crops):
        together[_kind(crop)].append(index)
    for indices in together.values():
        part: list[int] = []
        num_segments = 0
        for index in indices:
            added = crops[index].weights.shape[0] * crops[index].weights.shape[1]
            if part and num_segments + added > max_segments:
                yield part
                part, num_segments = [], 0
            part.append(index)
            num_segments += added
        yield part


def _kind(crop: LappedCrop) -> tuple[object, ...]:
    """Return what crops that are rendered together have in common."""
    # On a grid with a fraction of samples per hop, where samples sit in a hop repeats after so many hops.
    phase = crop.first_hop % crop.grid.denominator
    return crop.model_id, crop.grid, phase, crop.num_hops, crop.weights.shape[1:]


def _network(model_id: bytes, device: torch.device) -> Hypernetwork:
    model = shared_model_by_id(model_id)
    if not isinstance(model, Model):
        raise ModelError(f"{model.path} does not render lapped SIRENs")
    return model.network(device)


def _render_by_itself(crop: WholeChunksCrop, device: torch.device) -> torch.Tensor:
    playback = Playback.of(crop.header.sample_rate, rate=crop.rate)
    if crop.header.network is not None:
        network = stored_network(crop.header, None, device)
        decoder = MlpDecoder(crop, network, playback=playback, device=device)  # pyright: ignore[reportArgumentType]
    else:
        model = check_fit(crop.header, shared_model_by_id(crop.header.model_id))
        decoder = Decoder(crop, model, playback=playback, device=device)  # pyright: ignore[reportArgumentType]
    return decoder.read(crop.start, crop.stop)


def render_alike(crops: list[LappedCrop], network: Hypernetwork, device: torch.device) -> list[torch.Tensor]:
    """Return the samples [C, T] of crops that `alike` found, all at once.

    Args:
        crops: The crops, of one model.
        network: That model, on `device`.
        device: Where the samples are returned.
    """
    with torch.inference_mode():
        theta = _theta(crops, network, device)
        grid = crops[0].grid
        target = LappedSiren(theta.shape[-1])
        rendered = target.synthesize(theta, grid, first_segment=crops[0].first_hop % grid.denominator)
    channels = [len(crop.weights) for crop in crops]
    # Copied outside inference mode, so that what is handed out may take part in training.
    return [_cut(crop, rows) for crop, rows in zip(crops, rendered.split(channels), strict=True)]


def _cut(crop: LappedCrop, rendered: torch.Tensor) -> torch.Tensor:
    samples = rendered[:, crop.offset : crop.offset + crop.num_samples] * crop.gain
    return lowered(samples, crop.attacks, crop.grid, origin=0, start=crop.start)


def _theta(crops: list[LappedCrop], network: Hypernetwork, device: torch.device) -> torch.Tensor:
    """Return the refined weights [rows, num_hops + 1, K] of the segments that are heard, channels of all crops as rows.

    Behind the last segment of a file there are zeros.
    """
    weights = [crop.weights for crop in crops]
    symbols = torch.from_numpy(np.concatenate(weights)).to(device).to(torch.int32)
    plan = _Plan(crops)
    precision = _precision(plan, network, device)
    quality, is_stored, angles = (torch.from_numpy(values).to(device) for values in plan.by_segment())
    heard = crops[0].num_hops + 1
    before = np.array([crop.first_hop - crop.window_start for crop in crops])
    # What is only context of all crops is not refined itself.
    margins = int(before.min()), max(int(symbols.shape[1] - heard - before.max()), 0)
    kept = slice(margins[0], symbols.shape[1] - margins[1])
    refined = network.refine(symbols, precision, quality, margins=margins) * is_stored[:, kept, None]
    if plan.pairs.size:
        rows = torch.from_numpy(plan.pairs).to(device)
        refined[rows] = rotated(refined[rows], -angles[:, kept])
    first = np.repeat(before - margins[0], [len(crop.weights) for crop in crops])
    place = torch.from_numpy(first[:, None] + np.arange(heard)).to(device)
    is_there = place < refined.shape[1]
    gathered = refined[torch.arange(len(refined), device=device)[:, None], torch.where(is_there, place, 0)]
    return gathered * is_there[..., None]


def _precision(plan: "_Plan", network: Hypernetwork, device: torch.device) -> Precision:
    """Return step sizes and features of each segment of each row, decoded for all latents of one length at once."""
    found: dict[int, Precision] = {}
    for length, parts in plan.by_length().items():
        latent = torch.from_numpy(np.concatenate([part.latent for part in parts])).to(device).to(torch.int32)
        quality = torch.from_numpy(np.concatenate([part.quality for part in parts])).to(device)
        found[length] = network.decode_precision(latent, quality)
    longest = 2 * max(found)

    def gathered(values: list[torch.Tensor]) -> torch.Tensor:
        padded = [torch.nn.functional.pad(value, (0, 0, 0, longest - value.shape[1])) for value in values]
        row, place = (torch.from_numpy(index).to(device) for index in plan.origin())
        return torch.cat(padded)[row, place]

    decoded = found.values()
    return Precision(gathered([each.step for each in decoded]), gathered([each.features for each in decoded]))


class _Plan:
    """Which row and place of what the chunks' latents decode to belongs to each segment of each crop's window."""

    def __init__(self, crops: list[LappedCrop]) -> None:
        self._crops = crops
        self._num_segments = crops[0].weights.shape[1]
        firsts = np.cumsum([0, *(len(crop.weights) for crop in crops)])
        self._parts = [(int(row), crop, part) for row, crop in zip(firsts, crops, strict=False) for part in crop.parts]
        self._num_rows = int(firsts[-1])
        rotated_rows = [
            np.arange(row, row + len(crop.weights) // 2 * 2)
            for row, crop in zip(firsts, crops, strict=False)
            if any(part.angles.any() for part in crop.parts)
        ]
        self.pairs = np.concatenate([np.zeros(0, np.int64), *rotated_rows])
        """Rows of which each two that follow one another were rotated together somewhere."""

    def by_length(self) -> dict[int, list[ChunkPart]]:
        """Return parts by the length of their latents."""
        found: dict[int, list[ChunkPart]] = {}
        for _, _, part in self._parts:
            found.setdefault(part.latent.shape[1], []).append(part)
        return found

    def origin(self) -> tuple[np.ndarray, np.ndarray]:
        """Return row and place [rows, S] of each segment in all decoded latents, in the order of `by_length`."""
        row_of: dict[int, int] = {}
        num_rows = 0
        for parts in self.by_length().values():
            for part in parts:
                row_of[id(part)] = num_rows
                num_rows += len(part.latent)
        rows, places = np.zeros((2, self._num_rows, self._num_segments), np.int64)
        for row, crop, part in self._parts:
            here = self._segments(crop, part)
            rows[row : row + len(part.latent), here] = row_of[id(part)] + np.arange(len(part.latent))[:, None]
            places[row : row + len(part.latent), here] = (
                np.arange(part.start_segment, part.stop_segment) - part.first_segment
            )
        return rows, places

    def by_segment(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return quality [rows, S], whether symbols are stored [rows, S], and angles of `pairs` [rows / 2, S]."""
        quality, is_stored = np.zeros((2, self._num_rows, self._num_segments), np.float32)
        angles = np.zeros((self._num_rows, self._num_segments), np.float32)
        for row, crop, part in self._parts:
            here, stop = self._segments(crop, part), row + len(part.quality)
            quality[row:stop, here] = part.quality[:, None]
            is_stored[row:stop, here] = part.is_stored[:, None]
            angles[row : row + 2 * len(part.angles) : 2, here] = part.angles[:, None]
        return quality, is_stored, angles[self.pairs[::2]]

    @staticmethod
    def _segments(crop: LappedCrop, part: ChunkPart) -> slice:
        return slice(part.start_segment - crop.window_start, part.stop_segment - crop.window_start)
