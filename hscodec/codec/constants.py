"""Numbers that the codec and its command line share; nothing here loads torch."""

from fractions import Fraction

DEFAULT_QUALITY = 5.0
CHUNK_SEGMENTS = 250
"""Segments of an ordinary chunk (5 s). The last chunk takes what remains, up to just under two of these."""
MIN_CHUNK_SECONDS = Fraction(1, 2)
"""Shorter chunks could be shorter than what refinement looks at on either side."""
MAX_CHUNK_SECONDS = 20
"""Two of these are the longest chunk of the format."""

REFERENCE_PEAK = 0.7
"""A file is scaled to this peak before analysis, so that coding does not depend on its level."""

MAX_PEAK = 2.0**64
"""Float files with larger samples are refused: their gain, or the samples that come back, might not be finite."""

SILENT_GAIN = 2.0**-24
"""Gain of a file without any sound: whatever refinement invents is then far below the least significant bit."""

SLICE_SEGMENTS = 250
"""Chunks are rendered in slices of at most so many segments, which bounds what decoding keeps in memory."""

MAX_CONCEALED_SECONDS = 3600
"""Where chunks are missing, a decoder that keeps going renders at most so much silence: a few bytes may claim years."""

LIVE_PEAK = 1.0
"""The peak that is assumed where samples must be encoded before all of them are known."""

MIN_OUTPUT_RATE_HZ = 1_000
MAX_OUTPUT_RATE_HZ = 384_000
MIN_SPEED = Fraction(1, 4)
MAX_SPEED = Fraction(4)
