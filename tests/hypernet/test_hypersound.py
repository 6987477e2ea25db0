"""HyperSound: sizes of the paper, causal convolutions of any length, and a start like that of direct training."""

import itertools
import json
import math
from fractions import Fraction
from statistics import mean

import pytest
import torch

from hscodec.config import from_mapping
from hscodec.errors import ConfigError
from hscodec.hypernet.hypersound import CausalConv, HyperSound, HyperSoundConfig, conv_encoder
from hscodec.inr.mlp import Mlp, MlpConfig, MlpKind, initial_weights, num_mlp_weights
from hscodec.inr.weight_modes import WeightMode, WeightStart

KINDS = [kind.value for kind in MlpKind]
MODES = [mode.value for mode in WeightMode]
SPREAD_STARTS = (WeightStart.COMMON, WeightStart.HYPERFAN)
SHARED_START = ("shared", "shared", "standard")


def small_config(kind="fmlp", modes=("standard",), **changes):
    """Return sizes that take milliseconds: segments of 200 samples, 20 of which make a frame."""
    target = MlpConfig(kind=kind, hidden_layers=2, width=16, num_frequencies=4, omega_0=50.0)
    sizes = {"segment_samples": 200, "channels": 3, "strides": (4, 5), "latent_channels": 6, "dense": (24, 20)}
    return HyperSoundConfig(target=target, modes=modes, **{**sizes, **changes})


def small(*args, seed=0, start=WeightStart.COMMON, **changes):
    torch.manual_seed(seed)
    return HyperSound(small_config(*args, **changes), start=start)


def noise(*shape, seed=1, rms=0.1):
    return rms * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def full_encoder():
    return conv_encoder(HyperSoundConfig(target=MlpConfig(), modes=("standard",)))


def test_the_latent_of_a_segment_has_the_size_of_the_paper(full_encoder):
    with torch.no_grad():
        assert full_encoder(noise(1, 1, 32_768)).shape == (1, 32, 103)
    config = HyperSoundConfig(target=MlpConfig(), modes=("standard",))
    assert config.latent_frames == 103
    assert config.hop_seconds == Fraction(32_768, 22_050)


def test_channels_double_from_stage_to_stage(full_encoder):
    shapes = [
        (m.conv.in_channels, m.conv.out_channels, m.conv.kernel_size[0])
        for m in full_encoder.children()
        if isinstance(m, CausalConv)
    ]
    assert shapes == [(1, 16, 7), (16, 32, 4), (32, 64, 8), (64, 128, 10), (128, 256, 16), (256, 32, 3)]
    dilations = [m.mix.conv.dilation[0] for m in full_encoder.children() if hasattr(m, "mix")]
    assert dilations == [1, 3, 9] * 4


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(7, 1, 1), (7, 1, 9), (4, 2, 1), (10, 5, 1), (1, 1, 1)])
def test_a_causal_convolution_sees_no_later_block(kernel, stride, dilation):
    conv = CausalConv(2, 3, kernel=kernel, stride=stride, dilation=dilation)
    inputs = noise(1, 2, 100).requires_grad_()
    outputs = conv(inputs)
    assert outputs.shape == (1, 3, math.ceil(100 / stride))
    outputs[0, :, 12].sum().backward()
    assert inputs.grad is not None
    seen = inputs.grad[0].abs().sum(0).nonzero().flatten().tolist()
    assert seen[-1] == 12 * stride + stride - 1
    assert seen[0] == max(seen[-1] - (kernel - 1) * dilation, seen[-1] % dilation)


@pytest.mark.parametrize("num_samples", [1, 19, 20, 21, 199, 200, 333])
def test_the_encoder_has_no_fixed_length(num_samples):
    """Frames that a short sound completes are those of the long one, whatever follows."""
    encoder = conv_encoder(small_config())
    sound = noise(2, 1, 1000)
    whole = encoder(sound)
    part = encoder(sound[..., :num_samples])
    assert whole.shape == (2, 6, 50)
    assert part.shape == (2, 6, math.ceil(num_samples / 20))
    complete = num_samples // 20
    torch.testing.assert_close(part[..., :complete], whole[..., :complete])


def test_a_delay_of_whole_frames_is_a_delay_of_the_latent():
    encoder = conv_encoder(small_config())
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()  # silence in front is then like the padding
    sound = noise(1, 1, 400)
    delayed = encoder(torch.nn.functional.pad(sound, (60, 0)))
    torch.testing.assert_close(delayed[..., 3:], encoder(sound))
    assert not delayed[..., :3].any()


def test_the_parts_make_the_whole():
    network = small(modes=("shared", "additive", "multiplicative"))
    samples, times = noise(3, 200), torch.linspace(-1, 1, 37)
    hidden = network.bottleneck(samples)
    assert hidden.shape == (3, 20)
    instance = network.instance_weights(samples)
    numbers = hidden @ network.last.weight.T + network.last.bias
    torch.testing.assert_close(instance, network.weights.from_units(numbers))
    torch.testing.assert_close(instance, network.generate(hidden))
    assert instance.shape == (3, 17 * 16 + 17)
    theta = network.theta(instance)
    assert theta.shape == (3, num_mlp_weights(network.config.target))
    estimate = network(samples, times)
    assert estimate.shape == (3, 37)
    torch.testing.assert_close(estimate, Mlp(network.config.target)(theta, times))
    torch.testing.assert_close(network(samples, times.expand(3, -1)), estimate)


def test_items_of_a_batch_do_not_know_of_each_other():
    network = small()
    samples, times = noise(5, 200), torch.linspace(-1, 1, 20)
    torch.testing.assert_close(network(samples[2:3], times), network(samples, times)[2:3])


@pytest.mark.parametrize("num_samples", [0, 199, 201])
def test_segments_of_another_length_are_refused(num_samples):
    with pytest.raises(ValueError, match=f"a segment has 200 samples, not {num_samples}"):
        small().bottleneck(torch.zeros(1, num_samples))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "modes", [("standard",), SHARED_START, ("additive",), ("multiplicative",), ("standard", "shared", "additive")]
)
def test_gradients_reach_every_parameter(kind, modes):
    network = small(kind, modes)
    network(noise(4, 200), torch.linspace(-1, 1, 50)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_learned_frequencies(kind):
    target = MlpConfig(kind=kind, hidden_layers=2, width=8, num_frequencies=3, omega_0=20.0, learn_frequencies=True)
    network = HyperSound(HyperSoundConfig(target, ("standard",), segment_samples=64, channels=2, dense=(16, 16)))
    network(noise(2, 64), torch.linspace(-1, 1, 30)).square().sum().backward()
    (frequencies,) = network.mlp.parameters()
    assert frequencies.grad is not None and frequencies.grad.all()


@pytest.mark.parametrize("start", SPREAD_STARTS)
@pytest.mark.parametrize("modes", [("standard",), SHARED_START, ("additive",), ("multiplicative",)])
def test_generated_weights_start_with_the_stated_mean_and_deviation(modes, start):
    ratios = []
    for seed in range(20):  # one hypernetwork's weights are much the same for all noise
        network = small(modes=modes, seed=seed, start=start, dense=(64, 64))
        common, (_, deviation) = network.last.bias.detach(), network.weights.initial_units()
        numbers = network.last(network.bottleneck(noise(4, 200, seed=7)))
        ratios.append((numbers - common) / deviation)
    ratio = torch.cat(ratios)
    assert abs(ratio.mean().item()) < 0.2
    assert ratio.square().mean().sqrt().item() == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("start", SPREAD_STARTS)
@pytest.mark.parametrize("modes", [("standard",), SHARED_START, ("additive",), ("multiplicative",)])
@pytest.mark.parametrize("kind", KINDS)
def test_generated_networks_sound_as_loud_as_directly_initialised_ones(kind, modes, start):
    times, powers = torch.linspace(-1, 1, 64), []
    for seed in range(20):  # a hypernetwork's networks are alike at first, so one alone says little
        with torch.no_grad():
            network = small(kind, modes, seed=seed, start=start, dense=(64, 64))
            powers.append(network(noise(4, 200), times).var(1).mean())
    direct = Mlp(small_config(kind).target)(initial_weights(small_config(kind).target, 400), times).var(1).mean()
    assert 0.4 < (torch.stack(powers).mean() / direct).item() < 2.5


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_layers_start_in_common(kind):
    """Two unlike segments with one last layer sound alike, which they would not if they started apart."""

    def likeness(start, seed):
        network = small(kind, start=start, seed=seed, dense=(64, 64))
        loud_and_quiet = noise(2, 200) * torch.tensor([[3.0], [0.03]])
        theta = network.theta(network.instance_weights(loud_and_quiet)).detach()
        theta[:, -17:] = theta[0, -17:]
        return torch.corrcoef(network.mlp(theta, torch.linspace(-1, 1, 200)))[0, 1].item()

    common, apart = (mean(likeness(start, seed) for seed in range(6)) for start in SPREAD_STARTS)
    assert common > 0.7
    assert apart < 0.5


def test_a_plain_start_is_that_of_any_dense_layer():
    network = small(start=WeightStart.PLAIN, dense=(64, 64))
    bound = 1 / 64**0.5
    for tensor in (network.last.weight, network.last.bias):
        assert tensor.abs().max() <= bound
        assert tensor.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_the_level_of_a_segment_does_not_decide_the_size_of_its_weights_at_first():
    """Yet it is not lost: it shows in their direction."""
    network = small(start=WeightStart.HYPERFAN, dense=(64, 64))
    sound = noise(8, 200)
    loud, quiet = (network.instance_weights(gain * sound) for gain in (3.0, 0.1))
    assert loud.std().item() == pytest.approx(quiet.std().item(), rel=0.1)
    assert torch.nn.functional.cosine_similarity(loud, quiet).max() < 0.95


def test_a_seed_decides_the_network_and_the_noise_it_measures_leaves_the_generator_alone():
    first, second = small(seed=3), small(seed=3)
    for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_half_precision_ends_in_front_of_the_weights():
    network = small()
    with torch.autocast("cpu", torch.bfloat16):
        instance = network.instance_weights(noise(2, 200))
        estimate = network(noise(2, 200), torch.linspace(-1, 1, 20))
    assert instance.dtype == estimate.dtype == torch.float32
    assert (instance != instance.bfloat16()).any()


@pytest.mark.parametrize("learned", [False, True])
def test_a_network_built_without_memory_gets_all_it_needs_from_a_file(learned):
    target = MlpConfig(hidden_layers=1, width=6, num_frequencies=3, learn_frequencies=learned)
    config = HyperSoundConfig(target, ("additive", "shared"), segment_samples=64, channels=2, dense=(16, 16))
    network = HyperSound(config)
    with torch.device("meta"):
        empty = HyperSound(config)
    assert all(parameter.is_meta for parameter in empty.parameters())
    empty.load_state_dict(network.state_dict(), assign=True)
    samples, times = noise(2, 64), torch.linspace(-1, 1, 30)
    assert torch.equal(empty.to("cpu")(samples, times), network(samples, times))


def test_round_trip_of_the_configuration():
    config = small_config("siren", ("shared", "additive", "standard"))
    text = json.dumps(config.to_mapping())
    assert from_mapping(HyperSoundConfig, json.loads(text), "test") == config


def test_unknown_keys_of_the_target_are_refused():
    mapping = {**small_config().to_mapping(), "target": {"depth": 5}}
    with pytest.raises(ConfigError, match="unknown key 'depth'"):
        from_mapping(HyperSoundConfig, mapping, "test")


def test_one_word_holds_for_all_layers():
    assert small_config(modes=("additive",)).layer_modes == ("additive",) * 3
    one, each = small(modes=("additive",)), small(modes=("additive",) * 3)
    assert [name for name, _ in one.named_parameters()] == [name for name, _ in each.named_parameters()]


@pytest.mark.parametrize("modes", list(itertools.product(MODES, repeat=2)))
def test_every_mixture_of_modes_works_but_one(modes):
    def config():
        target = MlpConfig(hidden_layers=1, width=3, num_frequencies=2)
        return HyperSoundConfig(target, modes, segment_samples=16, channels=1, strides=(2,), dense=(4,))

    if set(modes) == {"shared"}:
        with pytest.raises(ConfigError, match="nothing would be stored"):
            config()
    else:
        assert HyperSound(config())(noise(2, 16), torch.linspace(-1, 1, 5)).shape == (2, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modes": ()}, "one for all or one for each of 3 layers"),
        ({"modes": ("standard", "standard")}, "one for all or one for each of 3 layers"),
        ({"modes": ("convex",)}, "must be one of standard, shared"),
        ({"modes": ("shared",)}, "nothing would be stored"),
        ({"sample_rate": 100}, "sample_rate must be from 8000"),
        ({"segment_samples": 0}, "segment_samples must be from 1"),
        ({"segment_samples": 2**21}, "segment_samples must be from 1"),
        ({"channels": 0}, "channels must be from 1"),
        ({"channels": 2000}, "channels must be from 1 to 4096"),
        ({"strides": ()}, "number of strides must be from 1"),
        ({"strides": (2,) * 9}, "number of strides must be from 1 to 8"),
        ({"strides": (2, 0)}, "strides must be from 1"),
        ({"strides": (64,)}, "strides must be from 1 to 32"),
        ({"latent_channels": -1}, "latent_channels must be from 1"),
        ({"dense": ()}, "number of dense layers must be from 1"),
        ({"dense": (400, 1)}, "dense must be from 2"),
        ({"dense": (5000,)}, "dense must be from 2 to 4096"),
        ({"segment_samples": 2**20, "strides": (1,), "dense": (4096,)}, "too large"),
    ],
)
def test_bad_values_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        small_config(**changes)
