"""The contenders of the HyperSound comparison: generated networks, fitted networks, and the flagship beside them."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.contenders import Encoded, Samples
from hscodec.codec.files import decode_file, encode_file
from hscodec.codec.fit import FitConfig
from hscodec.codec.fit_file import fit_file
from hscodec.container.codes import Storage
from hscodec.container.reader import open_container
from hscodec.registry import AnyModel, load_model


@dataclass(frozen=True)
class FileCodec:
    """A way to make a `.hsnd` file of a clip.

    Attributes:
        name: Name in tables.
        setting: What is varied: bits of a number, or the quality.
        version: Which model, or how long the fit.
        write: Called with the path of a WAV file and that of the `.hsnd` file to write.
        model: The model that decoding needs, None where the file is complete.
    """

    name: str
    setting: float
    version: str
    write: Callable[[Path, Path], object]
    model: AnyModel | None = None

    def encode(self, samples: Samples, sample_rate: int) -> Encoded:
        """Encode one clip of shape [C, T] by way of a float WAV file."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "clip.wav"), Path(folder, "clip.hsnd")
            soundfile.write(source, samples.T, sample_rate, subtype="FLOAT")
            self.write(source, target)
            blob = target.read_bytes()
        return Encoded(blob, len(blob), sample_rate, *samples.shape)

    def decode(self, encoded: Encoded) -> tuple[Samples, int]:
        """Return the decoded clip [C, T], and how many numbers its segments store in each channel."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "clip.hsnd"), Path(folder, "clip.wav")
            source.write_bytes(encoded.blob)
            decode_file(source, target, model=self.model, subtype="FLOAT", device="cpu")
            frames, _ = soundfile.read(target, dtype="float32", always_2d=True)
            with open_container(source) as container:
                header = container.header
        segments = -(-encoded.num_samples // int(header.hop_seconds * encoded.sample_rate))
        return np.ascontiguousarray(frames.T, dtype=np.float32), segments * header.num_weights


def generated(name: str, path: Path, storage: Storage, bits: int) -> FileCodec:
    """Return what encodes with a trained model of the family."""
    model = load_model(path)

    def write(source: Path, target: Path) -> object:
        return encode_file(source, target, model=model, storage=storage, bits=bits, device="cpu")

    stored = "latent" if storage is Storage.BOTTLENECK else "weights"
    return FileCodec(f"{name}, {stored}", bits, f"model {model.sha256[:16]}", write, model)


def fitted(name: str, config: FitConfig) -> FileCodec:
    """Return what fits networks to each clip by gradient descent."""

    def write(source: Path, target: Path) -> object:
        return fit_file(source, target, config=config, device="cpu")

    return FileCodec(name, config.bits, f"{config.steps} steps", write)


def flagship(name: str, quality: float) -> FileCodec:
    """Return what encodes with a model of the flagship family."""
    model = load_model(name)

    def write(source: Path, target: Path) -> object:
        return encode_file(source, target, model=model, quality=quality, device="cpu")

    return FileCodec(name, quality, f"model {model.sha256[:16]}", write, model)
