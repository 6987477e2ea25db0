"""Segments that are ready to be refined: symbols on the device, beside what their latent says about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hscodec.codec.pairs import chunk_angles
from hscodec.coding.attacks import no_attacks
from hscodec.coding.payload import ChunkSymbols
from hscodec.coding.rotations import channel_qualities, is_stored
from hscodec.inr.rotation import rotated
from hscodec.model import Hypernetwork, Precision


@dataclass(frozen=True)
class Prepared:
    """Symbols and precision of consecutive segments, on the device: what refinement of them and their context needs.

    The attacks are those of a whole chunk; a slice or a window of several chunks has none.

    Shape:
        quality: [C, S], of each channel in each segment
        angles: [C // 2, S], by which pairs of channels were rotated (radians)
        is_stored: [C, S], 0 where a channel's symbols are not stored, else 1
    """

    first_segment: int
    symbols: torch.Tensor
    precision: Precision
    quality: torch.Tensor
    angles: torch.Tensor
    is_stored: torch.Tensor
    attacks: np.ndarray = field(default_factory=no_attacks)

    @property
    def stop_segment(self) -> int:
        """One past the last segment."""
        return self.first_segment + self.symbols.shape[1]

    def slice(self, start: int, stop: int) -> "Prepared":
        """Return the segments [start, stop), counted in the stream, as far as they are here."""
        first = min(max(start, self.first_segment), self.stop_segment)
        cut = slice(first - self.first_segment, max(stop - self.first_segment, 0))
        precision = Precision(self.precision.step[:, cut], self.precision.features[:, cut])
        mixing = self.quality[:, cut], self.angles[:, cut], self.is_stored[:, cut]
        return Prepared(first, self.symbols[:, cut], precision, *mixing)


def prepare(
    chunks: Sequence[ChunkSymbols],
    first_segments: Sequence[int],
    *,
    quality_hundredths: Sequence[int],
    network: Hypernetwork,
    device: torch.device,
) -> list[Prepared]:
    """Return chunks of one shape, of one file or of several, ready to be refined; to be called in inference mode.

    Args:
        chunks: Their symbols.
        first_segments: Segments before each chunk in its own file.
        quality_hundredths: Quality of each chunk's file times 100.
        network: The model, on `device`.
        device: Where the networks run.
    """
    num_channels, num_segments, _ = chunks[0].weights.shape
    latent = torch.from_numpy(np.concatenate([chunk.latent for chunk in chunks])).to(device)
    hundredths = [
        channel_qualities(chunk.rotations, quality, num_channels)
        for chunk, quality in zip(chunks, quality_hundredths, strict=True)
    ]
    quality = torch.from_numpy((np.concatenate(hundredths) / 100).astype(np.float32)).to(device)
    precision = network.decode_precision(latent, quality)
    steps, features = precision.step.split(num_channels), precision.features.split(num_channels)
    return [
        Prepared(
            first_segment,
            torch.from_numpy(chunk.weights).to(device),
            Precision(step, feature),
            each[:, None].expand(-1, num_segments),
            chunk_angles(chunk.rotations, num_channels, num_segments).to(device),
            torch.from_numpy(is_stored(chunk.rotations, num_channels)).to(device)[:, None].expand(-1, num_segments),
            chunk.attacks,
        )
        for chunk, first_segment, step, feature, each in zip(
            chunks, first_segments, steps, features, quality.split(num_channels), strict=True
        )
    ]


def join(parts: Sequence[Prepared]) -> Prepared | None:
    """Return consecutive parts as one; None if there are no segments in them."""
    parts = [part for part in parts if part.symbols.shape[1]]
    if not parts:
        return None
    return Prepared(
        parts[0].first_segment,
        torch.cat([part.symbols for part in parts], 1),
        Precision(
            torch.cat([part.precision.step for part in parts], 1),
            torch.cat([part.precision.features for part in parts], 1),
        ),
        torch.cat([part.quality for part in parts], 1),
        torch.cat([part.angles for part in parts], 1),
        torch.cat([part.is_stored for part in parts], 1),
    )


def refined(
    network: Hypernetwork, windows: Sequence[Prepared], margins: tuple[int, int] = (0, 0)
) -> list[torch.Tensor]:
    """Return the weights of windows of one shape as they were analyzed: refined, and pairs of channels turned back.

    Args:
        network: The model.
        windows: What to refine.
        margins: How many of the first and the last segments of each window are only context of the others.

    Shape:
        returns: [C, S - sum(margins), K] for each window
    """
    symbols, quality, steps, features = (
        torch.cat(parts) if len(parts) > 1 else parts[0]
        for parts in (
            [window.symbols for window in windows],
            [window.quality for window in windows],
            [window.precision.step for window in windows],
            [window.precision.features for window in windows],
        )
    )
    theta = network.refine(symbols, Precision(steps, features), quality, margins=margins).split(len(windows[0].symbols))
    if len(windows[0].angles) == 0:  # only channels of pairs can be rotated, or not stored
        return list(theta)
    kept = slice(margins[0], symbols.shape[1] - margins[1])
    return [
        rotated(each * window.is_stored[:, kept, None], -window.angles[:, kept])
        for each, window in zip(theta, windows, strict=True)
    ]
