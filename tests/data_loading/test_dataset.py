"""HsndDataset: which crops there are, and that they are what `hscodec.read` returns, in this process and in others."""

import os
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader

import hscodec
from hscodec.data import Crop, HsndDataset, Sample, collate, decode_crops, read_index
from hscodec.errors import FormatError, HscodecError

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than there are cores


@pytest.fixture(autouse=True)
def tiny(tiny_model):
    """The model is where files look for it."""
    return tiny_model


def load(dataset, **options):
    """Return all items of an epoch, one by one, by path and start."""
    return list(DataLoader(dataset, batch_size=None, **options))


def places(dataset, **options):
    return [(item.path, item.start) for item in load(dataset, **options)]


def check(item, **options):
    """Compare an item with what `hscodec.read` returns."""
    expected, rate = hscodec.read(item.path, item.rate, item.start, item.start + item.num_samples)
    assert rate == item.rate
    if options.get("channels") == 1:
        expected = expected.mean(0, keepdim=True)
    torch.testing.assert_close(item.samples[:, : item.num_samples], expected, atol=1e-5, rtol=0)
    assert not item.samples[:, item.num_samples :].any()


def test_an_index_knows_files_by_their_headers(folder):
    index = read_index(folder)
    assert [os.path.basename(file.path) for file in index] == ["a.hsnd", "c.hsnd", "d.hsnd", "b.hsnd"]
    assert [(file.sample_rate, file.num_samples, file.num_channels) for file in index][1] == (11_025, 90_000, 2)
    assert index[0].seconds == 15 and index[0].length_at(16_000) == 240_000
    assert read_index([folder / "more", folder / "a.hsnd"]) == [index[3], index[0]]
    assert read_index(str(folder / "a.hsnd")) == index[:1]


def test_an_index_needs_no_torch(folder):
    program = "import sys, hscodec; hscodec.data.read_index(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)


def test_what_is_no_sound_is_named(folder, tmp_path):
    with pytest.raises(FormatError, match="notes.txt: not a .hsnd file"):
        read_index([folder / "a.hsnd", folder / "notes.txt"])
    with pytest.raises(FormatError, match="absent.hsnd: No such file"):
        read_index(folder / "absent.hsnd")
    with pytest.raises(HscodecError, match="no .hsnd files"):
        read_index(tmp_path)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
def test_random_crops_are_exact_at_any_rate(folder, rate):
    dataset = HsndDataset(folder, seconds=0.7, rate=rate, channels=1, crops_per_file=3, seed=0)
    assert len(dataset) == 12
    for item in load(dataset):
        assert isinstance(item, Sample)
        assert item.samples.shape == (1, round(0.7 * rate)) and item.rate == rate
        check(item, channels=1)


def test_items_may_keep_rate_and_channels(folder):
    for item, file in zip(load(HsndDataset(folder, seconds=0.25)), read_index(folder), strict=True):
        assert item.samples.shape == (file.num_channels, round(0.25 * file.sample_rate))
        check(item)


def test_mono_is_repeated_and_stereo_mixed(folder, stereo_file):
    item = HsndDataset(folder / "a.hsnd", seconds=0.5, channels=2)[0]
    assert item.samples.shape == (2, 4_000) and torch.equal(item.samples[0], item.samples[1])
    with pytest.raises(HscodecError, match="c.hsnd: 2 channels cannot be made 3"):
        HsndDataset(stereo_file, seconds=0.5, channels=3)[0]


def test_without_chance_crops_cover_everything_once(folder):
    path = folder / "more" / "b.hsnd"  # 6.25 s
    whole, _ = hscodec.read(path, 8_000)
    padded = HsndDataset(path, seconds=1, rate=8_000, random=False)
    assert len(padded) == 7
    joined = torch.cat([item.samples for item in load(padded)], 1)
    torch.testing.assert_close(joined[:, :50_000], whole, atol=1e-5, rtol=0)
    assert not joined[:, 50_000:].any()
    assert len(HsndDataset(path, seconds=1, rate=8_000, random=False, short="skip")) == 6
    assert len(HsndDataset(folder, seconds=1, rate=8_000, random=False)) == 15 + 9 + 1 + 7


def test_files_are_whole_without_a_length(folder):
    items = load(HsndDataset(folder, rate=8_000))
    assert [item.samples.shape[1] for item in items] == [file.length_at(8_000) for file in read_index(folder)]
    for item in items:
        check(item)


def test_short_files_are_padded_or_left_out(folder):
    dataset = HsndDataset(folder, seconds=2, rate=8_000)
    item = dataset[2]
    assert item.path.endswith("d.hsnd")
    assert (item.start, item.num_samples, item.samples.shape) == (0, 3_000, (1, 16_000))
    check(item)
    skipping = HsndDataset(folder, seconds=2, rate=8_000, short="skip")
    assert len(skipping) == 3 and not any(file.path.endswith("d.hsnd") for file in skipping.files)
    with pytest.raises(HscodecError, match="long enough"):
        HsndDataset(folder, seconds=100, rate=8_000, short="skip")


def test_an_empty_sound_is_silence(tmp_path):
    hscodec.write(tmp_path / "empty.hsnd", torch.zeros(2, 0), 8_000, model="tiny")
    item = HsndDataset(tmp_path, seconds=1)[0]
    assert item.samples.shape == (2, 8_000) and item.num_samples == 0 and not item.samples.any()


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_with_a_seed_workers_make_no_difference(folder, context):
    dataset = HsndDataset(folder, seconds=0.5, rate=8_000, channels=1, crops_per_file=2, seed=7)
    alone = load(dataset)
    assert len(dataset._open) == 4, "the parent has files open when it forks"
    shared = load(dataset, num_workers=2, multiprocessing_context=context)
    assert [(item.path, item.start) for item in shared] == [(item.path, item.start) for item in alone]
    for first, second in zip(alone, shared, strict=True):
        torch.testing.assert_close(first.samples, second.samples, atol=1e-5, rtol=0)
    for item in load(dataset):  # the parent's files are as they were
        check(item, channels=1)


def test_with_a_seed_epochs_and_seeds_make_a_difference(folder):
    options = {"seconds": 0.5, "rate": 8_000, "crops_per_file": 4}
    dataset = HsndDataset(folder, **options, decode=False, seed=7)
    first = places(dataset)
    assert places(dataset) == first
    dataset.set_epoch(1)
    second = places(dataset)
    assert second != first and dataset.epoch == 1
    dataset.set_epoch(0)
    assert places(dataset) == first
    assert places(HsndDataset(folder, **options, decode=False, seed=8)) not in (first, second)


def test_workers_that_stay_see_a_new_epoch(folder):
    dataset = HsndDataset(folder, seconds=0.5, rate=8_000, decode=False, seed=7, crops_per_file=2)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    seen = []
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        seen.append([(item.path, item.start) for item in loader])
        assert seen[-1] == places(dataset)
    assert seen[0] != seen[1]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_without_a_seed_torch_s_seed_decides(folder, num_workers):
    dataset = HsndDataset(folder, seconds=0.5, rate=8_000, decode=False, crops_per_file=4)
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        runs.append([places(dataset, num_workers=num_workers) for _ in range(2)])
    assert runs[0] == runs[1], "repeatable"
    assert runs[0][0] != runs[0][1], "other crops in each epoch"
    if num_workers:
        starts = [start for path, start in runs[0][0] if path.endswith("a.hsnd")]
        assert len(set(starts)) == len(starts), "workers do not draw alike"


def test_starts_reach_from_one_end_to_the_other(folder):
    dataset = HsndDataset(folder / "d.hsnd", seconds=0.374, rate=8_000, crops_per_file=200, seed=0)  # 8 samples less
    starts = [dataset._crop(index).start for index in range(200)]
    assert set(starts) == set(range(9))


def test_few_files_stay_open(folder):
    dataset = HsndDataset(folder, seconds=0.1, rate=8_000, channels=1, max_open_files=2)
    for index in (0, 1, 2, 3, 3, 0):
        dataset[index]
        assert len(dataset._open) <= 2
    copy = pickle.loads(pickle.dumps(dataset))
    assert len(copy._open) == 0 and len(copy) == 4
    check(copy[0])
    dataset.close()
    assert len(dataset._open) == 0
    check(dataset[0])


def test_a_crop_reads_little(folder, monkeypatch):
    dataset = HsndDataset(folder / "a.hsnd", seconds=0.1, decode=False, random=False)
    symbols = dataset._open.symbols(dataset.files[0].path)
    read = []
    monkeypatch.setattr(symbols, "read", lambda index: read.append(index) or type(symbols).read(symbols, index))
    dataset[0]
    assert read == [0] and len(symbols.spans) == 3
    for index in range(len(dataset)):
        dataset[index]
    assert read == [0, 1, 2], "crops side by side share what was unpacked"


def test_damage_is_named_by_its_file(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "a.hsnd"
    data = bytearray(path.read_bytes())
    data[300] ^= 0xFF
    path.write_bytes(data)
    dataset = HsndDataset(path, seconds=0.5, random=False)
    with pytest.raises(FormatError, match="a.hsnd: .*damaged"):
        dataset[0]
    with pytest.raises(FormatError, match="a.hsnd: .*damaged"):
        load(dataset, num_workers=1)
    check(dataset[25])  # behind the damaged chunk
    path.write_bytes(data[:-40])
    with pytest.raises(FormatError, match="a.hsnd is cut short"):
        HsndDataset(path, seconds=0.5)[0]
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="a.hsnd: .*empty"):
        HsndDataset(tmp_path, seconds=0.5)


@pytest.mark.parametrize(
    "option",
    [
        {"seconds": 0},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"rate": 10},
        {"channels": 0},
        {"crops_per_file": 0},
        {"short": "drop"},
        {"seed": -1},
        {"max_open_files": 0},
    ],
)
def test_arguments_out_of_range_are_refused(folder, option):
    with pytest.raises(HscodecError, match=next(iter(option))):
        HsndDataset(folder, **option)


def test_items_are_counted_like_those_of_a_list(folder):
    dataset = HsndDataset(folder, seconds=0.1, decode=False)
    assert dataset[-1].path == dataset[3].path
    for index in (4, -5):
        with pytest.raises(IndexError):
            dataset[index]


def test_undecoded_items_decode_to_the_same(folder):
    options = {"seconds": 0.5, "rate": 12_000, "channels": 1, "seed": 0}
    crops = load(HsndDataset(folder, **options, decode=False))
    assert all(isinstance(crop, Crop) for crop in crops)
    batch = decode_crops(crops, "cpu")
    expected = collate(load(HsndDataset(folder, **options)))
    torch.testing.assert_close(batch.samples, expected.samples, atol=1e-5, rtol=0)
    assert batch.paths == expected.paths and torch.equal(batch.starts, expected.starts)
