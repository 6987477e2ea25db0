"""A sound as a function of time: samples at arbitrary times, from the pieces that they fall into."""

from collections import OrderedDict
from fractions import Fraction
from math import inf
from typing import Protocol

import torch

from hscodec.codec.pieces import Piece
from hscodec.container.format import FileHeader
from hscodec.errors import HscodecError
from hscodec.inr.slopes import differentiable

_MAX_PIECES = 4
"""Whoever moves about in a sound comes back to where it was: so many pieces are kept."""


class PieceSource(Protocol):
    """What pieces come from: a decoder."""

    def piece(self, hop: int) -> Piece:
        """Return the piece that renders `hop`."""
        ...


class TimeSampler:
    """Samples a file at arbitrary times.

    Args:
        source: Where pieces come from.
        header: The file's header.
        num_samples: Length of each channel at the file's rate.
        device: Where the samples are returned.
    """

    def __init__(self, source: PieceSource, header: FileHeader, num_samples: int, device: torch.device) -> None:
        self._source = source
        self._header = header
        self._device = device
        self._end = float(Fraction(num_samples, header.sample_rate) / header.hop_seconds)
        self._pieces: OrderedDict[int, Piece] = OrderedDict()

    def sample(self, times: torch.Tensor, *, band_limit_hz: float | None = None) -> torch.Tensor:
        """Return the sound at `times`; see `codec.reader.Reader.sample`."""
        if times.ndim != 1 or not times.is_floating_point():
            raise HscodecError(f"times are a vector of floats, not {times.dtype} of shape {list(times.shape)}")
        if band_limit_hz is not None and not 0 < band_limit_hz < inf:
            raise HscodecError(f"the band limit must be a frequency greater than 0 Hz, not {band_limit_hz}")
        # Exact, so that the Nyquist frequency of a grid keeps the features that the grid keeps.
        band_limit = None if band_limit_hz is None else Fraction(band_limit_hz) * self._header.hop_seconds
        gain, hop_seconds = self._header.gain, float(self._header.hop_seconds)
        hops, places = self._ascending(times)
        # Made outside inference mode, so that what is handed out may take part in training.
        values = torch.zeros(self._header.num_channels, len(times), device=self._device)
        slopes = torch.zeros_like(values) if times.requires_grad and torch.is_grad_enabled() else None
        start = 0
        with torch.no_grad():
            while start < len(hops):
                piece = self._piece(int(hops[start]))
                stop = max(int(torch.searchsorted(hops, float(piece.stop_hop))), start + 1)
                here = places[start:stop]
                sampled = piece.sample(hops[start:stop], band_limit=band_limit, with_slopes=slopes is not None)
                values[:, here] = sampled.values * gain
                if slopes is not None and sampled.slopes is not None:
                    slopes[:, here] = sampled.slopes * (gain / hop_seconds)
                start = stop
        return values if slopes is None else differentiable(times, values, slopes)

    def _ascending(self, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return those times that lie in the sound in hops, ascending and exact, and where they stand."""
        exact = times.detach()
        exact = exact.cpu() if exact.device.type == "mps" else exact  # which knows no double precision
        hop_seconds = self._header.hop_seconds
        # Hops are a whole number of times in a second or so, which a division by the rounded hop would not preserve.
        hops, order = (exact.to(torch.float64) * hop_seconds.denominator / hop_seconds.numerator).sort()
        inside = (hops >= 0) & (hops < self._end)
        return hops[inside], order[inside].to(self._device)

    def _piece(self, hop: int) -> Piece:
        for first_hop, piece in self._pieces.items():
            if first_hop <= hop < piece.stop_hop:
                self._pieces.move_to_end(first_hop)
                return piece
        piece = self._source.piece(hop)
        self._pieces[piece.first_hop] = piece
        if len(self._pieces) > _MAX_PIECES:
            self._pieces.popitem(last=False)
        return piece
