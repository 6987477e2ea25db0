"""Each weight mode is its arithmetic, written out; instance weights around the stated values make ordinary networks."""

import pytest
import torch

from hscodec.errors import ConfigError
from hscodec.inr.mlp import Mlp, MlpConfig, MlpKind, initial_std, initial_weights, layer_shapes, num_mlp_weights
from hscodec.inr.weight_modes import InstanceWeights, WeightMode, WeightStart

TINY = MlpConfig(kind="siren", hidden_layers=1, width=2, omega_0=10.0)
"""Two layers, 4 and 3 weights: W = [[1], [2]], b = [3, 4] and W = [[5, 6]], b = [7] in the examples below."""
SHARED = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0])


def joined(modes, instance, config=TINY):
    """Return theta of one segment from the shared weights above."""
    weights = InstanceWeights(layer_shapes(config), modes, config=config)
    with torch.no_grad():
        for index, values in enumerate(SHARED):
            if str(index) in weights.shared:
                weights.shared[str(index)].copy_(torch.tensor(values))
        return weights(torch.tensor([instance])).tolist()[0]


@pytest.mark.parametrize(
    ("modes", "instance", "theta"),
    [
        (("standard", "standard"), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        (("shared", "standard"), [0.5, 0.6, 0.7], [1, 2, 3, 4, 0.5, 0.6, 0.7]),
        (("standard", "shared"), [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4, 5, 6, 7]),
        (
            ("additive", "additive"),
            [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
            [1 + 0.1, 2 + 0.2, 3 + 0.3, 4 + 0.4, 5 + 0.5, 6 + 0.6, 7 + 0.7],
        ),
        (
            ("multiplicative", "multiplicative"),
            [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
            [1 * 0.1, 2 * 0.2, 3 * 0.3, 4 * 0.4, 5 * 0.5, 6 * 0.6, 7 * 0.7],
        ),
        (
            ("multiplicative", "additive"),
            [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
            [1 * 0.1, 2 * 0.2, 3 * 0.3, 4 * 0.4, 5 + 0.5, 6 + 0.6, 7 + 0.7],
        ),
    ],
)
def test_modes_written_out(modes, instance, theta):
    assert joined(modes, instance) == pytest.approx(theta)


def test_the_multiplicative_bias_is_a_factor_on_the_bias():
    """Not on the layer's output: (1 * 0.1) t + 3 * 0.3, not ((1 * 0.1) t + 3) * 0.3."""
    theta = torch.tensor([joined(("multiplicative", "multiplicative"), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])])
    t = torch.tensor(0.5)
    first = torch.sin(10 * (1 * 0.1 * t + 3 * 0.3))
    second = torch.sin(10 * (2 * 0.2 * t + 4 * 0.4))
    expected = 5 * 0.5 * first + 6 * 0.6 * second + 7 * 0.7
    torch.testing.assert_close(Mlp(TINY)(theta, t[None])[0, 0], expected)


def test_segments_have_their_own_instance_weights_and_share_the_others():
    config = MlpConfig(hidden_layers=2, width=5)
    weights = InstanceWeights(layer_shapes(config), ("shared", "additive", "standard"), config=config)
    instance = torch.randn(7, weights.num_instance_weights)
    theta = weights(instance)
    assert theta.shape == (7, num_mlp_weights(config))
    first, second, last = (shape.num_weights for shape in layer_shapes(config))
    assert weights.num_instance_weights == second + last
    assert (theta[:, :first] == theta[0, :first]).all()
    torch.testing.assert_close(theta[3, first:-last] - theta[0, first:-last], (instance[3] - instance[0])[:-last])
    assert torch.equal(theta[:, -last:], instance[:, -last:])


@pytest.mark.parametrize(("mode", "count"), [("standard", 0), ("shared", 1), ("additive", 1), ("multiplicative", 1)])
def test_only_what_is_shared_is_a_parameter(mode, count):
    weights = InstanceWeights(layer_shapes(TINY), (mode, "standard"), config=TINY)
    assert [name for name, _ in weights.named_parameters()] == ["shared.0"] * count


@pytest.mark.parametrize("mode", [mode for mode in WeightMode if mode != WeightMode.SHARED])
def test_gradients_reach_both_sorts_of_weights(mode):
    weights = InstanceWeights(layer_shapes(TINY), (mode, "shared"), config=TINY)
    instance = torch.randn(3, weights.num_instance_weights, requires_grad=True)
    weights(instance).square().sum().backward()
    for tensor in (instance, *weights.parameters()):
        assert tensor.grad is not None and tensor.grad.all()


@pytest.mark.parametrize(("start", "scale"), [("common", 0.99**0.5), ("hyperfan", 0.5**0.5)])
def test_shared_weights_start_as_a_random_network(start, scale):
    config = MlpConfig(hidden_layers=2, width=40)
    modes = ("shared", "additive", "multiplicative")
    weights = InstanceWeights(layer_shapes(config), modes, config=config, start=WeightStart(start))
    for index, factor in enumerate((1, scale, 1)):
        shape, (std, _) = layer_shapes(config)[index], initial_std(config)[index]
        matrix = weights.shared[str(index)][: shape.fan_in * shape.fan_out]
        assert matrix.std().item() == pytest.approx(factor * std, rel=0.1 if index < 2 else 0.4)


def test_instance_weights_are_given_in_units():
    config = MlpConfig(kind="siren", hidden_layers=2, width=5, omega_0=200.0)
    (first, second, _), stds = layer_shapes(config), initial_std(config)
    assert (first.num_weights, second.num_weights) == (10, 30)
    weights = InstanceWeights(layer_shapes(config), ("standard", "additive", "multiplicative"), config=config)
    change = weights.from_units(torch.ones(1, weights.num_instance_weights))[0]
    expected = [1 / 200] * 10 + [stds[1][0]] * 25 + [stds[1][1]] * 5 + [2.0] * 6
    assert change.tolist() == pytest.approx(expected)
    nothing = weights.from_units(torch.zeros(2, weights.num_instance_weights))
    assert nothing.tolist() == [[0.0] * 40 + [1.0] * 6] * 2
    factors = InstanceWeights(layer_shapes(config), ("multiplicative",) * 3, config=config)
    phase = 200 * stds[0][0] * (factors.from_units(torch.ones(1, factors.num_instance_weights))[0, 0] - 1)
    assert phase.item() == pytest.approx(1, rel=1e-5)  # radian


def deviations(weights):
    """Return how the weights of each layer are spread around what they have in common: of matrix and bias."""
    common, units = weights.initial_units()
    spread = weights.from_units(common + units) - weights.from_units(common)
    return [
        (part[: shape.fan_in * shape.fan_out].mean().item(), part[shape.fan_in * shape.fan_out :].mean().item())
        for shape, part in zip(weights.shapes, spread.split(weights._instance_sizes()), strict=True)
    ]


def test_deviations_of_instance_weights_that_start_apart():
    config = MlpConfig(hidden_layers=2, width=5, num_frequencies=2)
    modes, stds = ("standard", "additive", "multiplicative"), initial_std(config)
    weights = InstanceWeights(layer_shapes(config), modes, config=config, start=WeightStart.HYPERFAN)
    found = deviations(weights)
    assert found[0] == pytest.approx(stds[0])
    assert found[1] == pytest.approx([std / 2**0.5 for std in stds[1]])
    assert found[2] == pytest.approx((0.1, 0.1))
    assert not weights.initial_units()[0].any()


@pytest.mark.parametrize("mode", ["standard", "additive"])
@pytest.mark.parametrize("kind", [kind.value for kind in MlpKind])
def test_deviations_of_instance_weights_that_start_in_common(kind, mode):
    """A tenth of what random weights are spread by, or of a radian, whichever is less; all of it in the last layer."""
    config = MlpConfig(kind=kind, hidden_layers=2, width=5, num_frequencies=2, omega_0=200.0)
    weights, stds = InstanceWeights(layer_shapes(config), (mode,) * 3, config=config), initial_std(config)
    found = deviations(weights)
    first = (1 / 2000, 1 / 2000) if kind == "siren" else [std / 10 for std in stds[0]]
    assert found[0] == pytest.approx(first, rel=1e-3)
    assert found[1] == pytest.approx([std / 10 for std in stds[1]], rel=1e-3)
    share = 1.0 if mode == "standard" else 0.5**0.5
    assert found[2] == pytest.approx([share * std for std in stds[2]], rel=1e-3)


@pytest.mark.parametrize("start", [WeightStart.COMMON, WeightStart.HYPERFAN])
@pytest.mark.parametrize("mode", WeightMode)
@pytest.mark.parametrize("kind", [kind.value for kind in MlpKind])
def test_theta_varies_as_in_networks_trained_directly(kind, mode, start):
    config = MlpConfig(kind=kind, hidden_layers=2, width=12, num_frequencies=4)
    thetas = []
    for seed in range(100):  # of what segments have in common, one model has one draw
        torch.manual_seed(seed)
        weights = InstanceWeights(layer_shapes(config), (mode,) * 3, config=config, start=start)
        common, deviation = weights.initial_units()
        thetas.append(weights(weights.from_units(common + deviation * torch.randn(4, len(common)))))
    theta, direct = torch.cat(thetas), initial_weights(config, 400)
    for shape, part, reference in zip(
        layer_shapes(config),
        theta.split([shape.num_weights for shape in layer_shapes(config)], -1),
        direct.split([shape.num_weights for shape in layer_shapes(config)], -1),
        strict=True,
    ):
        matrix = slice(0, shape.fan_in * shape.fan_out)
        assert part[:, matrix].std().item() == pytest.approx(reference[:, matrix].std().item(), rel=0.1)
        assert part.std().item() == pytest.approx(reference.std().item(), rel=0.1)
    network, times = Mlp(config), torch.linspace(-1, 1, 50)
    assert network(theta, times).std().item() == pytest.approx(network(direct, times).std().item(), rel=0.3)


@pytest.mark.parametrize(
    ("modes", "message"),
    [
        (("standard",), "needs as many modes"),
        (("standard",) * 3, "needs as many modes"),
        (("standard", "convex"), "must be one of standard, shared, additive, multiplicative, not 'convex'"),
    ],
)
def test_bad_modes_are_refused(modes, message):
    with pytest.raises(ConfigError, match=message):
        InstanceWeights(layer_shapes(TINY), modes, config=TINY)


def test_layers_of_another_network_are_refused():
    with pytest.raises(ConfigError, match="the layers of this target network are"):
        InstanceWeights(layer_shapes(MlpConfig()), ("standard",) * 6, config=TINY)
