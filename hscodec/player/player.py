"""`Player`: a thread decodes ahead of what is played, and whoever plays takes samples when the device wants them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType

import numpy as np
import torch

from hscodec.codec.reader import Reader
from hscodec.player.mixing import mixing_matrix
from hscodec.player.sample_queue import SampleQueue

QUEUE_SECONDS = 2.0
"""Decoding goes on while less than this waits to be played, so at most this and one block of some 5 s are kept."""


@dataclass(frozen=True, eq=False)
class _Request:
    """From which sample on to decode. A seek is a new request, which makes all blocks of the one before stale."""

    position: int


class Player:
    """Plays a range of a sound; a context manager. Decoding starts when the block is entered and ends with it.

    While it is open the reader belongs to it. `fill` may be called in any thread, such as that of an audio device: it
    never waits for decoding. Everything else may be called in any other.

    Args:
        reader: The sound; it is left open. Its rate and speed are those at which it is played.
        num_outputs: Channels of the output, from `mixing.num_played`; None are those of the sound.
        start: First sample of the range, 0 to the reader's `num_samples`.
        stop: One past the last; None, or anything beyond the end, is the end.
        reverse: Play the range backwards.
        queue_seconds: How much is decoded ahead (seconds of the output).

    Attributes:
        underrun_samples: How many samples of silence were played where decoding came too late. The time until the first
            sound, at the start or after a seek, does not count.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        num_outputs: int | None = None,
        start: int = 0,
        stop: int | None = None,
        reverse: bool = False,
        queue_seconds: float = QUEUE_SECONDS,
    ) -> None:
        self.underrun_samples = 0
        self._reader = reader
        self._mix = mixing_matrix(reader.num_channels, num_outputs or reader.num_channels)
        self._start = start
        self._stop = reader.num_samples if stop is None else min(stop, reader.num_samples)
        self._reverse = reverse
        self._end = start if reverse else self._stop
        self._queue_samples = max(int(queue_seconds * reader.rate), 1)
        self._thread = threading.Thread(target=self._decode, name="hscodec-player", daemon=True)
        # The condition guards everything below.
        self._changed = threading.Condition()
        self._queue = SampleQueue()
        self._position = self._stop if reverse else start
        self._request = _Request(self._position)
        self._is_starting = True
        self._is_paused = False
        self._is_closed = False
        self._error: Exception | None = None

    def __enter__(self) -> "Player":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop decoding and wait for the thread, at most until the block that it works on is ready."""
        with self._changed:
            self._is_closed = True
            self._queue.clear()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def position_s(self) -> float:
        """Where in the encoded sound the next sample is taken (s)."""
        return float(self._position / self._reader.playback.samples_per_second)

    @property
    def remaining_samples(self) -> int:
        """How many samples are still to be played."""
        return abs(self._end - self._position)

    @property
    def queued_samples(self) -> int:
        """How many of them are decoded already."""
        return len(self._queue)

    @property
    def is_paused(self) -> bool:
        """Whether silence is played until `is_paused` is set to False."""
        return self._is_paused

    @is_paused.setter
    def is_paused(self, value: bool) -> None:
        with self._changed:
            self._is_paused = value

    def fill(self, frames: np.ndarray) -> bool:
        """Write the next samples, and silence where there are none: paused, not decoded yet, or at the end.

        Returns:
            Whether there is more to play.

        Shape:
            frames: [T, outputs] float32
        """
        with self._changed:
            num_taken = 0 if self._is_paused else self._queue.take(frames)
            frames[num_taken:] = 0
            if num_taken:
                self._position += -num_taken if self._reverse else num_taken
                self._changed.notify_all()
            if self._is_paused and not self._is_closed:
                return True
            has_ended = self._has_ended()
            if not (has_ended or self._is_starting):
                self.underrun_samples += len(frames) - num_taken
            return not has_ended

    def seek(self, seconds: Fraction | float) -> None:
        """Go on at that time of the encoded sound, or at the end of the range that is nearest to it."""
        with self._changed:
            self._go_to(self._reader.sample_at(seconds))

    def skip(self, seconds: Fraction | float) -> None:
        """Go on so much later in the encoded sound, or earlier if negative, whatever the direction of playing."""
        with self._changed:
            num_samples = round(Fraction(seconds) * self._reader.playback.samples_per_second)
            self._go_to(self._position + num_samples)

    def check(self) -> None:
        """Raise what decoding failed with, if it did: a `FormatError` where the file is damaged."""
        if self._error is not None:
            raise self._error

    def _go_to(self, sample: int) -> None:
        self._position = min(max(sample, self._start), self._stop)
        self._request = _Request(self._position)
        self._queue.clear()
        self._is_starting = True
        self._error = None
        self._changed.notify_all()

    def _has_ended(self) -> bool:
        has_failed = self._error is not None and not len(self._queue)
        return self._is_closed or has_failed or not self.remaining_samples

    def _decode(self) -> None:
        """Serve one request after the other; what the thread does."""
        request = None
        while (request := self._next_request(request)) is not None:
            try:
                self._serve(request)
            except Exception as error:  # raised again by `check`, where somebody can see it
                with self._changed:
                    if not self._is_stale(request):
                        self._error = error

    def _next_request(self, served: _Request | None) -> _Request | None:
        """Wait for a request that was not served yet; None when the player is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._request is not served)
            return None if self._is_closed else self._request

    def _serve(self, request: _Request) -> None:
        blocks = self._blocks(request.position)
        while self._wants_more(request) and (block := next(blocks, None)) is not None:
            frames = self._mixed(block)
            with self._changed:
                if self._is_stale(request):
                    return
                self._queue.put(frames)
                self._is_starting = False

    def _wants_more(self, request: _Request) -> bool:
        """Wait for room in the queue; whether the request is still the latest."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stale(request) or len(self._queue) < self._queue_samples)
            return not self._is_stale(request)

    def _is_stale(self, request: _Request) -> bool:
        return self._is_closed or self._request is not request

    def _blocks(self, position: int) -> Iterator[torch.Tensor]:
        if self._reverse:
            return self._reader.blocks(self._start, position, reverse=True)
        return self._reader.blocks(position, self._stop)

    def _mixed(self, block: torch.Tensor) -> np.ndarray:
        """Return a block [C, T] as frames [T, outputs]."""
        samples = block.cpu().numpy()
        return np.ascontiguousarray((samples if self._mix is None else self._mix @ samples).T)
