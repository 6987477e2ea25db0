import math

import pytest
import torch

from hscodec.hypernet.likelihood import logistic_bits
from hscodec.hypernet.precision import LatentPrior


def test_logistic_bits_are_probabilities():
    values = torch.arange(-4000, 4001, dtype=torch.float64)
    for log_scale in (-4.0, -1.0, 0.0, 2.0, 5.0):
        probability = 2 ** -logistic_bits(values, torch.full_like(values, log_scale))
        assert probability.sum().item() == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(probability, probability.flip(0))


@pytest.mark.parametrize(("value", "log_scale"), [(0.0, 0.0), (1.0, 0.5), (-3.0, 1.0), (0.25, -2.0)])
def test_logistic_bits_are_the_integral(value, log_scale):
    scale = math.exp(log_scale)
    upper, lower = ((value + half) / scale for half in (0.5, -0.5))
    probability = 1 / (1 + math.exp(-upper)) - 1 / (1 + math.exp(-lower))
    bits = logistic_bits(torch.tensor(value, dtype=torch.float64), torch.tensor(log_scale, dtype=torch.float64))
    assert bits.item() == pytest.approx(-math.log2(probability))


@pytest.mark.parametrize("value", [0.0, 1e3, -1e6])
@pytest.mark.parametrize("log_scale", [-6.0, 6.0])
def test_logistic_bits_and_gradient_are_finite_in_the_tails(value, log_scale):
    values = torch.tensor([value], requires_grad=True)
    scales = torch.tensor([log_scale], requires_grad=True)
    bits = logistic_bits(values, scales)
    bits.sum().backward()
    assert bits.isfinite().all()
    assert bits.item() >= 0
    for variable in (values, scales):
        assert variable.grad is not None
        assert variable.grad.isfinite().all()


def test_prior_predicts_from_the_symbol_before(tiny_network):
    prior: LatentPrior = tiny_network.prior
    latent = torch.randint(-9, 10, (2, 6, 4)).float()
    previous = torch.cat([torch.zeros(2, 1, 4), latent[:, :-1]], 1)
    quality = torch.tensor([3.0, 7.5])
    shifted = prior.bits(latent + prior.prediction() * 5, previous + 5, quality)
    torch.testing.assert_close(shifted, prior.bits(latent, previous, quality), rtol=1e-4, atol=1e-4)
    assert ((prior.prediction() > 0) & (prior.prediction() < 1)).all()
    assert prior.step(quality).shape == (2, 1, 4)
