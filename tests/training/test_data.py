import json
import threading
import time

import numpy as np
import pytest

from hscodec.errors import CorpusError
from hscodec.training.data import CropSampler, load_shards, shard_probabilities

KINDS = {"speech": 0.5, "music": 0.3, "effects": 0.2}


def sampler(corpus, **changes):
    options = {"batch_size": 4, "crop_samples": 9600, "kind_weights": KINDS, "seed": 1} | changes
    return CropSampler(load_shards(corpus), **options)


def test_only_training_shards_are_loaded(corpus):
    assert [shard.name for shard in load_shards(corpus)] == ["talk", "song", "bang"]


def test_same_seed_same_batches(corpus):
    first, second, other = sampler(corpus), sampler(corpus), sampler(corpus, seed=2)
    for _ in range(3):
        batch, same, different = first.draw(), second.draw(), other.draw()
        np.testing.assert_array_equal(batch.samples, same.samples)
        np.testing.assert_array_equal(batch.num_weights, same.num_weights)
        assert (batch.samples != different.samples).any()


def test_batches(corpus):
    batch = sampler(corpus).draw()
    assert batch.samples.shape == (4, 9600)
    assert batch.samples.dtype == np.float32
    assert batch.num_weights.shape == (4,)


@pytest.mark.parametrize("attenuation_db", [0.0, 6.0, 20.0])
def test_levels_and_polarity(corpus, attenuation_db):
    crops = np.concatenate(
        [sampler(corpus, max_attenuation_db=attenuation_db, seed=seed).draw().samples for seed in range(25)]
    )
    peaks = np.abs(crops).max(1)
    lowest = 0.95 * 10 ** (-attenuation_db / 20)
    assert peaks.max() <= 0.95 + 1e-6
    assert peaks.min() >= lowest - 1e-6
    if attenuation_db:
        assert peaks.min() < lowest * 1.3
        assert peaks.max() > 0.8


def test_polarity_is_random(write_corpus, tmp_path):
    folder = write_corpus(tmp_path, {"name": "talk", "seconds": 0.5})
    np.save(folder / "talk.npy", np.full(24_000, 1000, np.int16))
    signs = {np.sign(crop[0]) for crop in sampler(folder, batch_size=30).draw().samples}
    assert signs == {-1, 1}


def test_bandwidth_of_a_crop(write_corpus, tmp_path):
    folder = write_corpus(tmp_path, {"name": "talk", "clips": [[0, 60_000, 8000], [64_800, 144_000, 22_050]]})
    (shard,) = load_shards(folder)
    assert [shard.bandwidth_hz(position) for position in (0, 59_999, 60_000, 143_999, 200_000)] == [
        8000,
        8000,
        22_050,
        22_050,
        22_050,
    ]
    assert set(sampler(folder, batch_size=40).draw().num_weights.tolist()) == {320, 882}


@pytest.mark.parametrize("bandwidths_hz", [(8000, 22_050), (22_050, 8000)])
def test_a_crop_over_a_joint_has_the_wider_bandwidth(write_corpus, tmp_path, bandwidths_hz):
    clips = [[0, 70_000, bandwidths_hz[0]], [70_000, 144_000, bandwidths_hz[1]]]
    folder = write_corpus(tmp_path, {"name": "talk", "clips": clips})
    assert set(sampler(folder, batch_size=9, crop_samples=120_000).draw().num_weights.tolist()) == {882}


def test_kinds_are_drawn_by_weight(corpus):
    counts = np.concatenate([sampler(corpus, batch_size=300).draw().num_weights])
    for num_weights, share in ((320, 0.5), (960, 0.3), (882, 0.2)):
        assert np.mean(counts == num_weights) == pytest.approx(share, abs=0.1)


def test_shard_probabilities(write_corpus, tmp_path):
    folder = write_corpus(
        tmp_path,
        {"name": "short", "seconds": 1.0},
        {"name": "long", "seconds": 3.0},
        {"name": "song", "kind": "music"},
    )
    shards = load_shards(folder)
    weights = {"speech": 1.0, "music": 1.0, "effects": 5.0}
    assert shard_probabilities(shards, weights) == pytest.approx([0.125, 0.375, 0.5])
    capped = shard_probabilities(shards, weights, cap_hours=1 / 3600)
    assert capped == pytest.approx([0.25, 0.25, 0.5])
    weighted = shard_probabilities(shards, weights, source_weights={"short": 3.0})
    assert weighted == pytest.approx([0.25, 0.25, 0.5])
    silenced = shard_probabilities(shards, weights, source_weights={"song": 0.0})
    assert silenced == pytest.approx([0.25, 0.75, 0.0])
    with pytest.raises(CorpusError, match="no shard of the kinds effects"):
        shard_probabilities(shards, {"effects": 1.0})


def test_shards_that_are_too_short_are_left_out(corpus):
    assert len(sampler(corpus, crop_samples=100_000).shards) == 3
    with pytest.raises(CorpusError, match="no shard"):
        sampler(corpus, crop_samples=200_000)


def test_silence_is_skipped_and_a_silent_corpus_is_an_error(write_corpus, tmp_path):
    folder = write_corpus(tmp_path, {"name": "talk", "level": 0})
    with pytest.raises(CorpusError, match="silence"):
        sampler(folder).draw()


def test_prefetching_gives_the_same_batches(corpus):
    expected = sampler(corpus)
    batches = sampler(corpus).prefetch(depth=2)
    for _ in range(5):
        np.testing.assert_array_equal(next(batches).samples, expected.draw().samples)
    batches.close()


def crop_threads():
    return [thread for thread in threading.enumerate() if thread.name == "crop-sampler"]


def test_the_thread_ends_with_the_iterator(corpus):
    batches = sampler(corpus).prefetch(depth=1)
    next(batches)
    assert crop_threads()
    batches.close()
    deadline = time.monotonic() + 10
    while crop_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not crop_threads()


def test_errors_in_the_thread_are_raised(write_corpus, tmp_path):
    folder = write_corpus(tmp_path, {"name": "talk", "level": 0})
    with pytest.raises(CorpusError, match="silence"):
        next(sampler(folder).prefetch())


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"shards": [{}]}', '{"shards": 3}'])
def test_an_unusable_corpus(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(CorpusError, match="no usable corpus"):
        load_shards(tmp_path)


def test_a_corpus_with_a_shard_missing(write_corpus, tmp_path):
    folder = write_corpus(tmp_path, {"name": "talk"})
    (folder / "talk.npy").unlink()
    with pytest.raises(CorpusError, match=r"no usable corpus.*talk\.npy"):
        load_shards(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0]["role"] = "eval"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match="no training shards"):
        load_shards(folder)
