"""How a model encodes: what its files say in their headers, and the encoder that makes their chunks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from hscodec.codec.chunk_length import check_chunk_seconds, most_segments, segments_of_chunk
from hscodec.codec.constants import CHUNK_SEGMENTS
from hscodec.codec.encoder import EncodedChunk, Encoder, file_num_weights
from hscodec.codec.mlp_encoder import MlpEncoder, ordinary_chunk_segments
from hscodec.codec.playback import Number
from hscodec.codec.stored_network import network_of_model, record_of_config
from hscodec.coding.layered import MAX_BITS, MIN_BITS
from hscodec.container.codes import Storage
from hscodec.errors import HscodecError
from hscodec.rates import HOP_SECONDS
from hscodec.registry import AnyModel, HyperSoundModel, Model

DEFAULT_BITS = 8


class ChunkEncoder(Protocol):
    """Turns samples that arrive in blocks of any size into chunks."""

    def push(self, block: np.ndarray) -> Iterator[EncodedChunk]:
        """Take samples [C, T] and yield the chunks that are complete."""
        ...

    def finish(self) -> Iterator[EncodedChunk]:
        """Yield the remaining chunks."""
        ...


class EncodingPlan(Protocol):
    """How one model encodes."""

    def header_fields(self, sample_rate: int) -> dict[str, Any]:
        """Return what the header of a file of sounds of `sample_rate` says about networks and model."""
        ...

    def encoder(self, *, sample_rate: int, num_channels: int, gain: float) -> ChunkEncoder:
        """Return an encoder for one sound.

        Raises:
            HscodecError: Chunks are to be longer than they can be.
        """
        ...


@dataclass(frozen=True)
class FlagshipPlan:
    """Encodes with a model of the flagship family.

    Attributes:
        model: The model.
        quality_hundredths: Quality times 100.
        zstd_only: Whether symbols are coded by zstd alone.
        device: Where the networks run.
        workers: Threads that encode chunks side by side; None is as many as torch would use.
        chunk_seconds: Length of a chunk (s); None is the ordinary one.
    """

    model: Model
    quality_hundredths: int
    zstd_only: bool
    device: torch.device
    workers: int | None = None
    chunk_seconds: Number | None = None

    def header_fields(self, sample_rate: int) -> dict[str, Any]:
        """Return quality, hop and number of weights."""
        return {
            "model_id": self.model.model_id,
            "quality": self.quality_hundredths,
            "hop_seconds": HOP_SECONDS,
            "num_weights": file_num_weights(self.model, sample_rate),
        }

    def encoder(self, *, sample_rate: int, num_channels: int, gain: float) -> Encoder:
        """Return an encoder for one sound; see `EncodingPlan`."""
        chunk_segments = CHUNK_SEGMENTS
        if self.chunk_seconds is not None:
            most = most_segments(num_channels * file_num_weights(self.model, sample_rate))
            chunk_segments = segments_of_chunk(self.chunk_seconds, HOP_SECONDS, most=most)
        return Encoder(
            self.model,
            sample_rate=sample_rate,
            num_channels=num_channels,
            quality_hundredths=self.quality_hundredths,
            gain=gain,
            device=self.device,
            zstd_only=self.zstd_only,
            workers=self.workers,
            chunk_segments=chunk_segments,
        )


@dataclass(frozen=True)
class HyperSoundPlan:
    """Encodes with a model of the HyperSound family, which knows no quality.

    Attributes:
        model: The model.
        storage: Whether weights are stored, or the bottleneck that they are a linear function of.
        bits: Bits of a symbol.
        device: Where the network runs.
        chunk_seconds: Length of a chunk (s); None is the ordinary one.
    """

    model: HyperSoundModel
    storage: Storage
    bits: int
    device: torch.device
    chunk_seconds: Number | None = None

    def header_fields(self, sample_rate: int) -> dict[str, Any]:
        """Return network record, hop and number of stored numbers; `sample_rate` does not matter."""
        network = self.model.network(self.device)
        target_network, record = record_of_config(network.config.target, self.storage)
        return {
            "model_id": self.model.model_id,
            "quality": 0,
            "hop_seconds": network.config.hop_seconds,
            "num_weights": network_of_model(network, self.storage).num_stored,
            "target_network": target_network,
            "network": record,
        }

    def encoder(self, *, sample_rate: int, num_channels: int, gain: float) -> MlpEncoder:
        """Return an encoder for one sound; see `EncodingPlan`."""
        network = self.model.network(self.device)
        stored, hop_seconds = network_of_model(network, self.storage), network.config.hop_seconds
        chunk_segments = None
        if self.chunk_seconds is not None:
            most = ordinary_chunk_segments(stored.num_stored * num_channels, float(hop_seconds))
            chunk_segments = segments_of_chunk(self.chunk_seconds, hop_seconds, most=most)
        return MlpEncoder(
            stored,
            network,
            sample_rate=sample_rate,
            num_channels=num_channels,
            bits=self.bits,
            gain=gain,
            device=self.device,
            chunk_segments=chunk_segments,
        )


def plan_for(
    model: AnyModel,
    *,
    quality: float,
    zstd_only: bool,
    storage: Storage,
    bits: int,
    device: torch.device,
    workers: int | None = None,
    chunk_seconds: Number | None = None,
) -> EncodingPlan:
    """Return how a model encodes; what does not concern its family is not looked at.

    Raises:
        HscodecError: Quality, bits or the length of chunks are out of range.
    """
    check_chunk_seconds(chunk_seconds)
    if isinstance(model, HyperSoundModel):
        if not MIN_BITS <= bits <= MAX_BITS:
            raise HscodecError(f"bits must be between {MIN_BITS} and {MAX_BITS}, not {bits}")
        return HyperSoundPlan(model, storage, bits, device, chunk_seconds)
    if not 0 <= quality <= 10:
        raise HscodecError(f"quality must be between 0 and 10, not {quality}")
    return FlagshipPlan(model, round(quality * 100), zstd_only, device, workers, chunk_seconds)
