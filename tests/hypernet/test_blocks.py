import pytest
import torch

from hscodec.hypernet.blocks import (
    ConvNextBlock,
    compress_amplitude,
    conv_next_stack,
    interpolate_knots,
    pair_segments,
    split_pairs,
)


def test_a_new_block_is_the_identity():
    inputs = torch.randn(2, 9, 6)
    torch.testing.assert_close(conv_next_stack(6, 5, 3)(inputs), inputs)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_block_sees_half_its_kernel_on_either_side(kernel):
    block = ConvNextBlock(4, kernel)
    torch.nn.init.normal_(block.project.weight)
    inputs = torch.randn(1, 21, 4, requires_grad=True)
    block(inputs)[0, 10].sum().backward()
    assert inputs.grad is not None
    seen = inputs.grad[0].abs().sum(1).nonzero().flatten().tolist()
    assert seen == list(range(10 - kernel // 2, 11 + kernel // 2))


def test_pairs_keep_time_order():
    features = torch.arange(12.0).reshape(1, 4, 3)
    pairs = pair_segments(features)
    assert pairs.tolist() == [[[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]]
    assert torch.equal(split_pairs(pairs), features)


def test_amplitudes_are_compressed():
    values = compress_amplitude(torch.tensor([0.0, 1.0, -1.0, 32.0, -32.0]))
    torch.testing.assert_close(values, torch.tensor([0.0, 1.0, -1.0, 4.0, -4.0]))


def test_interpolation_between_knots():
    knots = torch.stack([torch.arange(11.0), torch.arange(11.0) ** 2], 1)
    quality = torch.tensor([0.0, 0.5, 3.0, 9.25, 10.0])
    values = interpolate_knots(knots, quality)
    assert values.shape == (5, 1, 2)
    torch.testing.assert_close(values[:, 0, 0], quality)
    torch.testing.assert_close(values[:, 0, 1], torch.tensor([0.0, 0.5, 9.0, 81 + 0.25 * 19, 100.0]))


@pytest.mark.parametrize("shape", [(1, 9, 6), (3, 8, 6)])
def test_without_gradients_it_is_the_same_block(shape):
    block = ConvNextBlock(6, 5)
    torch.nn.init.normal_(block.project.weight)
    inputs = torch.randn(shape)
    expected = block(inputs)
    with torch.inference_mode():
        torch.testing.assert_close(block(inputs), expected)
        torch.testing.assert_close(block(inputs, (2, 3)), expected[:, 2:-3])
        torch.testing.assert_close(block(inputs.transpose(0, 1)[:, :1]), block(inputs.transpose(0, 1)[:, :1].clone()))
