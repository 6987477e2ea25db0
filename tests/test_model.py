import pytest
import torch

from hscodec.model import CODING_DEAD_ZONE, MAX_SYMBOL, WEIGHT_UNIT, Hypernetwork, Precision, round_with_dead_zone
from hscodec.model import straight_through as pass_straight_through

CHANNELS, SEGMENTS, NUM_WEIGHTS = 3, 8, 960


@pytest.fixture
def theta():
    generator = torch.Generator().manual_seed(0)
    falling = torch.exp(-torch.arange(NUM_WEIGHTS) / 150)
    return 0.2 * torch.randn(CHANNELS, SEGMENTS, NUM_WEIGHTS, generator=generator) * falling


@pytest.fixture
def mask():
    counts = torch.tensor([160, 320, 960])
    return (torch.arange(NUM_WEIGHTS) < counts[:, None])[:, None, :].float()


def run(network: Hypernetwork, theta, mask):
    torch.manual_seed(0)
    return network(theta, torch.tensor([0.0, 5.5, 10.0]), mask)


def test_forward_shapes(tiny_network, theta, mask):
    output = run(tiny_network, theta, mask)
    assert output.theta.shape == output.stored.shape == theta.shape
    assert output.latent_bits.shape == output.weight_bits.shape == (CHANNELS,)


def test_forward_respects_the_mask(tiny_network, theta, mask):
    output = run(tiny_network, theta, mask)
    above = mask.expand_as(theta) == 0
    assert not output.theta[above].any()
    assert not output.stored[above].any()
    assert output.theta[~above].count_nonzero() > 0
    louder = run(tiny_network, theta, torch.ones_like(mask))
    assert (louder.weight_bits > output.weight_bits)[:2].all()


def test_rate_is_positive(tiny_network, theta, mask):
    for scale in (0.0, 1.0, 30.0):
        output = run(tiny_network, theta * scale, mask)
        assert (output.latent_bits > 0).all()
        assert (output.weight_bits > 0).all()


def test_gradients_reach_every_parameter(tiny_network, theta, mask):
    network = Hypernetwork(tiny_network.config)
    network.load_state_dict(tiny_network.state_dict())
    output = run(network, theta, mask)
    (output.theta.square().sum() + output.stored.square().sum() + output.latent_bits.sum() * 1e-3).backward(
        retain_graph=True
    )
    output.weight_bits.sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_coding_steps_have_the_shapes_they_promise(tiny_network, theta):
    latent = tiny_network.encode_latent(theta, 6.25)
    assert latent.shape == (CHANNELS, SEGMENTS // 2, 4)
    assert latent.dtype == torch.int32
    precision = tiny_network.decode_precision(latent, 6.25)
    assert precision.step.shape == theta.shape
    assert precision.features.shape == (CHANNELS, SEGMENTS, tiny_network.config.width)
    assert (precision.step > 0).all()


@pytest.mark.parametrize("num_weights", [1, 160, 320, 960])
def test_quantize_and_refine_for_any_bandwidth(tiny_network, theta, num_weights):
    theta[..., num_weights:] = 0
    latent = tiny_network.encode_latent(theta, 5.0)
    precision = tiny_network.decode_precision(latent, 5.0)
    symbols = tiny_network.quantize(theta[..., :num_weights], precision)
    assert symbols.shape == (CHANNELS, SEGMENTS, num_weights)
    assert symbols.dtype == torch.int32
    refined = tiny_network.refine(symbols, precision, 5.0)
    assert refined.shape == symbols.shape
    whole = tiny_network.refine(tiny_network.quantize(theta, precision), precision, 5.0)
    torch.testing.assert_close(refined, whole[..., :num_weights])
    latent_bits, weight_bits = tiny_network.ideal_bits(latent, symbols, 5.0)
    assert 0 < latent_bits < float("inf")
    assert 0 < weight_bits < float("inf")


def test_refinement_sees_no_further_than_its_context(tiny_network):
    """Decoding in windows relies on this, exactly."""
    config = tiny_network.config
    segments, context = 40, config.refine_context
    assert context == 4
    generator = torch.Generator().manual_seed(1)
    symbols = torch.randint(-3, 4, (1, segments, NUM_WEIGHTS), generator=generator)
    step = torch.rand(1, segments, NUM_WEIGHTS, generator=generator)
    features = torch.randn(1, segments, config.width, generator=generator)
    reference = tiny_network.refine(symbols, Precision(step, features), 5.0)
    symbols[:, 20] += 1
    features[:, 20] += 1
    changed = (tiny_network.refine(symbols, Precision(step, features), 5.0) != reference).any(-1)[0].nonzero()
    assert changed.flatten().tolist() == list(range(20 - context, 21 + context))


@pytest.mark.parametrize("used", [0, 1, 37, 320])
def test_where_all_symbols_are_zero_they_are_left_out_of_products_and_nothing_else(tiny_network, theta, used):
    symbols, precision = coded(tiny_network, theta, 5.0)
    symbols[..., used:] = 0
    if used:
        symbols[-1, -1, used - 1] = 2
    with torch.no_grad():
        without = tiny_network.refine(symbols, precision, 5.0)
    with torch.enable_grad():  # what is trained looks at all of them
        everything = tiny_network.refine(symbols, precision, 5.0)
    torch.testing.assert_close(without, everything.detach())
    assert without[..., used:].any() or used == symbols.shape[-1]  # what is filled in


def coded(network, theta, quality):
    precision = network.decode_precision(network.encode_latent(theta, quality), quality)
    return network.quantize(theta, precision), precision


def test_quality_may_be_given_for_each_channel_or_segment(tiny_network, theta):
    symbols, precision = coded(tiny_network, theta, 5.0)
    expected = tiny_network.refine(symbols, precision, 5.0)
    for shape in ((CHANNELS,), (CHANNELS, 1), (CHANNELS, SEGMENTS)):
        torch.testing.assert_close(tiny_network.refine(symbols, precision, torch.full(shape, 5.0)), expected)


def test_each_channel_is_coded_at_its_quality(tiny_network, theta):
    qualities = [1.0, 5.5, 10.0]
    symbols, precision = coded(tiny_network, theta, torch.tensor(qualities))
    refined = tiny_network.refine(symbols, precision, torch.tensor(qualities))
    each = torch.tensor(qualities)[:, None].expand(-1, SEGMENTS)
    torch.testing.assert_close(tiny_network.refine(symbols, precision, each), refined)
    for channel, quality in enumerate(qualities):
        one = slice(channel, channel + 1)
        torch.testing.assert_close(coded(tiny_network, theta[one], quality)[1].step, precision.step[one])
        alone = tiny_network.refine(symbols[one], Precision(precision.step[one], precision.features[one]), quality)
        torch.testing.assert_close(alone, refined[one], rtol=1e-4, atol=1e-5)


def test_the_quality_of_a_segment_matters_within_its_context(tiny_network):
    segments, context = 40, tiny_network.config.refine_context
    generator = torch.Generator().manual_seed(1)
    symbols = torch.randint(-3, 4, (2, segments, NUM_WEIGHTS), generator=generator)
    step = torch.rand(2, segments, NUM_WEIGHTS, generator=generator)
    precision = Precision(step, torch.randn(2, segments, tiny_network.config.width, generator=generator))
    quality = torch.full((2, segments), 5.0)
    reference = tiny_network.refine(symbols, precision, quality)
    quality[1, 20] = 2.0
    changed = (tiny_network.refine(symbols, precision, quality) != reference).any(-1)
    assert not changed[0].any()
    assert changed[1].nonzero().flatten().tolist() == list(range(20 - context, 21 + context))


def test_steps_fall_with_quality(tiny_network, theta):
    latent = tiny_network.encode_latent(theta, 5.0)
    means = [tiny_network.decode_precision(latent, quality).step.log().mean().item() for quality in (0.0, 5.0, 10.0)]
    assert means == sorted(means, reverse=True)


def test_quantize_undoes_to_within_a_step(tiny_network, theta):
    precision = tiny_network.decode_precision(tiny_network.encode_latent(theta, 8.0), 8.0)
    symbols = tiny_network.quantize(theta, precision)
    error = (theta * WEIGHT_UNIT / precision.step - symbols).abs()
    assert error.max() <= 1 - CODING_DEAD_ZONE + 1e-3


def test_symbols_are_clamped(tiny_network):
    theta = torch.full((1, 2, NUM_WEIGHTS), 1e30)
    latent = tiny_network.encode_latent(theta, 5.0)
    assert latent.abs().max() <= MAX_SYMBOL
    symbols = tiny_network.quantize(theta, tiny_network.decode_precision(latent, 5.0))
    assert symbols.abs().max() == MAX_SYMBOL


def test_dead_zone():
    values = torch.tensor([-1.6, -0.58, -0.5, 0.0, 0.5, 0.57, 0.59, 1.57, 1.59])
    assert round_with_dead_zone(values, 0.42).tolist() == [-2, -1, 0, 0, 0, 0, 1, 1, 2]


def test_straight_through():
    value = torch.tensor([0.3, 1.7], requires_grad=True)
    rounded = pass_straight_through(value, value.round())
    assert rounded.tolist() == [0, 2]
    (rounded * torch.tensor([2.0, 3.0])).sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == [2, 3]


@pytest.mark.parametrize("margins", [(0, 0), (4, 4), (4, 0), (1, 6), (9, 2)])
def test_margins_are_seen_and_not_refined(tiny_network, margins):
    """Two blocks of five taps see four segments on either side."""
    symbols = torch.randint(-3, 4, (2, 16, 40), dtype=torch.int32)
    precision = Precision(torch.rand(2, 16, 960), torch.randn(2, 16, 16))
    with torch.inference_mode():
        expected = tiny_network.refine(symbols, precision, 5.0)[:, margins[0] : 16 - margins[1]]
        refined = tiny_network.refine(symbols, precision, 5.0, margins=margins)
    torch.testing.assert_close(refined, expected)
