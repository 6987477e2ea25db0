import pytest
import torch

from hscodec.device import choose_device
from hscodec.errors import HscodecError


def test_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")


def test_auto_takes_the_best(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device().type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device().type == "cuda"


def test_cuda_by_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(HscodecError, match="2 CUDA devices found"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["", "abacus", "cuda:x", "meta", "gpu"])
def test_unknown_devices(name):
    with pytest.raises(HscodecError, match="unknown device"):
        choose_device(name)


def test_devices_that_are_not_here(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps"):
        with pytest.raises(HscodecError, match="not available"):
            choose_device(name)
