"""Batches: what `collate` makes in workers, and what the main process decodes."""

import pytest
import torch
from torch.utils.data import DataLoader

import hscodec
from hscodec.data import Batch, CropBatch, DecodingLoader, HsndDataset, collate, decode_crops
from hscodec.errors import HscodecError

OPTIONS = {"seconds": 0.5, "rate": 8_000, "channels": 1, "crops_per_file": 2, "seed": 1}
ON_EACH_DEVICE = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")),
    ],
)


pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than there are cores


@pytest.fixture(autouse=True)
def tiny(tiny_model):
    """The model is where files look for it."""
    return tiny_model


def check(batch: Batch, tolerance=1e-5):
    for samples, start, count, path in zip(batch.samples, batch.starts, batch.num_samples, batch.paths, strict=True):
        stop = int(start + count)
        expected = hscodec.read(path, batch.rate, int(start), stop)[0].mean(0, keepdim=True)
        torch.testing.assert_close(samples[:, :count].cpu(), expected, atol=tolerance, rtol=0)
        assert not samples[:, count:].any()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_decoded_items_become_batches(folder, num_workers):
    loader = DataLoader(HsndDataset(folder, **OPTIONS), batch_size=3, collate_fn=collate, num_workers=num_workers)
    batches = list(loader)
    assert [batch.samples.shape for batch in batches] == [(3, 1, 4_000), (3, 1, 4_000), (2, 1, 4_000)]
    for batch in batches:
        check(batch)


def test_torch_s_own_collate_takes_samples_of_one_length(folder):
    batch = next(iter(DataLoader(HsndDataset(folder, **OPTIONS), batch_size=4)))
    assert batch.samples.shape == (4, 1, 4_000) and batch.rate.tolist() == [8_000] * 4


@ON_EACH_DEVICE
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_loader_decodes_what_workers_read(folder, num_workers, device):
    dataset = HsndDataset(folder, **OPTIONS, decode=False)
    loader = DecodingLoader(dataset, device=device, batch_size=3, num_workers=num_workers)
    assert len(loader) == 3
    batches = list(loader)
    assert all(batch.samples.device.type == device and isinstance(batch, Batch) for batch in batches)
    assert [len(batch.paths) for batch in batches] == [3, 3, 2]
    for batch in batches:
        check(batch, 1e-5 if device == "cpu" else 1e-4)


@ON_EACH_DEVICE
def test_a_batch_is_decoded_as_each_of_its_items(folder, device):
    crops = collate([HsndDataset(folder, **OPTIONS, decode=False)[index] for index in range(8)])
    together = decode_crops(crops, device)
    for index, crop in enumerate(crops):
        torch.testing.assert_close(together.samples[index], decode_crops([crop], device).samples[0], atol=1e-5, rtol=0)


def test_batches_pass_through_a_loader_that_pins_memory(folder):
    crops = collate([HsndDataset(folder, **OPTIONS, decode=False)[0]])
    assert isinstance(crops, CropBatch) and crops.pin_memory() is crops and len(crops) == 1


def test_lengths_are_padded(folder):
    dataset = HsndDataset(folder, rate=8_000, channels=1)
    batch = collate([dataset[0], dataset[2]])
    assert batch.samples.shape == (2, 1, 120_000) and batch.num_samples.tolist() == [120_000, 3_000]
    check(batch)


def test_rates_and_channels_cannot_be_mixed(folder):
    dataset = HsndDataset(folder, seconds=0.1)
    with pytest.raises(HscodecError, match="8000 and 11025 Hz .* rate="):
        collate([dataset[0], dataset[1]])
    with pytest.raises(HscodecError, match="1 and 2 channels .* channels="):
        dataset = HsndDataset(folder, seconds=0.1, rate=8_000)
        collate([dataset[0], dataset[1]])
    with pytest.raises(HscodecError, match="at least one"):
        collate([])


def test_wrong_ways_are_pointed_out(folder):
    with pytest.raises(HscodecError, match="decode=False"):
        DecodingLoader(HsndDataset(folder, **OPTIONS))
    undecoded = HsndDataset(folder, **OPTIONS, decode=False)
    with pytest.raises(HscodecError, match="collate_fn"):
        DecodingLoader(undecoded, collate_fn=collate)
    with pytest.raises(HscodecError, match="warp"):
        DecodingLoader(undecoded, device="warp")
    with pytest.raises(TypeError, match="Crop"):
        next(iter(DataLoader(undecoded, batch_size=2)))


def decode_on_a_gpu(items):
    return decode_crops(items, torch.device("cuda"))


def test_a_gpu_is_not_for_workers(folder):
    loader = DataLoader(HsndDataset(folder, **OPTIONS, decode=False), collate_fn=decode_on_a_gpu, num_workers=1)
    with pytest.raises(HscodecError, match="main process"):
        next(iter(loader))
