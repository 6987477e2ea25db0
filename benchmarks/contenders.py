"""What a codec has to do to be measured, and hscodec itself as one of them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hscodec.registry import DEFAULT_MODEL, load_model

Samples = NDArray[np.float32]
"""Sound of shape [C, T], full scale 1.0; a mono clip has one channel."""


@dataclass(frozen=True)
class Encoded:
    """One clip as a codec stores it, all channels in one file.

    Args:
        blob: The file, complete: what a disk would hold.
        payload_bytes: The part of it that is not container, at most `len(blob)`.
        sample_rate: Rate of the clip that was encoded (Hz), which is also the rate wanted back.
        num_channels: Channels of that clip, which are also those wanted back.
        num_samples: Length of that clip, which is also the length wanted back.
    """

    blob: bytes
    payload_bytes: int
    sample_rate: int
    num_channels: int
    num_samples: int

    @property
    def file_bytes(self) -> int:
        """Size of the complete file."""
        return len(self.blob)

    def kbps(self, num_bytes: int) -> float:
        """Return `num_bytes` over the duration of the clip, in kbit/s: of all channels together."""
        return num_bytes * 8 / (self.num_samples / self.sample_rate) / 1000


class Contender(Protocol):
    """A codec in the comparison.

    Attributes:
        name: Name in tables and plots.
        settings: The points of its rate-distortion curve, in the codec's own unit (kbit/s, quality).
    """

    name: str
    settings: tuple[float, ...]

    def version(self) -> str:
        """Return which build or model this is: rows of another version are measured anew."""
        ...

    def encode(self, samples: Samples, sample_rate: int, setting: float) -> Encoded:
        """Encode one clip.

        Args:
            samples: The clip, full scale 1.0.
            sample_rate: Its rate (Hz).
            setting: One point of the curve; a bitrate is that of all channels together.

        Shape:
            samples: [C, T], C 1 or 2
        """
        ...

    def decode(self, encoded: Encoded) -> Samples:
        """Return the decoded clip, aligned with the original and as long.

        Shape:
            returns: [C, T]
        """
        ...


class Hscodec:
    """hscodec through its public functions; the whole `.hsnd` file counts as payload.

    Args:
        settings: Qualities, 0 to 10.
        model: Name of a model, or the path of one.
        device: Where the networks run.
    """

    def __init__(self, settings: tuple[float, ...], *, model: str = DEFAULT_MODEL, device: str = "cpu") -> None:
        self.settings = settings
        self._model = load_model(model)
        self.name = self._model.name
        self._device = device

    def version(self) -> str:
        """Return the package's version and the beginning of the model file's hash."""
        import hscodec

        return f"hscodec {hscodec.__version__}, model {self._model.sha256[:16]}"

    def encode(self, samples: Samples, sample_rate: int, setting: float) -> Encoded:
        """Encode one clip of shape [C, T]."""
        import hscodec

        blob = hscodec.encode(samples, sample_rate, quality=setting, model=self._model, device=self._device)
        return Encoded(blob, len(blob), sample_rate, *samples.shape)

    def decode(self, encoded: Encoded) -> Samples:
        """Return the decoded clip, shape [C, T]."""
        import hscodec

        samples, _ = hscodec.decode(encoded.blob, model=self._model, device=self._device)
        return samples.cpu().numpy()
