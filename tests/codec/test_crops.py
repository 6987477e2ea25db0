"""Crops, taken out of files and rendered in batches, are what a Reader reads of the same ranges."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import hscodec
from hscodec.codec import Reader
from hscodec.codec.crop import MAX_HOPS, LappedCrop, WholeChunksCrop, take_crop
from hscodec.codec.crop_batch import render_crops
from hscodec.codec.fit import FitConfig
from hscodec.codec.fit_file import fit_file
from hscodec.errors import FormatError, ModelError
from hscodec.inr.mlp import MlpConfig

CPU = torch.device("cpu")


def taken(reader, ranges):
    return [take_crop(reader._symbols, reader.rate, start, stop) for start, stop in ranges]


def check(reader, ranges, kind=LappedCrop):
    crops = taken(reader, ranges)
    assert {type(crop) for crop in crops} == {kind}
    crops = pickle.loads(pickle.dumps(crops))  # as they arrive from a worker
    for (start, stop), samples in zip(ranges, render_crops(crops, CPU), strict=True):
        torch.testing.assert_close(samples, reader.read(start, stop), atol=1e-5, rtol=0)


def ranges_of(reader, seconds, count=4):
    length = round(seconds * reader.rate)
    starts = np.random.default_rng(0).integers(0, reader.num_samples - length + 1, count).tolist()
    # The ends of the file, and where chunks and slices meet (250 segments of 20 ms).
    seam = 5 * reader.rate - length // 2
    return [(start, start + length) for start in (0, reader.num_samples - length, seam, seam + 1, *starts)]


@pytest.mark.parametrize(
    ("rate", "seconds"), [(8_000, 2.0), (8_000, 0.001), (11_025, 0.3), (48_000, 0.5), (7_919, 0.1)]
)
def test_crops_are_slices_of_the_whole(long_file, rate, seconds):
    with Reader(long_file, rate=rate, device="cpu") as reader:
        check(reader, ranges_of(reader, seconds))


@pytest.mark.parametrize(("chunk_seconds", "seconds"), [(1, 0.3), (1, 2.5), (0.5, 0.5)])
def test_crops_of_short_chunks(tiny_model, chunk_seconds, seconds):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 150_000))
    data = hscodec.encode(samples, 16_000, model=tiny_model, chunk_seconds=chunk_seconds)
    with hscodec.open(io.BytesIO(data), 8_000) as reader:
        check(reader, ranges_of(reader, seconds))


def test_crops_with_attacks_and_rotations(tiny_model):
    random = np.random.default_rng(0)
    left = random.normal(size=160_000) * np.where(np.arange(160_000) % 20_000 < 10_000, 0.0005, 0.2)
    # The second chunk is not rotated.
    right = np.where(np.arange(160_000) < 80_000, 0.5 * left, random.normal(size=160_000) * 0.1)
    data = hscodec.encode(np.stack([left, right]), 16_000, model=tiny_model, quality=8)
    with hscodec.open(io.BytesIO(data)) as reader:
        assert len(reader.symbols(0).attacks) and len(reader.symbols(0).rotations)
        assert not len(reader.symbols(1).rotations)
        check(reader, ranges_of(reader, 0.7))


def test_crops_of_many_files_are_rendered_together(long_file, encoded, tiny_model):
    others = [encoded(20_000, rate=16_000).read_bytes(), encoded(5_000, rate=8_000, num_channels=2).read_bytes()]
    sources = [long_file, *(io.BytesIO(data) for data in others)]
    readers = [Reader(source, rate=12_000, device="cpu") for source in sources]
    crops, expected = [], []
    for turn in range(3):
        for reader in readers:
            start, stop = 100 * turn, 100 * turn + 2_000
            crops += taken(reader, [(start, stop)])
            expected.append(reader.read(start, stop))
    for samples, wanted in zip(render_crops(crops, CPU), expected, strict=True):
        torch.testing.assert_close(samples, wanted, atol=1e-5, rtol=0)


def test_large_batches_are_split(long_file, monkeypatch):
    monkeypatch.setattr("hscodec.codec.crop_batch.MAX_SEGMENTS", 100)
    with Reader(long_file, device="cpu") as reader:
        check(reader, ranges_of(reader, 0.3))


def test_short_files_and_single_samples(encoded):
    for num_samples in (1, 159, 160, 161, 3_000):
        with Reader(encoded(num_samples, rate=8_000), rate=16_000, device="cpu") as reader:
            end = reader.num_samples
            check(reader, [(0, end), (0, 1), (end - 1, end)])


def test_long_ranges_are_left_to_the_decoder(tiny_model):
    seconds = MAX_HOPS / 50 + 2
    noise = np.random.default_rng(0).normal(size=round(seconds * 8_000)) * 0.1
    with hscodec.open(io.BytesIO(hscodec.encode(noise, 8_000, model=tiny_model))) as reader:
        check(reader, [(7, reader.num_samples - 7)], WholeChunksCrop)


def test_chunks_shorter_than_the_context_are_left_to_the_decoder(many_chunks):
    with Reader(many_chunks, device="cpu") as reader:
        check(reader, [(0, 3_200), (1_000, 1_010), (500, 2_000)], WholeChunksCrop)


def test_networks_with_hidden_layers_are_left_to_the_decoder(tmp_path, speech):
    config = FitConfig(network=MlpConfig(kind="siren", hidden_layers=1, width=8), steps=2)
    fit_file(speech, tmp_path / "a.hsnd", config=config, device="cpu")
    with Reader(tmp_path / "a.hsnd", rate=16_000, device="cpu") as reader:
        check(reader, [(0, 1_000), (30_000, 60_000), (reader.num_samples - 5, reader.num_samples)], WholeChunksCrop)


def test_a_crop_is_small_and_of_one_shape(long_file):
    with Reader(long_file, rate=16_000, device="cpu") as reader:
        crops = taken(reader, ranges_of(reader, 0.3))
        assert len({crop.weights.shape for crop in crops}) == 1
        assert {crop.weights.dtype for crop in crops} <= {np.dtype(np.int8), np.dtype(np.int16)}
        assert all(len(pickle.dumps(crop)) < crop.weights.nbytes + 4_000 for crop in crops)


def test_only_what_is_needed_must_be_whole(long_file):
    with Reader(long_file, device="cpu") as reader:
        place = reader._container.chunks[0].offset + 100
        expected = reader.read(60_000, 64_000)
    data = bytearray(long_file.read_bytes())
    data[place] ^= 0xFF
    with hscodec.open(io.BytesIO(bytes(data))) as reader:
        with pytest.raises(FormatError, match="chunk"):
            taken(reader, [(0, 100)])
        (samples,) = render_crops(taken(reader, [(60_000, 64_000)]), CPU)
        torch.testing.assert_close(samples, expected, atol=1e-5, rtol=0)


def test_a_model_that_is_not_there_is_named(long_file):
    with Reader(long_file, device="cpu") as reader:
        (crop,) = taken(reader, [(0, 100)])
    object.__setattr__(crop, "model_id", bytes(16))
    with pytest.raises(ModelError, match="00000000"):
        render_crops([crop], CPU)


def test_what_is_rendered_may_take_part_in_training(long_file):
    with Reader(long_file, device="cpu") as reader:
        (samples,) = render_crops(taken(reader, [(0, 100)]), CPU)
    weight = torch.ones((), requires_grad=True)
    (samples * weight).sum().backward()
    assert weight.grad is not None


def test_taking_crops_needs_no_torch(long_file, tiny_model_path):
    program = (
        "import sys; from hscodec.codec.crop import take_crop; from hscodec.codec.symbols import open_symbols\n"
        "from hscodec.container import open_container\n"
        "with open_container(sys.argv[1]) as container: take_crop(open_symbols(container), 16_000, 0, 1_000)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(long_file)], check=True)


def test_the_receptive_field_is_what_the_configuration_says(tiny_model):
    """Step sizes depend on `precision_context` segments and no more: what the crops rely on."""
    network = tiny_model.network(CPU)
    context = network.config.precision_context
    latent = torch.zeros(1, 60, network.config.latent_channels)
    changed = latent.clone()
    changed[:, 30] = 3
    with torch.inference_mode():
        first, second = (network.decode_precision(each, 5.0) for each in (latent, changed))
    differs = ((first.step - second.step).abs().amax((0, 2)) > 0) | (
        (first.features - second.features).abs().amax((0, 2)) > 0
    )
    where = differs.nonzero().flatten()
    assert 60 - context <= where.min() and where.max() <= 61 + context
    assert where.min() < 60, "neighbours do have a say"
