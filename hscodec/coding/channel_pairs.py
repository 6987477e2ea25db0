"""Which two channels of a sound belong together."""

_BY_COUNT = {5: ((0, 1), (3, 4)), 6: ((0, 1), (4, 5)), 7: ((0, 1), (5, 6)), 8: ((0, 1), (4, 5), (6, 7))}
"""Left and right, by number of channels, in the order of WAV and FLAC: front, centre, low frequencies, back, side."""


def channel_pairs(num_channels: int) -> list[tuple[int, int]]:
    """Return the pairs of left and right channels; centre and low frequencies stay alone.

    WAV and FLAC say by the number of channels which one is where: 6 are front left, front right, front centre, low
    frequencies, back left, back right.
    """
    adjacent = [(first, first + 1) for first in range(0, num_channels - 1, 2)]
    return list(_BY_COUNT.get(num_channels, adjacent))
