import math

import pytest
import torch

from hscodec.inr.dct import dct4


def random_values(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [2, 4, 6, 10, 64, 882, 960])
def test_it_is_the_documented_sum(size):
    values = random_values(2, 3, size)
    places = torch.arange(size, dtype=torch.float64) + 0.5
    expected = values @ torch.cos(math.pi / size * torch.outer(places, places))
    torch.testing.assert_close(dct4(values), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_it_undoes_itself(dtype, tolerance):
    values = random_values(5, 960, dtype=dtype)
    again = dct4(dct4(values)) * (2 / 960)
    assert again.dtype == dtype
    torch.testing.assert_close(again, values, rtol=0, atol=tolerance * values.abs().max().item())


def test_gradients_reach_what_is_transformed_after_inference_was_first():
    values = random_values(14)
    with torch.inference_mode():
        dct4(values.clone())
    assert torch.autograd.gradcheck(dct4, values.requires_grad_())
