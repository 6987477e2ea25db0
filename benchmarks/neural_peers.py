"""Speed of two neural codecs, with random weights: how fast a network runs does not depend on what it has learnt.

The networks are those of the packages `encodec` and `descript-audio-codec`, in the shape that their pretrained models
have, built without downloading any. Both packages import others for reading files and for training, torchaudio and
audiotools, of which there may be no version for the torch that is installed; where one is missing, an empty stand-in
takes its place for the import. Nothing of it is used in what is measured: arrays in, codes out, and back.
"""

import importlib
import sys
import warnings
from importlib import metadata
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import nn

from benchmarks.contenders import Samples
from hscodec.errors import HscodecError


class NeuralPeer(Protocol):
    """A neural codec that can be timed.

    Attributes:
        name: The package.
        sample_rate: Rate of its sound (Hz).
        kbps: Rate of its codes (kbit/s).
    """

    name: str
    sample_rate: int
    kbps: float

    def encode(self, samples: Samples) -> Any:
        """Return the codes of mono sound [1, T]."""
        ...

    def decode(self, codes: Any) -> None:
        """Turn codes into samples."""
        ...


class Encodec:
    """EnCodec for 24 kHz mono at 6 kbit/s (Defossez et al. 2022)."""

    name = "encodec"
    sample_rate = 24_000
    kbps = 6.0

    def __init__(self) -> None:
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # made for an older torch
            package = _imported("encodec", ("torchaudio", "torchaudio.transforms"))
            self._model = package.EncodecModel.encodec_model_24khz(pretrained=False).eval()
        self._model.set_target_bandwidth(self.kbps)

    def encode(self, samples: Samples) -> Any:
        """Return the codes of mono sound [1, T]."""
        with torch.inference_mode():
            return self._model.encode(torch.from_numpy(samples)[None])

    def decode(self, codes: Any) -> None:
        """Turn codes into samples."""
        with torch.inference_mode():
            self._model.decode(codes)


class DescriptAudioCodec:
    """DAC for 44.1 kHz mono at 7.7 kbit/s (Kumar et al. 2023)."""

    name = "descript-audio-codec"
    sample_rate = 44_100
    kbps = 44_100 / 512 * 9 * 10 / 1000

    def __init__(self) -> None:
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # made for an older torch
            package = _imported("dac", ("audiotools", "audiotools.ml", "argbind"))
            self._model = package.DAC().eval()

    def encode(self, samples: Samples) -> Any:
        """Return the codes of mono sound [1, T]."""
        with torch.inference_mode():
            return self._model.encode(self._model.preprocess(torch.from_numpy(samples)[None], self.sample_rate))[1]

    def decode(self, codes: Any) -> None:
        """Turn codes into samples."""
        with torch.inference_mode():
            self._model.decode(self._model.quantizer.from_codes(codes)[0])


def version(peer: NeuralPeer) -> str:
    """Return package and version."""
    return f"{peer.name} {metadata.version(peer.name)}, random weights"


class _Anything(nn.Module):
    """Stands for a class that is named where a module is defined, and never used."""

    INTERN: list[str] = []
    EXTERN: list[str] = []


def _imported(name: str, not_needed: tuple[str, ...]) -> ModuleType:
    """Import a package, with stand-ins for those modules that it imports, does not need here, and that are missing.

    Raises:
        HscodecError: The package is not installed, or cannot be imported.
    """
    for module in not_needed:
        try:
            importlib.import_module(module)
        except (ImportError, OSError):
            sys.modules[module] = _StandIn(module)
            parent, _, child = module.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[module])
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise HscodecError(f"{name} cannot be imported ({error}); see benchmarks/README.md") from error


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _bound if name == "bind" else _Anything


def _bound(*arguments: Any, **_: Any) -> Any:
    """Stand for a decorator, with or without arguments."""
    return arguments[0] if arguments and callable(arguments[0]) else lambda function: function
