"""How a model encodes: what its files say in their headers, and the encoder that makes their chunks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from hscodec.codec.encoder import EncodedChunk, Encoder, file_num_weights
from hscodec.codec.mlp_encoder import MlpEncoder
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
        """Return an encoder for one sound."""
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
    """

    model: Model
    quality_hundredths: int
    zstd_only: bool
    device: torch.device
    workers: int | None = None

    def header_fields(self, sample_rate: int) -> dict[str, Any]:
        """Return quality, hop and number of weights."""
        return {
            "model_id": self.model.model_id,
            "quality": self.quality_hundredths,
            "hop_seconds": HOP_SECONDS,
            "num_weights": file_num_weights(self.model, sample_rate),
        }

    def encoder(self, *, sample_rate: int, num_channels: int, gain: float) -> Encoder:
        """Return an encoder for one sound."""
        return Encoder(
            self.model,
            sample_rate=sample_rate,
            num_channels=num_channels,
            quality_hundredths=self.quality_hundredths,
            gain=gain,
            device=self.device,
            zstd_only=self.zstd_only,
            workers=self.workers,
        )


@dataclass(frozen=True)
class HyperSoundPlan:
    """Encodes with a model of the HyperSound family, which knows no quality.

    Attributes:
        model: The model.
        storage: Whether weights are stored, or the bottleneck that they are a linear function of.
        bits: Bits of a symbol.
        device: Where the network runs.
    """

    model: HyperSoundModel
    storage: Storage
    bits: int
    device: torch.device

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
        """Return an encoder for one sound."""
        network = self.model.network(self.device)
        return MlpEncoder(
            network_of_model(network, self.storage),
            network,
            sample_rate=sample_rate,
            num_channels=num_channels,
            bits=self.bits,
            gain=gain,
            device=self.device,
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
) -> EncodingPlan:
    """Return how a model encodes; what does not concern its family is not looked at.

    Raises:
        HscodecError: Quality or bits are out of range.
    """
    if isinstance(model, HyperSoundModel):
        if not MIN_BITS <= bits <= MAX_BITS:
            raise HscodecError(f"bits must be between {MIN_BITS} and {MAX_BITS}, not {bits}")
        return HyperSoundPlan(model, storage, bits, device)
    if not 0 <= quality <= 10:
        raise HscodecError(f"quality must be between 0 and 10, not {quality}")
    return FlagshipPlan(model, round(quality * 100), zstd_only, device, workers)
