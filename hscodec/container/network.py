"""The network record of a file header: the shape of a target network with hidden layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from struct import Struct

from hscodec.container.codes import Storage, TargetNetwork, member
from hscodec.errors import FormatError

NETWORK = Struct("<BBHffBB")
MAX_HIDDEN_LAYERS = 32
MAX_WIDTH = 1 << 10
MAX_FREQUENCIES = 24
MAX_OMEGA = 1e6
_F32 = Struct("<f")


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkRecord:
    """Shape of an FMLP or SIREN, and what of it the file stores; which of the two says the header's target network.

    Attributes:
        hidden_layers: Dense layers with a nonlinearity, 1 to `MAX_HIDDEN_LAYERS`.
        width: Neurons of each, 1 to `MAX_WIDTH`.
        num_frequencies: Frequencies of an FMLP's encoding of time, 1 to `MAX_FREQUENCIES`; 0 for a SIREN.
        omega_0: Factor in the first sine of a SIREN (radians), above 0 and up to `MAX_OMEGA`; 0 for an FMLP. Rounded to
            float32 here, so that encoder and decoder use the same number.
        omega: Factor in its other sines, likewise.
        storage: What the symbols are.

    Raises:
        FormatError: If a value is out of its range.
    """

    hidden_layers: int
    width: int
    num_frequencies: int = 0
    omega_0: float = 0.0
    omega: float = 0.0
    storage: Storage = Storage.WEIGHTS

    def __post_init__(self) -> None:
        for name, value, lowest, highest in (
            ("hidden layers", self.hidden_layers, 1, MAX_HIDDEN_LAYERS),
            ("width", self.width, 1, MAX_WIDTH),
            ("number of frequencies", self.num_frequencies, 0, MAX_FREQUENCIES),
        ):
            if not lowest <= value <= highest:
                raise FormatError(f"network record: {name} {value} is not in {lowest} to {highest}")
        for name in ("omega_0", "omega"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= MAX_OMEGA):
                raise FormatError(f"network record: {name} {value} is not in 0 to {MAX_OMEGA:g}")
            object.__setattr__(self, name, _F32.unpack(_F32.pack(value))[0])
        if bool(self.num_frequencies) == bool(self.omega_0) or bool(self.omega_0) != bool(self.omega):
            raise FormatError("network record: it must have frequencies or both omegas, and not all of them")
        object.__setattr__(self, "storage", member(Storage, self.storage, "storage of a network"))

    def pack(self) -> bytes:
        """Return the record's bytes."""
        return NETWORK.pack(
            self.hidden_layers, self.num_frequencies, self.width, self.omega_0, self.omega, self.storage, 0
        )

    @classmethod
    def unpack(cls, data: bytes) -> NetworkRecord:
        """Read the `NETWORK.size` bytes of a record.

        Raises:
            FormatError: If a value is out of its range, or the reserved byte is not 0.
        """
        hidden_layers, num_frequencies, width, omega_0, omega, storage, reserved = NETWORK.unpack(data)
        if reserved:
            raise FormatError(f"network record: its reserved byte is {reserved}")
        return cls(
            hidden_layers=hidden_layers, width=width, num_frequencies=num_frequencies, omega_0=omega_0, omega=omega,
            storage=member(Storage, storage, "storage of a network"),
        )


def unpack_network(target_network: int, data: bytes, start: int) -> tuple[NetworkRecord | None, int]:
    """Read what stands at offset `start` of a header without its checksum; return it and where it stops.

    Args:
        target_network: Code of the target network; a lapped SIREN has no record.
        data: The header.
        start: Where its tags stop.

    Raises:
        FormatError: The code is reserved, or the record is missing or not valid.
    """
    if member(TargetNetwork, target_network, "target network") is TargetNetwork.LAPPED_SIREN:
        return None, start
    stop = start + NETWORK.size
    if stop > len(data):
        raise FormatError("header: the network record is missing")
    return NetworkRecord.unpack(data[start:stop]), stop


def check_network(target_network: TargetNetwork, record: NetworkRecord | None) -> None:
    """Hold a network record against the target network.

    Raises:
        FormatError: They do not fit.
    """
    if (target_network is TargetNetwork.LAPPED_SIREN) != (record is None):
        raise FormatError("a lapped SIREN has no network record, every other target network has one")
    if record and (target_network is TargetNetwork.FMLP) != bool(record.num_frequencies):
        raise FormatError("network record: an FMLP has frequencies, a SIREN has omegas")
