import pytest
import torch

from hscodec.inr.slopes import differentiable


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_sums_over_channels_in_the_precision_of_the_times(dtype):
    times = torch.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)
    values = torch.stack([times.detach() ** 2, 5 * times.detach()]).float()
    slopes = torch.stack([2 * times.detach(), torch.full((3,), 5.0)]).float()
    result = differentiable(times, values, slopes)
    assert torch.equal(result, values)
    (result * torch.tensor([[1.0], [10.0]])).sum().backward()
    assert times.grad.dtype == dtype
    assert times.grad.tolist() == [52, 54, 56]


def test_one_function_of_time_needs_no_channels():
    times = torch.ones(2, requires_grad=True)
    differentiable(times, torch.zeros(2), torch.tensor([3.0, 4.0])).sum().backward()
    assert times.grad.tolist() == [3, 4]


def test_a_second_derivative_is_refused():
    times = torch.ones(2, requires_grad=True)
    result = differentiable(times, torch.zeros(2), torch.ones(2)).square().sum()
    (gradient,) = torch.autograd.grad(result, times, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
