"""The scale network and the latent prior as the integers that coding needs."""

import numpy as np
import torch

from hscodec.coding.fixedpoint import (
    ACTIVATION_BITS,
    LATENT_STEP_BITS,
    PREDICTION_BITS,
    WEIGHT_BITS,
    FixedPointTables,
)
from hscodec.errors import ModelError
from hscodec.hypernet.scale import OUTPUT_GAIN
from hscodec.model import Hypernetwork


def fixed_point_tables(network: Hypernetwork) -> FixedPointTables:
    """Round the scale network and the latent prior to integers.

    Raises:
        ModelError: A value is not finite, or too large.
    """
    scale, prior = network.scale, network.prior
    bias_bits = ACTIVATION_BITS + WEIGHT_BITS

    def weight(tensor: torch.Tensor) -> np.ndarray:
        return _rounded32(tensor, WEIGHT_BITS)

    def convolution(tensor: torch.Tensor) -> np.ndarray:
        """[W_out, W_in, taps] to [taps * W_in, W_out], the order of `fixedpoint`'s stacked windows."""
        return weight(tensor.permute(2, 1, 0).reshape(-1, tensor.shape[0]))

    return FixedPointTables(
        prediction=_rounded32(prior.prediction(), PREDICTION_BITS),
        latent_step=_rounded32(prior.step_knots(), LATENT_STEP_BITS),
        enter=convolution(scale.enter.weight),
        enter_bias=_rounded(scale.enter_bias, bias_bits),
        latent_mix=convolution(scale.latent_mix.weight),
        latent_mix_bias=_rounded(_bias(scale.latent_mix), bias_bits),
        unpair=weight(scale.unpair.weight.T),
        unpair_bias=_rounded(_bias(scale.unpair), bias_bits),
        segment_mix=convolution(scale.segment_mix.weight),
        segment_mix_bias=_rounded(_bias(scale.segment_mix), bias_bits),
        leave=weight(OUTPUT_GAIN * scale.leave.weight.T),
        leave_bias=_rounded(OUTPUT_GAIN * scale.leave_bias, bias_bits),
    )


def _bias(layer: torch.nn.Module) -> torch.Tensor:
    bias = layer.bias
    assert isinstance(bias, torch.Tensor)
    return bias


def _rounded(tensor: torch.Tensor, bits: int) -> np.ndarray:
    values = np.round(tensor.detach().double().cpu().numpy() * 2**bits)
    if not (np.abs(values) < 2.0**62).all():
        raise ModelError("the scale network holds values that are not finite, or too large")
    return values.astype(np.int64)


def _rounded32(tensor: torch.Tensor, bits: int) -> np.ndarray:
    # Clipped, not wrapped, so that the tables' own check sees what is too large.
    return np.clip(_rounded(tensor, bits), -(2**31), 2**31 - 1).astype(np.int32)
