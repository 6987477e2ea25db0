"""Samples in, chunks out: the streaming half of encoding."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch

from hscodec.audio.attacks import find_attacks
from hscodec.audio.resample import Resampler
from hscodec.codec.constants import CHUNK_SEGMENTS
from hscodec.codec.pairs import choose_rotations, chunk_angles
from hscodec.codec.waveform_pairs import choose_waveform_rotations
from hscodec.codec.workers import default_workers, open_pool
from hscodec.coding.channel_pairs import channel_pairs
from hscodec.coding.payload import ChunkSymbols, PackedChunk, pack
from hscodec.coding.rotations import channel_qualities, is_stored
from hscodec.container.format import ChunkOrder
from hscodec.container.writer import ContainerWriter
from hscodec.inr.envelope import raised
from hscodec.inr.lapped import LappedSiren
from hscodec.inr.rotation import rotated
from hscodec.rates import HOP_SECONDS, analysis_rate, num_segments, num_weights
from hscodec.registry import Model


@dataclass(frozen=True)
class EncodedChunk:
    """A chunk ready for the container.

    Attributes:
        first_segment: Segments before it.
        num_segments: Segments in it, even.
        symbol_digest: Digest of the symbols.
        packed: The payload, and what is in it.
    """

    first_segment: int
    num_segments: int
    symbol_digest: bytes
    packed: PackedChunk

    def write_to(self, container: ContainerWriter, *, last: bool = False) -> None:
        """Append the chunk to a container; `last` if none follows."""
        container.write_chunk(
            first_segment=self.first_segment,
            num_segments=self.num_segments,
            order=ChunkOrder(int(self.packed.order)),
            symbol_digest=self.symbol_digest,
            payload=self.packed.payload,
            last=last,
            has_attacks=self.packed.has_attacks,
            has_rotations=self.packed.has_rotations,
            has_bandwidth=self.packed.has_bandwidth,
        )


class Encoder:
    """Turns samples that arrive in blocks of any size into chunks; the chunks do not depend on the block sizes.

    Args:
        model: The model whose shared weights the decoder will use.
        sample_rate: Rate of the samples (Hz).
        num_channels: C; channels are coded side by side in each chunk.
        quality_hundredths: Quality times 100, 0 to 1000.
        gain: Samples are divided by this before analysis; the decoder multiplies by it.
        device: Where the networks run.
        zstd_only: Whether symbols are coded by zstd alone, which every model can do.
        workers: Threads that encode chunks side by side; None is as many as torch would use. They do not change what
            comes out.
        chunk_segments: Segments of a chunk, even, at most `codec.chunk_length.most_segments`.
    """

    def __init__(
        self,
        model: Model,
        *,
        sample_rate: int,
        num_channels: int,
        quality_hundredths: int,
        gain: float,
        device: torch.device,
        zstd_only: bool = False,
        workers: int | None = None,
        chunk_segments: int = CHUNK_SEGMENTS,
    ) -> None:
        self.model = model
        self._frequencies = None if zstd_only else model.frequencies
        self.network = model.network(device)
        self.device = device
        self.quality_hundredths = quality_hundredths
        self.chunk_segments = chunk_segments
        self.gain = gain
        rate = analysis_rate(sample_rate)
        self.samples_per_hop = int(rate * HOP_SECONDS)
        self.num_weights = file_num_weights(model, sample_rate)
        self.target = LappedSiren(model.config.num_weights)
        self._resampler = Resampler(sample_rate, rate, num_channels=num_channels)
        # Samples from one hop before the next segment's centre on; segment 0 is centred on the first sample.
        self._held = np.zeros((num_channels, self.samples_per_hop), np.float32)
        self._num_read = 0
        self._next_segment = 0
        workers = workers or default_workers()
        self._pool = open_pool(workers)
        self._num_ahead = workers + 1
        self._pending: deque[Future[EncodedChunk]] = deque()

    def push(self, block: np.ndarray) -> Iterator[EncodedChunk]:
        """Take samples and yield the chunks that are complete.

        Shape:
            block: [C, T] float32
        """
        self._hold(self._resampler.process(block))
        yield from self._whole_chunks()

    def finish(self) -> Iterator[EncodedChunk]:
        """Yield the remaining chunks; nothing may be pushed afterwards."""
        self._hold(self._resampler.finish())
        yield from self._whole_chunks()
        remaining = num_segments(self._num_read, self.samples_per_hop) - self._next_segment
        if remaining:
            missing = (remaining + 1) * self.samples_per_hop - self._held.shape[1]
            self._held = np.pad(self._held, ((0, 0), (0, max(missing, 0))))
            self._encode(remaining)
        yield from self._packed(keep=0)
        self._pool.shutdown()

    def _whole_chunks(self) -> Iterator[EncodedChunk]:
        # The end of the file may still be anywhere: a chunk is cut off only while a whole one would remain.
        while num_segments(self._num_read, self.samples_per_hop) - self._next_segment >= 2 * self.chunk_segments:
            self._encode(self.chunk_segments)
            yield from self._packed(keep=self._num_ahead)

    def _hold(self, samples: np.ndarray) -> None:
        self._held = np.concatenate([self._held, samples / np.float32(self.gain)], axis=1)
        self._num_read += samples.shape[1]

    def _encode(self, count: int) -> None:
        window = self._held[:, : (count + 1) * self.samples_per_hop]
        self._pending.append(self._pool.submit(self._encoded, window, self._next_segment, count))
        self._held = self._held[:, count * self.samples_per_hop :]
        self._next_segment += count

    def _encoded(self, window: np.ndarray, first_segment: int, count: int) -> EncodedChunk:
        """Return the chunk of a window, which begins one hop before the first segment's centre; several threads may."""
        attacks = find_attacks(window, self.samples_per_hop)
        samples = torch.from_numpy(np.ascontiguousarray(window))
        samples = raised(samples, attacks, Fraction(self.samples_per_hop), origin=1, start=0)
        symbols = replace(self._symbols(samples.to(self.device)), attacks=attacks)
        options = {"frequencies": self._frequencies, "pairs": channel_pairs(len(window))}
        packed = pack(symbols, self.model.tables, self.quality_hundredths, **options)
        return EncodedChunk(first_segment, count, symbols.digest(), packed)

    @torch.inference_mode()
    def _symbols(self, window: torch.Tensor) -> ChunkSymbols:
        theta = self.target.analyze(window, self.samples_per_hop)
        theta[..., self.num_weights :] = 0
        rotations = self._rotations(theta)
        theta = rotated(theta, chunk_angles(rotations, *theta.shape[:2]).to(theta))
        qualities = channel_qualities(rotations, self.quality_hundredths, len(theta))
        quality = torch.from_numpy((qualities / 100).astype(np.float32)).to(theta.device)
        latent = self.network.encode_latent(theta, quality)
        precision = self.network.decode_precision(latent, quality)
        weights = self.network.quantize(theta[..., : self.num_weights], precision)
        stored = torch.from_numpy(is_stored(rotations, len(theta))).to(theta.device)[:, None, None]
        return ChunkSymbols((latent * stored).cpu().numpy(), (weights * stored).cpu().numpy(), rotations=rotations)

    def _rotations(self, theta: torch.Tensor) -> np.ndarray:
        if self.model.tuned_for == "fidelity":
            return choose_waveform_rotations(theta, self.network, self.quality_hundredths, self.num_weights)
        return choose_rotations(theta, self.model.config, self.quality_hundredths)

    def _packed(self, *, keep: int) -> Iterator[EncodedChunk]:
        """Yield finished chunks in order, leaving up to `keep` to the threads."""
        while len(self._pending) > keep:
            yield self._pending.popleft().result()


def file_num_weights(model: Model, sample_rate: int) -> int:
    """Return K of a file: the features below its Nyquist frequency, at most the model's."""
    return min(num_weights(Fraction(sample_rate, 2)), model.config.num_weights)
