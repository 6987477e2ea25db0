"""Exact integer evaluation of what stands between bytes and symbols: latent prediction and scale classes.

Floating-point networks give different last bits on different machines, and an entropy coder driven by them writes files
that open nowhere else. Here every value is an integer. Matrix products are evaluated in float64, which holds integers
below 2^53 exactly; every partial sum stays below that bound, so any BLAS, any thread count and any order of summation
gives the same integers.

Numbers are fixed point: activations have ACTIVATION_BITS fractional bits, weights WEIGHT_BITS. A layer computes

    y = floor((W x + b) / 2^WEIGHT_BITS),   b with ACTIVATION_BITS + WEIGHT_BITS fractional bits
"""

import sys
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from hscodec.coding.order import NUM_CLASSES, NUM_FINE_CLASSES
from hscodec.errors import ModelError

NUM_QUALITY_KNOTS = 11
ACTIVATION_BITS = 10
WEIGHT_BITS = 12
LATENT_STEP_BITS = 10
PREDICTION_BITS = 8
_MAX_ACTIVATION = 2**22
_MAX_WEIGHT = 2**16
_MAX_BIAS = 2**44
_MAX_FAN_IN = 2**13
_MAX_LATENT = 2**20
_FINE_CLASS_WIDTH = 12 * 2**ACTIVATION_BITS // NUM_FINE_CLASSES  # classes divide log scales from -6 to 6 evenly
_FINE_PER_CLASS = NUM_FINE_CLASSES // NUM_CLASSES
_LOWEST = 6 * 2**ACTIVATION_BITS


@dataclass(frozen=True)
class FixedPointTables:
    """The integers that encoder and decoder share; part of the model file.

    All arrays are integers (int32; biases int64). W is the scale network's width, Z the latent's channels, K the
    weights of one segment, Q = 11 whole qualities.

    Attributes:
        prediction: a_z, coefficient of the latent's time prediction in 1/256, 0 to 256, [Z].
        latent_step: Latent quantiser step at each whole quality in 1/1024, [Q, Z].
        enter: Convolution over 5 latent steps, [5 Z, W].
        enter_bias: [Q, W].
        latent_mix: Convolution over 3 latent steps, [3 W, W].
        latent_mix_bias: [W].
        unpair: One latent step to two segments, [W, 2 W].
        unpair_bias: [2 W].
        segment_mix: Convolution over 3 segments, [3 W, W].
        segment_mix_bias: [W].
        leave: [W, K].
        leave_bias: [Q, K].

    Raises:
        ModelError: A table has the wrong type or shape, or holds a value with which sums might not be exact.
    """

    prediction: np.ndarray
    latent_step: np.ndarray
    enter: np.ndarray
    enter_bias: np.ndarray
    latent_mix: np.ndarray
    latent_mix_bias: np.ndarray
    unpair: np.ndarray
    unpair_bias: np.ndarray
    segment_mix: np.ndarray
    segment_mix_bias: np.ndarray
    leave: np.ndarray
    leave_bias: np.ndarray

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_values(field.name, getattr(self, field.name))
        if self.prediction.min() < 0 or self.prediction.max() > 2**PREDICTION_BITS:
            raise ModelError(f"fixed-point table prediction holds values outside 0 to {2**PREDICTION_BITS}")
        channels, width, num_weights = self.prediction.size, self.unpair.shape[0], self.leave.shape[-1]
        expected = {
            "prediction": (channels,),
            "latent_step": (NUM_QUALITY_KNOTS, channels),
            "enter": (5 * channels, width),
            "enter_bias": (NUM_QUALITY_KNOTS, width),
            "latent_mix": (3 * width, width),
            "latent_mix_bias": (width,),
            "unpair": (width, 2 * width),
            "unpair_bias": (2 * width,),
            "segment_mix": (3 * width, width),
            "segment_mix_bias": (width,),
            "leave": (width, num_weights),
            "leave_bias": (NUM_QUALITY_KNOTS, num_weights),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ModelError(f"fixed-point table {name} has the shape {getattr(self, name).shape}, not {shape}")
            if name in _MATRICES and shape[0] > _MAX_FAN_IN:
                raise ModelError(f"fixed-point table {name} is too wide to be evaluated exactly")
        # |W x| <= 2^16 * 2^22 * 2^13 = 2^51 and |b| <= 2^44: every partial sum stays below 2^53.

    @property
    def latent_channels(self) -> int:
        """Z."""
        return self.prediction.shape[0]

    @property
    def num_weights(self) -> int:
        """K of the scale network's output."""
        return self.leave.shape[1]

    @cached_property
    def matrices(self) -> dict[str, np.ndarray]:
        """The tables with which is multiplied, by name, as float64."""
        return {name: getattr(self, name).astype(np.float64) for name in _MATRICES}


_MATRICES = ("enter", "latent_mix", "unpair", "segment_mix", "leave")


def _check_values(name: str, table: np.ndarray) -> None:
    is_bias = name.endswith("_bias")
    bound = _MAX_BIAS if is_bias else _MAX_WEIGHT
    if table.dtype != (np.int64 if is_bias else np.int32):
        raise ModelError(f"fixed-point table {name} is {table.dtype}, not {'int64' if is_bias else 'int32'}")
    if table.ndim == 0 or table.size == 0:
        raise ModelError(f"fixed-point table {name} is empty")
    if int(table.min()) < -bound or int(table.max()) > bound:
        raise ModelError(f"fixed-point table {name} holds values beyond {bound}")


def latent_residuals(latent: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return r[t] = latent[t] - floor((a latent[t - 1] + 128) / 256), with latent[-1] = 0; it wraps as int32 does.

    Shape:
        latent: [C, S/2, Z] int32
        prediction: [Z]
        returns: [C, S/2, Z] int32
    """
    previous = np.zeros_like(latent, dtype=np.int64)
    previous[:, 1:] = latent[:, :-1]
    return (latent - _predict(previous, prediction)).astype(np.int32)


def latent_from_residuals(residuals: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Undo `latent_residuals`."""
    latent = np.zeros(residuals.shape, np.int32)
    value, prediction = np.zeros((residuals.shape[0], residuals.shape[2]), np.int64), prediction.astype(np.int64)
    for residual, here in zip(residuals.astype(np.int64).swapaxes(0, 1), latent.swapaxes(0, 1), strict=True):
        value = _predict(value, prediction)
        value += residual
        here[:] = value  # it wraps
        value[:] = here
    return latent


def _predict(values: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return what is expected behind the latent values, int64, in their place: small arrays cost more to make."""
    values *= prediction
    values += 2 ** (PREDICTION_BITS - 1)
    values >>= PREDICTION_BITS
    return values


def scale_classes(
    tables: FixedPointTables, latent: np.ndarray, quality_hundredths: int | np.ndarray, num_weights: int
) -> np.ndarray:
    """Return the scale class of every weight symbol, 0 (smallest) to 15; see `fine_scale_classes`."""
    return fine_scale_classes(tables, latent, quality_hundredths, num_weights) // _FINE_PER_CLASS


def fine_scale_classes(
    tables: FixedPointTables, latent: np.ndarray, quality_hundredths: int | np.ndarray, num_weights: int
) -> np.ndarray:
    """Return the fine scale class of every weight symbol, 0 (smallest) to 63, four to each scale class.

    Args:
        tables: The model's integers.
        latent: Latent symbols.
        quality_hundredths: Quality times 100, 0 to 1000, one for all channels or one for each.
        num_weights: K of the file, at most the model's.

    Shape:
        latent: [C, S/2, Z] int32
        returns: [C, S, K] uint8
    """
    quality = np.broadcast_to(np.asarray(quality_hundredths, np.int64), latent.shape[:1])
    step, matrices = _at_quality(tables.latent_step, quality), tables.matrices
    values = np.clip(latent.astype(np.int64), -_MAX_LATENT, _MAX_LATENT) * step >> (LATENT_STEP_BITS - ACTIVATION_BITS)
    hidden = np.clip(values, -_MAX_ACTIVATION, _MAX_ACTIVATION).astype(np.float64)
    hidden = _relu(_layer(_windows(hidden, 5), matrices["enter"], _at_quality(tables.enter_bias, quality)))
    hidden = _residual(hidden, _layer(_windows(hidden, 3), matrices["latent_mix"], tables.latent_mix_bias))
    hidden = _relu(_layer(hidden, matrices["unpair"], tables.unpair_bias))
    hidden = hidden.reshape(hidden.shape[0], 2 * hidden.shape[1], hidden.shape[2] // 2)
    hidden = _residual(hidden, _layer(_windows(hidden, 3), matrices["segment_mix"], tables.segment_mix_bias))
    bias = _at_quality(tables.leave_bias, quality)[..., :num_weights]
    fine_classes = _layer(hidden, matrices["leave"][:, :num_weights], bias)
    fine_classes += _LOWEST
    fine_classes /= _FINE_CLASS_WIDTH
    # Cutting off the fraction of what is not negative is rounding down.
    return np.clip(fine_classes, 0, NUM_FINE_CLASSES - 1, out=fine_classes).astype(np.uint8)


def _at_quality(knots: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Interpolate between the rows of two whole qualities, rounding down: [Q, W] and [C] to [C, 1, W]."""
    lower = np.minimum(quality // 100, knots.shape[0] - 2)
    fraction = (quality - 100 * lower)[:, None]
    values = (knots[lower].astype(np.int64) * (100 - fraction) + knots[lower + 1].astype(np.int64) * fraction) // 100
    return values[:, None]


def _windows(values: np.ndarray, taps: int) -> np.ndarray:
    """Stack each step with its neighbours, zeros beyond the ends: [C, S, W] to [C, S, taps * W]."""
    steps = values.shape[1]
    padded = np.pad(values, ((0, 0), (taps // 2, taps // 2), (0, 0)))
    return np.concatenate([padded[:, tap : tap + steps] for tap in range(taps)], axis=-1)


def _layer(values: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    total = _product(values, weight)
    total += bias
    total *= 2.0**-WEIGHT_BITS
    return np.floor(total, out=total)


def _product(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the matrix product, by torch where it is loaded anyway; sums are exact, so both give the same.

    NumPy's BLAS shares each product with all cores, and what waits there for the next one takes them from other chunks;
    torch keeps to the calling thread where it was told to (`codec.workers`).
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "from_numpy"):  # the latter while another thread imports it
        return values @ matrix
    return (torch.from_numpy(values) @ torch.from_numpy(matrix)).numpy()


def _relu(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, _MAX_ACTIVATION)


def _residual(values: np.ndarray, branch: np.ndarray) -> np.ndarray:
    return np.minimum(values + _relu(branch), _MAX_ACTIVATION)
