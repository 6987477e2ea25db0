"""Codes that stand for something in a `.hsnd` file."""

from enum import IntEnum
from typing import TypeVar

from hscodec.errors import FormatError


class TargetNetwork(IntEnum):
    """Family of target network whose weights the file holds. Codes that are not named here are reserved."""

    LAPPED_SIREN = 0
    FMLP = 1
    SIREN = 2


class ChunkOrder(IntEnum):
    """Order of the weight symbols inside a payload. Codes that are not named here are reserved."""

    PLAIN = 0
    BY_CLASS = 1
    BY_CONTEXT = 2
    BY_LAYER = 3
    BY_PAIR = 4


class Storage(IntEnum):
    """What a file stores of target networks with hidden layers. Codes that are not named here are reserved."""

    WEIGHTS = 0
    BOTTLENECK = 1


class SampleFormat(IntEnum):
    """How the samples that were encoded had been stored: a hint for people, nothing in decoding depends on it."""

    UNKNOWN = 0
    PCM_8 = 1
    PCM_16 = 2
    PCM_24 = 3
    PCM_32 = 4
    FLOAT = 5
    DOUBLE = 6
    LOSSY = 7


_Code = TypeVar("_Code", bound=IntEnum)


def member(codes: type[_Code], value: int, what: str) -> _Code:
    """Return the member of `codes` that has this value.

    Raises:
        FormatError: None has.
    """
    try:
        return codes(value)
    except ValueError:
        raise FormatError(f"{what} {value} is reserved: the file may need a newer version") from None
