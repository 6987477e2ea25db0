"""What a `.hsnd` file says about itself, with nothing decoded; torch is not needed."""

from dataclasses import asdict, dataclass
from typing import Any

from hscodec.container.format import NO_MODEL, VERSION_MAJOR, FileHeader
from hscodec.container.reader import ContainerReader
from hscodec.registry import model_name_by_id


@dataclass(frozen=True)
class NetworkInfo:
    """Shape and storage of a target network with hidden layers.

    Attributes:
        hidden_layers: Layers between the first and the last.
        width: Numbers that a hidden layer passes on.
        num_frequencies: Frequencies of an FMLP's encoding, None for a SIREN.
        omega_0: Frequency factor of a SIREN's first layer, None for an FMLP.
        omega: Frequency factor of its other layers, None for an FMLP.
        stored: What the file stores of a network: `weights` or `bottleneck`.
        num_stored: How many numbers of each segment.
    """

    hidden_layers: int
    width: int
    num_frequencies: int | None
    omega_0: float | None
    omega: float | None
    stored: str
    num_stored: int


@dataclass(frozen=True)
class FileInfo:
    """A summary of a `.hsnd` file; rate and length are those of the sound that was encoded.

    Attributes:
        format_version: Version of the format, such as `1.3`.
        target_network: `lapped-siren`, `fmlp` or `siren`.
        model_id: Id of the model that decoding needs, in hexadecimal; None if it needs none.
        model_name: Its name, None if it is not installed or none is needed.
        sample_rate_hz: Rate (Hz).
        num_channels: C.
        num_samples: Length of each channel, as far as it is left.
        declared_num_samples: What it was; None if nothing is left to say it.
        duration_s: `num_samples` in seconds.
        sample_format: How the samples had been stored, None if it is not noted.
        quality: 0 to 10; None for networks with hidden layers.
        hop_s: Distance between two segments (s).
        bandwidth_hz: Highest frequency that the file holds (Hz); None for networks with hidden layers.
        network: Networks with hidden layers; None for lapped SIRENs.
        gain: Factor on what the target networks render.
        num_chunks: Chunks that were found.
        file_bytes: Size of the file.
        bitrate_kbps: File bytes times 8 over seconds (kbit/s); None for an empty sound.
        tags: (key, value) pairs, in order.
        index_was_rebuilt: Whether the seek index was missing or wrong: the file is damaged.
    """

    format_version: str
    target_network: str
    model_id: str | None
    model_name: str | None
    sample_rate_hz: int
    num_channels: int
    num_samples: int
    declared_num_samples: int | None
    duration_s: float
    sample_format: str | None
    quality: float | None
    hop_s: float
    bandwidth_hz: float | None
    network: NetworkInfo | None
    gain: float
    num_chunks: int
    file_bytes: int
    bitrate_kbps: float | None
    tags: tuple[tuple[str, str], ...]
    index_was_rebuilt: bool

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {**asdict(self), "tags": [list(tag) for tag in self.tags]}


def file_info(container: ContainerReader) -> FileInfo:
    """Return the summary of an open file."""
    header = container.header
    duration_s = container.num_samples / header.sample_rate
    has_model = header.model_id != NO_MODEL
    is_lapped = header.network is None
    return FileInfo(
        format_version=f"{VERSION_MAJOR}.{header.minor}",
        target_network=header.target_network.name.lower().replace("_", "-"),
        model_id=header.model_id.hex() if has_model else None,
        model_name=model_name_by_id(header.model_id) if has_model else None,
        sample_rate_hz=header.sample_rate,
        num_channels=header.num_channels,
        num_samples=container.num_samples,
        declared_num_samples=container.declared_num_samples,
        duration_s=duration_s,
        sample_format=header.sample_format.name.lower() if header.sample_format else None,
        quality=header.quality / 100 if is_lapped else None,
        hop_s=float(header.hop_seconds),
        bandwidth_hz=float(header.num_weights / (2 * header.hop_seconds)) if is_lapped else None,
        network=_network(header),
        gain=header.gain,
        num_chunks=len(container.chunks),
        file_bytes=container.file_bytes,
        bitrate_kbps=container.file_bytes * 8 / duration_s / 1000 if duration_s else None,
        tags=tuple(header.tags),
        index_was_rebuilt=container.index_was_rebuilt,
    )


def _network(header: FileHeader) -> NetworkInfo | None:
    record = header.network
    if record is None:
        return None
    return NetworkInfo(
        hidden_layers=record.hidden_layers,
        width=record.width,
        num_frequencies=record.num_frequencies or None,
        omega_0=record.omega_0 or None,
        omega=record.omega or None,
        stored=record.storage.name.lower(),
        num_stored=header.num_weights,
    )
