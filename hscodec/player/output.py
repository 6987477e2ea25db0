"""The audio device, through sounddevice and PortAudio; only this module knows them, and it loads no torch."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hscodec.errors import HscodecError

if TYPE_CHECKING:
    import numpy as np

    from hscodec.player.player import Player


@dataclass(frozen=True)
class OutputDevice:
    """An audio device.

    Attributes:
        name: As the system calls it.
        rate: The rate that it prefers (Hz).
        num_channels: How many it has.
    """

    name: str
    rate: Fraction
    num_channels: int


def default_device() -> OutputDevice:
    """Return the device that the system plays on.

    Raises:
        HscodecError: There is none, or sounddevice or PortAudio are not installed.
    """
    sounddevice = _sounddevice()
    try:
        about = sounddevice.query_devices(kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise HscodecError(f"there is no audio device to play on: {_reason(error)}") from error
    return OutputDevice(str(about["name"]), Fraction(about["default_samplerate"]), int(about["max_output_channels"]))


@contextlib.contextmanager
def playing(player: "Player", *, rate: Fraction | float, num_outputs: int) -> Iterator[threading.Event]:
    """Play on the default device while the block runs; what was not heard by its end is not played.

    Args:
        player: What is played; it is entered already.
        rate: That of the player's sound (Hz).
        num_outputs: The player's.

    Yields:
        An event that is set when the last sample was heard, or when the device gave up.

    Raises:
        HscodecError: The device does not take the rate or the channels, or somebody else has it; or it stopped before
            the sound did.
    """
    sounddevice = _sounddevice()
    finished, was_last = threading.Event(), threading.Event()

    def fill(frames: "np.ndarray", _num_frames: int, _time: Any, _status: Any) -> None:
        if not player.fill(frames):
            was_last.set()
            raise sounddevice.CallbackStop  # plays these frames, then stops

    with contextlib.ExitStack() as stack:
        try:
            stream = sounddevice.OutputStream(
                samplerate=float(rate),
                channels=num_outputs,
                dtype="float32",
                callback=fill,
                finished_callback=finished.set,
            )
            stack.callback(stream.close)
            stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            what = f"{float(rate):g} Hz in {num_outputs} channel{'' if num_outputs == 1 else 's'}"
            raise HscodecError(f"the audio device does not play {what}: {_reason(error)}") from error
        stack.callback(stream.abort)
        yield finished
        if finished.is_set() and not was_last.is_set():
            raise HscodecError("the audio device stopped before the sound did")


def _sounddevice() -> Any:
    """Return the package.

    Raises:
        HscodecError: It is not installed, or does not find PortAudio.
    """
    try:
        return import_module("sounddevice")
    except ImportError as error:
        raise HscodecError("playing needs the package sounddevice: pip install 'hscodec[play]'") from error
    except OSError as error:
        advice = "install it, on Debian and Ubuntu with: apt install libportaudio2"
        raise HscodecError(f"playing needs the library PortAudio, which was not found; {advice}") from error


def _reason(error: Exception) -> str:
    """Return what the device said; the other arguments of a PortAudio error are numbers."""
    return str(error.args[0] if error.args else error)
