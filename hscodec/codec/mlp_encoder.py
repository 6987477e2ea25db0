"""Samples in, chunks out, for networks with hidden layers that a pretrained hypernetwork generates."""

from collections.abc import Iterator

import numpy as np
import torch

from hscodec.audio.resample import Resampler
from hscodec.codec.bit_allocation import group_bits
from hscodec.codec.encoder import EncodedChunk
from hscodec.codec.stored_network import StoredNetwork
from hscodec.coding import layered
from hscodec.coding.order import Order
from hscodec.coding.payload import PackedChunk
from hscodec.container.codes import Storage
from hscodec.hypernet.hypersound import HyperSound

ORDINARY_CHUNK_SECONDS = 60
MAX_CHUNK_NUMBERS = 2**21
"""Segments of an ordinary chunk: as many as stay below both. A decoder holds one chunk at a time."""


class MlpEncoder:
    """Turns samples that arrive in blocks of any size into chunks; the chunks do not depend on the block sizes.

    Args:
        network: What the file stores, with the pretrained network on `device`.
        model: That network.
        sample_rate: Rate of the samples (Hz).
        num_channels: C.
        bits: Bits of a symbol, 2 to 16; the first layer of a SIREN may get more, see `bit_allocation`.
        gain: Samples are divided by this; the decoder multiplies by it.
        device: Where the network runs.
        chunk_segments: Segments of a chunk, even, at most those of an ordinary one; None takes those.
    """

    def __init__(
        self,
        network: StoredNetwork,
        model: HyperSound,
        *,
        sample_rate: int,
        num_channels: int,
        bits: int,
        gain: float,
        device: torch.device,
        chunk_segments: int | None = None,
    ) -> None:
        self._network = network
        self._model = model
        self._group_bits = group_bits(network, bits)
        self._gain = gain
        self._device = device
        self._resampler = Resampler(sample_rate, model.config.sample_rate, num_channels=num_channels)
        self._held = np.zeros((num_channels, 0), np.float32)
        self._next_segment = 0
        ordinary = ordinary_chunk_segments(network.num_stored * num_channels, float(model.config.hop_seconds))
        self._chunk_segments = chunk_segments or ordinary

    def push(self, block: np.ndarray) -> Iterator[EncodedChunk]:
        """Take samples and yield the chunks that are complete.

        Shape:
            block: [C, T] float32
        """
        self._hold(self._resampler.process(block))
        length = self._chunk_segments * self._model.config.segment_samples
        # A whole chunk is cut off only where something follows, so that the last one can take the surplus segments.
        while self._held.shape[1] > length:
            yield self._encode(self._held[:, :length], self._chunk_segments)
            self._held = self._held[:, length:]

    def finish(self) -> Iterator[EncodedChunk]:
        """Yield the remaining chunks; nothing may be pushed afterwards."""
        self._hold(self._resampler.finish())
        if self._held.shape[1]:
            # One segment more than hops, as the container counts, and an even number; the surplus is zeros.
            count = -(-self._held.shape[1] // self._model.config.segment_samples) + 1
            yield self._encode(self._held, count + count % 2)

    def _hold(self, samples: np.ndarray) -> None:
        self._held = np.concatenate([self._held, samples / np.float32(self._gain)], axis=1)

    @torch.inference_mode()
    def _encode(self, samples: np.ndarray, num_segments: int) -> EncodedChunk:
        """Return a chunk of so many segments, of which those behind the samples hold zeros."""
        segment_samples = self._model.config.segment_samples
        num_heard = -(-samples.shape[1] // segment_samples)
        padded = np.pad(samples, ((0, 0), (0, num_heard * segment_samples - samples.shape[1])))
        segments = torch.from_numpy(padded).unflatten(1, (num_heard, segment_samples))
        stored = torch.stack([self._stored(channel.to(self._device)) for channel in segments]).cpu().numpy()
        stored = np.pad(stored, ((0, 0), (0, num_segments - num_heard), (0, 0)))
        symbols = layered.quantize(stored, self._network.group_lengths, self._group_bits)
        first_segment = self._next_segment
        self._next_segment += num_segments
        packed = PackedChunk(layered.pack(symbols), Order.BY_LAYER)
        return EncodedChunk(first_segment, num_segments, symbols.digest(), packed)

    def _stored(self, segments: torch.Tensor) -> torch.Tensor:
        """Return the numbers of segments: [S, T] to [S, K]."""
        if self._network.storage is Storage.BOTTLENECK:
            return self._model.bottleneck(segments)
        return self._model.instance_weights(segments)


def ordinary_chunk_segments(numbers_per_segment: int, hop_seconds: float) -> int:
    """Return the segments of an ordinary chunk, even and at least 2."""
    most = min(ORDINARY_CHUNK_SECONDS / hop_seconds, MAX_CHUNK_NUMBERS / numbers_per_segment)
    return max(int(most) // 2 * 2, 2)
