"""Attacks from samples to samples: what comes before them is quieter, and nothing else about decoding changes."""

import io

import numpy as np
import pytest
import soundfile
import torch

from hscodec.codec import Reader, encode_file
from hscodec.registry import load_model

RATE = 16_000
ONSETS = (0.4, 0.9037, 5.3, 6.1)


@pytest.fixture(scope="module")
def clicks():
    """Return 8 s of two channels [C, T]: clicks out of faint noise left, a steady tone right."""
    random = np.random.default_rng(0)
    time = np.arange(8 * RATE) / RATE
    left = 1e-4 * random.standard_normal(time.size)
    for onset in ONSETS:
        behind = np.maximum(time - onset, 0)
        left += (time >= onset) * 0.5 * random.uniform(-1, 1, time.size) * np.exp(-40 * behind)
    return np.stack([left, 0.3 * np.sin(2 * np.pi * 440 * time)]).astype(np.float32)


@pytest.fixture(scope="module")
def encode(clicks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clicks")
    soundfile.write(folder / "in.wav", clicks.T, RATE, subtype="FLOAT")

    def encoded(name="hsc-2"):
        encode_file(
            folder / "in.wav", folder / "out.hsnd", model=load_model(name), quality=4, device="cpu", overwrite=True
        )
        return (folder / "out.hsnd").read_bytes()

    return encoded


def read(data, **options):
    with Reader(io.BytesIO(data), device="cpu", **options) as reader:
        return reader.read().numpy(), reader.symbols(0).attacks


def before_attacks(error):
    """Return the energy of an error [T] in the 20 ms before attacks, but for the last two."""
    return sum((error[round((onset - 0.02) * RATE) : round((onset - 0.002) * RATE)] ** 2).sum() for onset in ONSETS)


def test_pre_echo_is_less(clicks, encode, monkeypatch):
    decoded, attacks = read(encode())
    assert attacks[:, 0].tolist() == [0] * len(ONSETS)
    monkeypatch.setattr("hscodec.codec.encoder.find_attacks", lambda *_: np.zeros((0, 3), np.int32))
    plain, nothing = read(encode())
    assert not len(nothing)
    assert before_attacks(decoded[0] - clicks[0]) < 0.1 * before_attacks(plain[0] - clicks[0])
    assert np.abs(decoded[1] - plain[1]).max() < 0.02  # the other channel does not care


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_ranges_are_slices(encode, rate):
    data = encode("hsc-1")
    with Reader(io.BytesIO(data), device="cpu", rate=rate) as reader:
        whole = reader.read()
        for seconds in (0.0, 0.37, 0.9, 4.98, 5.29):
            start, stop = round(seconds * rate), round((seconds + 0.05) * rate)
            assert torch.equal(reader.read(start, stop), whole[:, start:stop])
