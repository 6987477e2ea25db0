"""How long chunks are: short ones come out sooner and lose less to damage, and cost quality; no torch."""

from fractions import Fraction

from hscodec.codec.constants import MAX_CHUNK_SECONDS, MIN_CHUNK_SECONDS
from hscodec.codec.playback import Number
from hscodec.container.format import MAX_CHUNK_SEGMENTS, MAX_CHUNK_SYMBOLS
from hscodec.errors import HscodecError


def check_chunk_seconds(seconds: Number | None) -> None:
    """Refuse a length out of range, before there is a sound; None leaves it to the model's family.

    Raises:
        HscodecError: It is.
    """
    # Not a number is in no range.
    if seconds is not None and not MIN_CHUNK_SECONDS <= seconds <= MAX_CHUNK_SECONDS:
        limits = f"{float(MIN_CHUNK_SECONDS):g} and {MAX_CHUNK_SECONDS:g} s"
        raise HscodecError(f"chunks must last between {limits}, not {seconds}")


def segments_of_chunk(seconds: Number, hop_seconds: Fraction, *, most: int) -> int:
    """Return the even number of segments that is nearest to a length, at least 2.

    Args:
        seconds: Length of a chunk (s).
        hop_seconds: Distance between two segments (s).
        most: Segments of the longest chunk that there can be.

    Raises:
        HscodecError: The length is out of range, or takes more segments than there can be.
    """
    check_chunk_seconds(seconds)
    segments = max(2 * round(Fraction(seconds) / (2 * hop_seconds)), 2)
    if segments > max(most, 2):
        raise HscodecError(
            f"chunks of {float(seconds):g} s hold too much for one; "
            f"with this model and so many channels they last at most {float(most * hop_seconds):g} s"
        )
    return segments


def most_segments(numbers_per_segment: int) -> int:
    """Return how many segments a chunk may have where the last of a file takes up to just under two chunks; even.

    Args:
        numbers_per_segment: Weight symbols of one segment of all channels.
    """
    longest = min(MAX_CHUNK_SEGMENTS, MAX_CHUNK_SYMBOLS // numbers_per_segment)
    return (longest + 2) // 4 * 2
