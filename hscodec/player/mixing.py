"""How the channels of a sound go to those of an audio device; no torch.

A `.hsnd` file does not say where its channels belong. They are taken to be in the order of FLAC (RFC 9639, section
9.1.3), which is that of WAV as well wherever WAV has a usual one.
"""

from math import sqrt

import numpy as np

_LAYOUTS = (
    "FL FR FC",
    "FL FR BL BR",
    "FL FR FC BL BR",
    "FL FR FC LFE BL BR",
    "FL FR FC LFE BC SL SR",
    "FL FR FC LFE BL BR SL SR",
)
"""Three to eight channels: front, back and side, left, right and centre, and low-frequency effects."""

_HALF_POWER = 1 / sqrt(2)
_TO_STEREO = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FC": (_HALF_POWER, _HALF_POWER),
    "BC": (0.5, 0.5),
    "BL": (_HALF_POWER, 0.0),
    "BR": (0.0, _HALF_POWER),
    "SL": (_HALF_POWER, 0.0),
    "SR": (0.0, _HALF_POWER),
    "LFE": (0.0, 0.0),
}
"""Shares in left and right as in ITU-R BS.775, which leaves the low-frequency effects out as other players do."""


def num_played(num_channels: int, num_available: int) -> int:
    """Return to how many channels of a device a sound goes.

    To as many as it has, if the device has so many; else to two, or to one where there is but one. One channel goes to
    two where it can: not every device plays a single one in the middle.

    Args:
        num_channels: Those of the sound, 1 to 8.
        num_available: Those of the device, at least 1.
    """
    return num_channels if 1 < num_channels <= num_available else min(2, num_available)


def mixing_matrix(num_channels: int, num_outputs: int) -> np.ndarray | None:
    """Return the shares of a sound's channels in those of the output; None if it is played as it is.

    No row adds up to more than 1, so what does not clip by itself does not clip when mixed.

    Args:
        num_channels: Those of the sound, 1 to 8.
        num_outputs: From `num_played`.

    Shape:
        returns: [outputs, channels] float32
    """
    if num_channels == num_outputs:
        return None
    if num_channels == 1:
        return np.ones((num_outputs, 1), np.float32)
    stereo = np.eye(2)
    if num_channels > 2:
        stereo = np.array([_TO_STEREO[place] for place in _LAYOUTS[num_channels - 3].split()]).T
        stereo /= stereo.sum(1).max()
    mixed = stereo if num_outputs == 2 else stereo.mean(0, keepdims=True)
    return mixed.astype(np.float32)
