"""Which seconds of a sound certain segments are heard in; no torch."""

from collections.abc import Iterable, Iterator

from hscodec.container.reader import ContainerReader

SecondsRange = tuple[float, float]
"""Half-open: (start, stop) in seconds."""


def duration_s(container: ContainerReader) -> float:
    """Return how long the sound once was (s), as far as the file still says it."""
    declared = container.declared_num_samples
    return (container.num_samples if declared is None else declared) / container.header.sample_rate


def heard_in(container: ContainerReader, first_segment: int, stop_segment: int) -> SecondsRange:
    """Return the seconds in which segments `[first_segment, stop_segment)` sound.

    Each reaches a hop to either side; segments of networks with hidden layers fill one hop, their own.
    """
    hop_seconds = container.header.hop_seconds
    end_s = duration_s(container)
    reach = 1 if container.header.network is None else 0
    start_s, stop_s = float(max(first_segment - reach, 0) * hop_seconds), float(stop_segment * hop_seconds)
    return min(start_s, end_s), min(stop_s, end_s)


def missing_end(container: ContainerReader) -> SecondsRange | None:
    """Return the seconds behind the last chunk that the sound once had, or None if there are none."""
    start_s, stop_s = container.num_samples / container.header.sample_rate, duration_s(container)
    return (start_s, stop_s) if stop_s > start_s else None


def merged(ranges: Iterable[SecondsRange]) -> Iterator[SecondsRange]:
    """Yield ranges in order, those that touch or overlap as one, empty ones left out."""
    last: SecondsRange | None = None
    for start_s, stop_s in sorted(ranges):
        if last is not None and start_s <= last[1]:
            last = (last[0], max(stop_s, last[1]))
            continue
        if last is not None and last[0] < last[1]:
            yield last
        last = (start_s, stop_s)
    if last is not None and last[0] < last[1]:
        yield last
