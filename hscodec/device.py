"""Choosing where networks run. torch is imported inside functions, so that the light commands start without it."""

from typing import TYPE_CHECKING

from hscodec.errors import HscodecError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> "torch.device":
    """Return a torch device by name.

    Args:
        name: `auto` (CUDA, then Apple's MPS, then the CPU), `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        HscodecError: No such device here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise HscodecError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HscodecError(f"device {name!r} is not available: {torch.cuda.device_count()} CUDA devices found")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise HscodecError("device 'mps' is not available")
    if device.type not in ("cpu", "cuda", "mps"):
        raise HscodecError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    return device
