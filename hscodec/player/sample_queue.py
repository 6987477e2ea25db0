"""`SampleQueue`: blocks of samples go in, as many samples as are wanted come out; not for several threads at once."""

from collections import deque

import numpy as np


class SampleQueue:
    """Samples in the order in which they were put in, without copies of what waits. Its length is in samples."""

    def __init__(self) -> None:
        self._blocks: deque[np.ndarray] = deque()
        self._num_samples = 0

    def __len__(self) -> int:
        return self._num_samples

    def put(self, block: np.ndarray) -> None:
        """Append a block, which must not change from now on.

        Shape:
            block: [T, C]
        """
        if len(block):
            self._blocks.append(block)
            self._num_samples += len(block)

    def take(self, frames: np.ndarray) -> int:
        """Move samples to the front of `frames`, as many as fit and are there, and return how many those are.

        Shape:
            frames: [T, C]
        """
        num_taken = 0
        while self._blocks and num_taken < len(frames):
            block = self._blocks.popleft()
            part = block[: len(frames) - num_taken]
            frames[num_taken : num_taken + len(part)] = part
            num_taken += len(part)
            if len(part) < len(block):
                self._blocks.appendleft(block[len(part) :])
        self._num_samples -= num_taken
        return num_taken

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
        self._num_samples = 0
