import pytest
import torch

from hscodec.training.schedule import WeightAverage, learning_rate


def test_warm_up_is_linear():
    rates = [learning_rate(1.0, step, 0.0, warmup_steps=10) for step in range(12)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10:] == pytest.approx([1.0, 1.0])
    assert learning_rate(1.0, 0, 0.0, warmup_steps=0) == 1.0


def test_half_a_cosine_to_the_final_ratio():
    rates = [learning_rate(2.0, 1000, progress) for progress in (0.0, 0.5, 1.0, 1.7)]
    assert rates == pytest.approx([2.0, 1.01, 0.02, 0.02])
    falling = [learning_rate(2.0, 1000, step / 20) for step in range(21)]
    assert falling == sorted(falling, reverse=True)


def test_average_follows_the_weights():
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = WeightAverage(module, decay=0.9)
    torch.nn.init.ones_(module.weight)
    values = []
    for _ in range(300):
        average.update(module)
        values.append(average.weights["weight"].item())
    assert values[0] == pytest.approx(1 - 1 / 11)  # a young average is quick
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1)
    assert module.weight.item() == 1


def test_average_travels_in_a_checkpoint():
    module = torch.nn.BatchNorm1d(2)  # it counts its batches in an integer
    average = WeightAverage(module, decay=0.5)
    average.update(module)
    other = WeightAverage(torch.nn.BatchNorm1d(2), decay=0.5)
    other.load(average.state())
    assert other.updates == 1
    assert all(torch.equal(weight, average.weights[name]) for name, weight in other.weights.items())
