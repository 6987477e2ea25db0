"""`Reader.weights`: the target networks themselves, as stored and as rendered; and `Reader.info`."""

import dataclasses
import io

import numpy as np
import pytest
import torch

import hscodec
from hscodec.codec import Reader
from hscodec.inr.lapped import LappedSiren
from hscodec.model import WEIGHT_UNIT


def render_range(weights, reader, start, stop):
    """Return the samples [start, stop) of rendered weights."""
    origin = weights.first_sample(reader.rate)
    return weights.render(reader.rate)[:, start - origin : stop - origin]


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_weights_render_what_is_read(long_file, rate):
    with Reader(long_file, rate=rate, device="cpu") as reader:
        for start, stop in (
            (0, 4_000),
            (3 * rate + 17, 4 * rate),
            (4 * rate, 6 * rate + 1),
            (reader.num_samples - 9, None),
        ):
            expected = reader.read(start, stop)
            weights = reader.weights(start, stop)
            last = reader.num_samples if stop is None else stop
            found = render_range(weights, reader, start, last)
            assert weights.first_segment == int((start + 0.5) / rate * 50)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_all_weights_render_the_whole(long_file):
    with Reader(long_file, device="cpu") as reader:
        weights = reader.weights()
        assert weights.first_segment == 0 and weights.num_segments == 716
        torch.testing.assert_close(
            render_range(weights, reader, 0, reader.num_samples), reader.read(), atol=1e-5, rtol=0
        )
        part = reader.weights(50_000, 70_000)
        same = slice(part.first_segment, part.stop_segment)
        torch.testing.assert_close(part.theta, weights.theta[:, same], atol=1e-6, rtol=0)
        torch.testing.assert_close(part.stored, weights.stored[:, same], atol=1e-7, rtol=0)
        assert weights.times_s[:3].tolist() == [0, 0.02, 0.04]


def test_time_in_weights_is_that_of_the_encoded_sound_at_any_speed(long_file):
    with Reader(long_file, rate=11_025, speed=2, device="cpu") as reader, Reader(long_file, device="cpu") as plain:
        start, stop = reader.sample_at(3), reader.sample_at(4)
        weights = reader.weights(start, stop)
        same = plain.weights(plain.sample_at(3), plain.sample_at(4))
        assert weights.times_s.tolist() == same.times_s.tolist()
        assert weights.times_s[[0, -1]].tolist() == pytest.approx([3, 4])
        torch.testing.assert_close(weights.theta, same.theta, atol=1e-6, rtol=0)
        origin = weights.first_sample(11_025, speed=2)
        found = weights.render(11_025, speed=2)[:, start - origin : stop - origin]
        torch.testing.assert_close(found, reader.read(start, stop), atol=1e-5, rtol=0)


def test_stored_weights_are_symbols_times_steps(long_file, tiny_model):
    with Reader(long_file, device="cpu") as reader:
        weights = reader.weights()
        symbols = torch.from_numpy(np.concatenate([reader.symbols(0).weights, reader.symbols(1).weights], 1))
        network = tiny_model.network(torch.device("cpu"))
        latents = [torch.from_numpy(reader.symbols(index).latent) for index in (0, 1)]
        steps = torch.cat([network.decode_precision(latent, 5.0).step for latent in latents], 1)
        expected = symbols * steps[..., : symbols.shape[-1]] / WEIGHT_UNIT
        torch.testing.assert_close(weights.stored, expected, atol=1e-7, rtol=1e-5)
        assert not torch.equal(weights.stored, weights.theta), "they are refined"


def test_attacks_and_rotations_are_accounted_for(tiny_model):
    random = np.random.default_rng(0)
    left = random.normal(size=80_000) * np.where(np.arange(80_000) % 20_000 < 10_000, 0.0005, 0.2)
    data = hscodec.encode(np.stack([left, 0.5 * left]), 16_000, model=tiny_model, quality=8)
    with hscodec.open(io.BytesIO(data)) as reader:
        assert len(reader.symbols(0).attacks) and len(reader.symbols(0).rotations)
        weights = reader.weights(30_000, 60_000)
        found = render_range(weights, reader, 30_000, 60_000)
        torch.testing.assert_close(found, reader.read(30_000, 60_000), atol=1e-5, rtol=0)
        # Turned back, stored weights of both channels are in proportion, as the channels are.
        torch.testing.assert_close(weights.stored[1], 0.5 * weights.stored[0], atol=2e-2, rtol=0)


def test_weights_may_take_part_in_training(long_file):
    with Reader(long_file, device="cpu") as reader:
        weights = reader.weights(0, 800)
        theta = weights.theta.requires_grad_()
        weights.render(8_000, theta).square().sum().backward()
        assert theta.grad is not None and theta.grad.abs().sum() > 0
        assert isinstance(weights.target, LappedSiren)


def test_an_empty_range_has_no_weights(long_file):
    with Reader(long_file, device="cpu") as reader:
        weights = reader.weights(800, 800)
        assert weights.num_segments == 0 and weights.theta.shape == weights.stored.shape == (2, 0, 160)


def test_lost_weights_are_zeros(long_file):
    data = bytearray(long_file.read_bytes())
    with Reader(long_file, device="cpu") as reader:
        data[reader._container.chunks[0].offset + 100] ^= 0xFF
    with hscodec.open(io.BytesIO(bytes(data)), keep_going=True) as reader:
        weights = reader.weights()
        assert not weights.stored[:, :250].any() and weights.stored[:, 250:].any()
        torch.testing.assert_close(
            render_range(weights, reader, 0, reader.num_samples), reader.read(), atol=1e-5, rtol=0
        )


def test_info_is_a_summary_that_cannot_be_changed(long_file, tiny_model):
    with Reader(long_file, rate=16_000, device="cpu") as reader:
        info = reader.info
        assert (info.sample_rate_hz, info.num_channels, info.num_samples) == (8_000, 2, 114_321)
        assert (info.model_name, info.model_id) == ("tiny", tiny_model.model_id.hex())
        assert info.duration_s == pytest.approx(reader.seconds, abs=1e-4)
        assert info.file_bytes == long_file.stat().st_size == reader.file_bytes
        assert info.bitrate_kbps == info.file_bytes * 8 / info.duration_s / 1000
        with pytest.raises(dataclasses.FrozenInstanceError):
            info.quality = 1.0
