"""What all outputs share: one check of samples, one rounding and one clipping."""

import numpy as np

from hscodec.errors import AudioError


def check_block(block: np.ndarray, *, num_channels: int, seconds: float, name: str = "") -> None:
    """Refuse samples that no output can hold.

    Args:
        block: Samples, [C, T] if they are right.
        num_channels: C.
        seconds: How much was written before.
        name: The file, for messages.

    Raises:
        AudioError: The block has the wrong shape or holds values that are not finite.
    """
    prefix = f"{name}: " if name else ""
    if block.ndim != 2 or block.shape[0] != num_channels:
        raise AudioError(f"{prefix}a block of shape {block.shape} for {num_channels} channels")
    if not np.isfinite(block).all():
        raise AudioError(f"{prefix}not-finite samples after {seconds:.3f} s")


def to_levels(samples: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """Return samples rounded to the nearest level and clipped, and how many of them were out of range.

    Rounded here because libsndfile truncates: half a level of offset, and 16-bit input would not survive.

    Args:
        samples: Full scale is 1.0; any shape.
        bits: Bits of one level, 8 to 32.

    Shape:
        returns: as `samples`, int32 in [-2^(bits - 1), 2^(bits - 1))
    """
    full_scale = 2.0 ** (bits - 1)
    levels = np.rint(samples.astype(np.float64) * full_scale)
    # +1.0 is one level too high for two's complement, but it is in range; it does not count.
    num_clipped = int(np.count_nonzero(np.abs(levels) > full_scale))
    return np.clip(levels, -full_scale, full_scale - 1).astype(np.int32), num_clipped
