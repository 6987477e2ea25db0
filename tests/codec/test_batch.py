"""Many sounds at once come out as each of them alone does."""

import io
import math

import pytest
import torch

from hscodec.codec import Reader, decode_batch
from hscodec.codec import batch as batch_module
from hscodec.coding.payload import ChunkSymbols
from hscodec.container import ContainerReader
from hscodec.errors import FormatError, HscodecError

TOLERANCE = 1e-5


def alone(path, start=0, stop=None, **options):
    with Reader(path, device="cpu", **options) as reader:
        return reader.read(start, stop)


def assert_same(found, expected):
    assert [samples.shape for samples in found] == [samples.shape for samples in expected]
    for samples, other in zip(found, expected, strict=True):
        assert samples.dtype == torch.float32
        torch.testing.assert_close(samples, other, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("rate", [None, 48_000, 11_025])
def test_whole_files_of_different_lengths_and_channels(long_file, many_chunks, encoded, rate):
    paths = [long_file, many_chunks, encoded(5000), long_file]
    assert_same(decode_batch(paths, rate=rate, device="cpu"), [alone(path, rate=rate) for path in paths])


@pytest.mark.parametrize("rate", [None, 11_025])
def test_crops_from_anywhere(long_file, rate):
    with Reader(long_file, rate=rate, device="cpu") as reader:
        seam = 250 * reader.rate // 50  # where the first chunk ends
        ranges = [(0, 4000), (0, 4000), (seam - 2000, seam + 2000), (reader.num_samples - 4000, None), (seam, seam + 1)]
        ranges += [(start, start + 4000) for start in range(2000, 90_000, 8001)]
        found = decode_batch([reader] * len(ranges), ranges, device="cpu")
        assert_same(found, [reader.read(*each) for each in ranges])
        assert len({samples.shape[1] for samples in found}) == 2


@pytest.mark.parametrize(("rate", "speed"), [(None, 2), (11_025, 0.75), (8_000.5, 1.1)])
def test_another_speed(long_file, many_chunks, rate, speed):
    sources, ranges = [long_file, many_chunks, long_file], [(0, None), (100, 900), (30_000, 40_000)]
    found = decode_batch(sources, ranges, rate=rate, speed=speed, device="cpu")
    expected = [alone(path, *each, rate=rate, speed=speed) for path, each in zip(sources, ranges, strict=True)]
    assert_same(found, expected)


def test_attacks_are_lowered_in_their_own_chunks(tmp_path, tiny_model, noise):
    """Each chunk of noise that begins with silence has attacks, also near the seams."""
    import soundfile

    from hscodec.codec import encode_file

    samples = noise(8000 * 21, seed=3)
    for second in (1, 4.9, 5.0, 5.1, 9.96, 15.5):
        samples[math.floor((second - 0.2) * 8000) : math.floor(second * 8000)] *= 1e-3
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.hsnd", model=tiny_model, device="cpu")
    with Reader(tmp_path / "a.hsnd", device="cpu") as reader:
        chunks = [reader.symbols(index) for index in range(3)]
        assert sum(isinstance(chunk, ChunkSymbols) and len(chunk.attacks) > 0 for chunk in chunks) >= 2
        ranges = [(0, None), (30_000, 50_000), (70_000, 90_000), (39_000, 41_000)]
        assert_same(decode_batch([reader] * 4, ranges, device="cpu"), [reader.read(*each) for each in ranges])


def test_size_of_batches_and_number_of_workers_do_not_matter(long_file, many_chunks, monkeypatch):
    sources, ranges = [long_file, many_chunks] * 3, [(100, 9000), (40, 3000)] * 3
    expected = decode_batch(sources, ranges, device="cpu", workers=1)
    for size in (1, 5000):
        monkeypatch.setattr(batch_module, "_CPU_SEGMENTS", size)
        assert_same(decode_batch(sources, ranges, device="cpu", workers=3), expected)


def test_empty_batches_and_ranges(many_chunks):
    assert decode_batch([], device="cpu") == []
    (samples,) = decode_batch([many_chunks], [(100, 100)], device="cpu")
    assert samples.shape == (1, 0)


def test_what_comes_out_may_take_part_in_training(many_chunks):
    (samples,) = decode_batch([many_chunks], device="cpu")
    scale = torch.ones((), requires_grad=True)
    (samples * scale).sum().backward()
    assert scale.grad is not None


def test_damage_is_an_error(many_chunks):
    content = bytearray(many_chunks.read_bytes())
    entry = ContainerReader(io.BytesIO(bytes(content))).chunks[2]
    content[entry.offset + entry.byte_length // 2] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        decode_batch([many_chunks, io.BytesIO(bytes(content))], device="cpu")


def test_ranges_that_do_not_fit(many_chunks):
    for ranges in ([(4000, None)], [(-1, 4)], [(9, 3)], [], [(0, 1)] * 2):
        with pytest.raises(HscodecError, match="range|sample"):
            decode_batch([many_chunks], ranges, device="cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_on_a_cuda_device_it_is_the_same_but_for_rounding(long_file, many_chunks):
    sources, ranges = [long_file, many_chunks, long_file], [(0, None), (40, 3000), (39_000, 90_000)]
    found = decode_batch(sources, ranges, device="cuda")
    assert {samples.device.type for samples in found} == {"cuda"}
    expected = decode_batch(sources, ranges, device="cpu")
    for samples, other in zip(found, expected, strict=True):
        torch.testing.assert_close(samples.cpu(), other, atol=1e-4, rtol=0)
