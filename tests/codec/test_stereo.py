"""Couplings from samples to samples: files are shorter, nothing else changes, and every channel stays in its place."""

import io

import numpy as np
import pytest
import soundfile
import torch

from hscodec.codec import Reader, decode_file, encode_file, verify_file
from hscodec.coding.coupling import unpack_couplings
from hscodec.container import ChunkOrder, ContainerReader

RATE = 8000


def alike(num_channels, noise, *, seconds=1, width=0.6):
    """Return [T, C] of channels that share some of their sound."""
    own = noise(seconds * RATE, num_channels=num_channels, seed=1)
    return (noise(seconds * RATE, seed=2) + width * own).astype(np.float32)


@pytest.fixture
def encode(tmp_path, tiny_model):
    """Return a function that encodes samples [T, C] and returns the file."""

    def run(samples, *, quality=3.0, **options):
        soundfile.write(tmp_path / "in.wav", samples, RATE, subtype="FLOAT")
        encode_file(
            tmp_path / "in.wav",
            tmp_path / "out.hsnd",
            model=tiny_model,
            quality=quality,
            device="cpu",
            overwrite=True,
            **options,
        )
        return tmp_path / "out.hsnd"

    return run


def chunks_of(path):
    container = ContainerReader(io.BytesIO(path.read_bytes()))
    return [container.read_chunk(index) for index in range(len(container.chunks))]


def pairs_of(path, num_channels):
    """Return the pairs of channels that the only chunk couples."""
    (chunk,) = chunks_of(path)
    if chunk.header.order is not ChunkOrder.BY_PAIR:
        return []
    couplings, _ = unpack_couplings(chunk.payload, range(num_channels))
    return [(coupling.first, coupling.second) for coupling in couplings]


def samples_of(path):
    with Reader(path, device="cpu") as reader:
        return reader.read()


def test_stereo_is_coupled_and_sounds_the_same(encode, noise, monkeypatch):
    samples = alike(2, noise, width=0.4)
    path = encode(samples, quality=1)
    coupled, size, (chunk,) = samples_of(path), path.stat().st_size, chunks_of(path)
    assert pairs_of(path, 2) == [(0, 1)]
    assert verify_file(path).ok
    monkeypatch.setattr("hscodec.codec.encoder.channel_pairs", lambda _: [])
    path = encode(samples, quality=1)
    assert pairs_of(path, 2) == []
    assert chunks_of(path)[0].header.symbol_digest == chunk.header.symbol_digest
    assert torch.equal(samples_of(path), coupled)
    assert size < path.stat().st_size


def test_channels_that_have_nothing_in_common_are_not_coupled(encode, noise):
    assert pairs_of(encode(noise(RATE, num_channels=2)), 2) == []


@pytest.mark.parametrize("options", [{"zstd_only": True}, {}])
def test_one_channel_is_not_coupled(encode, noise, options):
    assert pairs_of(encode(noise(RATE), **options), 1) == []


def test_zstd_only_couples_nothing(encode, noise):
    (chunk,) = chunks_of(encode(alike(2, noise), zstd_only=True))
    assert chunk.header.order in (ChunkOrder.PLAIN, ChunkOrder.BY_CLASS)


@pytest.mark.parametrize(
    ("num_channels", "pairs"), [(4, [(0, 1), (2, 3)]), (5, [(0, 1), (3, 4)]), (6, [(0, 1), (4, 5)])]
)
def test_surround_is_coupled_left_with_right(encode, noise, num_channels, pairs):
    assert pairs_of(encode(alike(num_channels, noise)), num_channels) == pairs


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_six_channels_stay_in_their_places(encode, tmp_path, suffix):
    """Front left, front right, front centre, low frequencies, back left, back right: each with a tone of its own."""
    time = np.arange(RATE) / RATE
    tones_hz = (300, 400, 500, 100, 700, 800)
    samples = np.stack([0.3 * np.sin(2 * np.pi * tone_hz * time) for tone_hz in tones_hz], 1)
    samples += 0.1 * np.sin(2 * np.pi * 1000 * time)[:, None]
    path = encode(samples, quality=10)
    result = decode_file(path, tmp_path / f"out{suffix}", device="cpu")
    decoded, rate = soundfile.read(tmp_path / f"out{suffix}")
    assert (decoded.shape, rate, result.num_channels) == (samples.shape, RATE, 6)
    for channel, tone_hz in enumerate(tones_hz):
        spectrum = np.abs(np.fft.rfft(decoded[:, channel]))[: RATE // 2]
        assert max(tones_hz, key=lambda other_hz: spectrum[other_hz]) == tone_hz


def test_damage_stays_in_its_chunk(noise, tmp_path, tiny_model):
    soundfile.write(tmp_path / "in.wav", alike(2, noise, seconds=11), RATE, subtype="FLOAT")
    path = tmp_path / "out.hsnd"
    encode_file(tmp_path / "in.wav", path, model=tiny_model, quality=3.0, device="cpu")
    chunks = chunks_of(path)
    assert [chunk.header.order for chunk in chunks] == [ChunkOrder.BY_PAIR] * 2
    whole, content = samples_of(path), bytearray(path.read_bytes())
    content[content.index(chunks[1].payload)] ^= 1  # the number of couplings
    path.write_bytes(content)
    with Reader(path, device="cpu", keep_going=True) as reader:
        kept = reader.read()
    assert torch.equal(kept[:, : 4 * RATE], whole[:, : 4 * RATE])
    assert not kept[:, 6 * RATE :].any()
