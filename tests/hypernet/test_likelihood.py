import math

import pytest
import torch

from hscodec.hypernet.likelihood import symbol_bits


@pytest.mark.parametrize("dead_zone", [0.5, 0.42])
@pytest.mark.parametrize("log_scale", [-6.0, -1.0, 0.0, 2.0])
def test_symbol_bits_are_probabilities(log_scale, dead_zone):
    symbols = torch.arange(-4000, 4001, dtype=torch.float64)
    probability = 2 ** -symbol_bits(symbols, torch.full_like(symbols, log_scale), dead_zone)
    assert probability.sum().item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(probability, probability.flip(0))


def test_symbol_bits_are_the_mixture_over_the_bins_of_the_quantiser():
    dead_zone, log_scale = 0.42, 0.3

    def mass(lower: float, upper: float) -> float:
        total = 0.0
        for share, shift in ((0.85, -0.6), (0.15, 1.0)):
            scale = math.exp(log_scale + shift)
            total += share * (1 / (1 + math.exp(-upper / scale)) - 1 / (1 + math.exp(-lower / scale)))
        return total

    symbols = torch.tensor([0.0, 1.0, -3.0], dtype=torch.float64)
    expected = [-math.log2(mass(*edges)) for edges in ((-0.58, 0.58), (0.58, 1.58), (2.58, 3.58))]
    bits = symbol_bits(symbols, torch.full_like(symbols, log_scale), dead_zone)
    assert bits.tolist() == pytest.approx(expected)


def test_gradients_are_finite_in_the_tails_and_zeros_do_not_pull():
    symbols = torch.tensor([0.0, 1e3, -1e6], requires_grad=True)
    scales = torch.full((3,), -6.0, requires_grad=True)
    symbol_bits(symbols, scales, 0.45).sum().backward()
    assert symbols.grad is not None and scales.grad is not None
    assert symbols.grad.isfinite().all() and scales.grad.isfinite().all()
    assert symbols.grad[0] == 0
    assert symbols.grad[1] > 0 > symbols.grad[2]
