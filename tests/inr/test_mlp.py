"""The target networks are the documented arithmetic, one at a time or a thousand, and start as their papers say."""

import math

import pytest
import torch

from hscodec.config import from_mapping
from hscodec.errors import ConfigError
from hscodec.inr.mlp import (
    LayerShape,
    Mlp,
    MlpConfig,
    MlpKind,
    initial_std,
    initial_weights,
    layer_shapes,
    num_mlp_weights,
)

SMALL = {
    kind.value: MlpConfig(kind=kind, hidden_layers=3, width=6, num_frequencies=3, omega_0=40.0) for kind in MlpKind
}
KINDS = pytest.mark.parametrize("kind", SMALL)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_times(*shape, seed=1):
    return 2 * torch.rand(*shape, dtype=torch.float64, generator=seeded(seed)) - 1


@pytest.mark.parametrize(("kind", "count"), [("fmlp", 34_741), ("siren", 33_031)])
def test_the_defaults_have_as_many_weights_as_in_the_paper(kind, count):
    config = MlpConfig(kind=kind)
    assert num_mlp_weights(config) == Mlp(config).num_weights == count
    assert initial_weights(config, 2).shape == (2, count)


def test_layers_are_dense_with_bias():
    assert layer_shapes(MlpConfig(kind="fmlp", hidden_layers=2, width=7, num_frequencies=4)) == (
        LayerShape(8, 7),
        LayerShape(7, 7),
        LayerShape(7, 1),
    )
    assert layer_shapes(MlpConfig(kind="siren", hidden_layers=1, width=5)) == (LayerShape(1, 5), LayerShape(5, 1))
    assert LayerShape(8, 7).num_weights == 63


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "relu"}, "kind must be one of fmlp, siren"),
        ({"hidden_layers": 0}, "hidden_layers must be greater than 0"),
        ({"hidden_layers": 33}, "hidden_layers .* at most 32"),
        ({"width": -1}, "width must be greater than 0"),
        ({"width": 10**9}, "width .* at most 1024"),
        ({"width": 1024, "hidden_layers": 3}, "too large"),
        ({"num_frequencies": 0}, "num_frequencies must be greater than 0"),
        ({"num_frequencies": 25}, "num_frequencies .* at most 24"),
        ({"omega_0": 0.0}, "omega_0 must be greater than 0"),
        ({"omega": math.nan}, "omega must be greater than 0"),
        ({"omega_0": math.inf}, "omega_0 .* at most"),
    ],
)
def test_bad_values_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        MlpConfig(**changes)


def test_a_kind_is_a_plain_string_however_it_is_given():
    config = MlpConfig(kind=MlpKind.SIREN)
    assert type(config.kind) is str
    assert config == from_mapping(MlpConfig, {"kind": "siren"}, "test")


def test_fmlp_written_out():
    """One hidden layer of two neurons, two frequencies; theta row by row, then the bias."""
    theta = torch.tensor([0.5, -0.3, 0.8, 0.1, -0.7, 0.2, 0.4, 0.9, 0.05, -0.15, 1.5, -2.5, 0.25], dtype=torch.float64)
    network = Mlp(MlpConfig(kind="fmlp", hidden_layers=1, width=2, num_frequencies=2))
    assert network.num_weights == len(theta)
    active = []
    for t in (-1.0, -0.4, 0.0, 0.3, 0.85):
        s1, c1, s2, c2 = (f(k * math.pi * t) for k in (1, 2) for f in (math.sin, math.cos))
        first = 0.5 * s1 - 0.3 * c1 + 0.8 * s2 + 0.1 * c2 + 0.05
        second = -0.7 * s1 + 0.2 * c1 + 0.4 * s2 + 0.9 * c2 - 0.15
        active.append((first > 0, second > 0))
        expected = 1.5 * max(first, 0) - 2.5 * max(second, 0) + 0.25
        value = network(theta[None], torch.tensor([t], dtype=torch.float64))
        assert value.item() == pytest.approx(expected, abs=1e-12)
    assert {True, False} == {neuron[0] for neuron in active} == {neuron[1] for neuron in active}


def test_siren_written_out():
    """Two hidden layers of two neurons: omega_0 is in the first only, and multiplies the bias too."""
    theta = [0.6, -0.9, 0.1, 0.2, 0.03, -0.05, 0.07, 0.02, 0.3, -0.4, 1.1, -0.6, 0.15]
    network = Mlp(MlpConfig(kind="siren", hidden_layers=2, width=2, omega_0=50.0, omega=7.0))
    assert network.num_weights == len(theta)
    for t in (-1.0, -0.4, 0.0, 0.3, 0.85):
        h1 = math.sin(50 * (0.6 * t + 0.1))
        h2 = math.sin(50 * (-0.9 * t + 0.2))
        g1 = math.sin(7 * (0.03 * h1 - 0.05 * h2 + 0.3))
        g2 = math.sin(7 * (0.07 * h1 + 0.02 * h2 - 0.4))
        value = network(torch.tensor([theta], dtype=torch.float64), torch.tensor([t], dtype=torch.float64))
        assert value.item() == pytest.approx(1.1 * g1 - 0.6 * g2 + 0.15, abs=1e-12)


@pytest.mark.parametrize("rate", [8000, 22_050])
def test_a_siren_with_one_neuron_is_a_pure_tone_at_any_rate(rate):
    """Weight W turns omega_0 W radians for one unit of t, which is half a segment."""
    seconds, frequency_hz = 1.5, 440.0
    network = Mlp(MlpConfig(kind="siren", hidden_layers=1, width=1, omega_0=2000.0))
    turns = 2 * math.pi * frequency_hz * seconds / 2
    theta = torch.tensor([[turns / 2000, 0.3 / 2000, 0.8, 0.0]], dtype=torch.float64)
    time = (torch.arange(int(seconds * rate), dtype=torch.float64) + 0.5) / rate
    rendered = network(theta, 2 * time / seconds - 1)[0]
    expected = 0.8 * torch.sin(2 * math.pi * frequency_hz * (time - seconds / 2) + 0.3)
    torch.testing.assert_close(rendered, expected, rtol=0, atol=1e-9)


def test_the_highest_frequency_of_the_default_encoding_is_345_hz():
    network = Mlp(MlpConfig(hidden_layers=1, width=1))
    theta = torch.zeros(1, 20 + 1 + 2)
    theta[0, [18, 20, 21]] = torch.tensor([1.0, 1.0, 1.0])  # the last sine, lifted above the ReLU's corner
    samples = network(theta, (torch.arange(32_768, dtype=torch.float64) + 0.5) / 16_384 - 1)[0]
    spectrum = torch.fft.rfft(samples - samples.mean()).abs()
    assert spectrum.argmax().item() * 22_050 / 32_768 == pytest.approx(344.5, abs=0.1)
    assert spectrum.max() > 100 * spectrum.sort().values[-2]


@KINDS
def test_one_network_is_a_thousand(kind):
    network = Mlp(SMALL[kind])
    theta = initial_weights(SMALL[kind], 1000, seeded())
    times = random_times(17).float()
    many = network(theta, times)
    assert many.shape == (1000, 17)
    for index in (0, 1, 499, 999):
        torch.testing.assert_close(network(theta[index : index + 1], times)[0], many[index], rtol=1e-4, atol=1e-5)


@KINDS
def test_times_may_be_shared_or_of_each_network(kind):
    network = Mlp(SMALL[kind])
    theta = initial_weights(SMALL[kind], 4, seeded()).double()
    times = random_times(4, 9)
    each = network(theta, times)
    torch.testing.assert_close(each[2], network(theta, times[2])[2])
    torch.testing.assert_close(network(theta, times[:1].expand(4, -1)), network(theta, times[0]))
    assert network(theta, times[0, :0]).shape == (4, 0)
    assert network(theta[:0], times[0]).shape == (0, 9)


@pytest.mark.parametrize("learned", [False, True])
@KINDS
def test_gradients_are_those_of_the_function(kind, learned):
    network = Mlp(
        MlpConfig(kind=kind, hidden_layers=2, width=3, num_frequencies=2, omega_0=5, learn_frequencies=learned)
    )
    theta = initial_weights(network.config, 2, seeded()).double().requires_grad_()
    times = random_times(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(network.double(), (theta, times))


@pytest.mark.parametrize(("kind", "values"), [("fmlp", [1.0, 2.0, 4.0]), ("siren", [40.0, 30.0])])
def test_learned_frequencies_start_where_fixed_ones_are(kind, values):
    config = SMALL[kind]
    fixed, learned = Mlp(config), Mlp(MlpConfig(**{**vars(config), "learn_frequencies": True}))
    assert fixed.frequencies.tolist() == values
    assert learned.frequencies.tolist() == pytest.approx(values, rel=1e-6)
    theta, times = initial_weights(config, 5, seeded()), random_times(9).float()
    torch.testing.assert_close(learned(theta, times), fixed(theta, times), rtol=1e-3, atol=1e-4)
    learned(theta, times).square().sum().backward()
    (logarithms,) = learned.parameters()
    assert logarithms.grad is not None and logarithms.grad.all()
    assert list(learned.state_dict()) == ["log2_frequencies"]
    assert learned.state_dict()["log2_frequencies"].exp2().tolist() == pytest.approx(values, rel=1e-6)
    assert not list(fixed.parameters()) and not fixed.state_dict()


@pytest.mark.parametrize("learned", [False, True])
@KINDS
def test_networks_built_without_memory_get_all_they_need_from_a_file(kind, learned):
    config = MlpConfig(kind=kind, hidden_layers=1, width=3, learn_frequencies=learned)
    network = Mlp(config)
    with torch.device("meta"):
        empty = Mlp(config)
    empty.load_state_dict(network.state_dict(), assign=True)
    theta, times = initial_weights(config, 2, seeded()), random_times(5).float()
    assert torch.equal(empty.to("cpu")(theta, times), network(theta, times))


@KINDS
def test_half_precision_around_it_does_not_reach_the_sound(kind):
    network, theta = Mlp(SMALL[kind]), initial_weights(SMALL[kind], 3, seeded())
    times = random_times(11).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = network(theta, times)
    assert torch.equal(inside, network(theta, times))


@KINDS
def test_initial_weights_are_uniform_with_the_stated_deviations(kind):
    config = MlpConfig(kind=kind, hidden_layers=2, width=24, num_frequencies=5, omega=20.0)
    theta = initial_weights(config, 500, seeded())
    position = 0
    for shape, stds in zip(layer_shapes(config), initial_std(config), strict=True):
        for size, std in zip((shape.fan_in * shape.fan_out, shape.fan_out), stds, strict=True):
            part = theta[:, position : position + size]
            position += size
            assert part.std().item() == pytest.approx(std, rel=0.05)
            assert abs(part.mean().item()) < 0.1 * std
            assert part.abs().max().item() == pytest.approx(math.sqrt(3) * std, rel=0.02)
            assert part.abs().max().item() <= math.sqrt(3) * std * (1 + 1e-6)
    assert position == theta.shape[1]


def test_initial_deviations_are_those_of_the_papers():
    siren = initial_std(MlpConfig(kind="siren", hidden_layers=2, width=24, omega_0=2000.0, omega=20.0))
    root = math.sqrt(3)
    assert [weight for weight, _ in siren] == pytest.approx([1 / root, 0.5 / 20 / root, 0.5 / 20 / root])
    fmlp = initial_std(MlpConfig(kind="fmlp", hidden_layers=2, width=24, num_frequencies=5))
    assert [weight**2 for weight, _ in fmlp] == pytest.approx([2 / 10, 2 / 24, 1 / 24])
    for stds, fan_ins in ((siren, (1, 24, 24)), (fmlp, (10, 24, 24))):
        assert [bias for _, bias in stds] == pytest.approx([1 / math.sqrt(3 * fan_in) for fan_in in fan_ins])


def test_a_seed_decides_the_initial_weights():
    config = SMALL["siren"]
    assert torch.equal(initial_weights(config, 3, seeded(5)), initial_weights(config, 3, seeded(5)))
    assert not torch.equal(initial_weights(config, 3, seeded(5)), initial_weights(config, 3, seeded(6)))


@KINDS
def test_the_sound_of_a_new_network_does_not_fade_with_depth(kind):
    """That is what the initialisations are for: 2 hidden layers and 8 give sounds of one order of level."""
    levels = []
    for hidden_layers in (2, 8):
        config = MlpConfig(kind=kind, hidden_layers=hidden_layers, width=48)
        sound = Mlp(config)(initial_weights(config, 100, seeded()), torch.linspace(-1, 1, 64))
        levels.append(sound.std().item())
    assert 0.5 < levels[1] / levels[0] < 2.5
