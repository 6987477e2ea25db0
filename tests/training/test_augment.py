import numpy as np
import pytest

from hscodec.errors import ConfigError
from hscodec.training.augment import Augmentation
from hscodec.training.config import AugmentConfig
from hscodec.training.data import CropSampler, load_shards

RATE = 48_000
CROP = 19_200


def augmentation(seed=0, **config):
    return Augmentation(AugmentConfig(**config), RATE, np.random.default_rng(seed))


def tone(frequency_hz, num_samples):
    return np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / RATE)


def peak_hz(samples):
    return np.abs(np.fft.rfft(samples * np.hanning(samples.size))).argmax() * RATE / samples.size


def test_without_variations_crops_stay_as_they_are():
    varied = augmentation()
    samples = tone(440, CROP)
    assert varied.source_samples(CROP) == CROP
    crop, bandwidth_hz = varied.apply(samples, CROP, 8000)
    assert crop is samples
    assert bandwidth_hz == 8000


@pytest.mark.parametrize("num_samples", [CROP - 1920, CROP + 2880])
def test_faster_is_higher_and_wider(num_samples):
    crop, bandwidth_hz = augmentation(speed=0.2).apply(tone(1000, num_samples), CROP, 8000)
    factor = num_samples / CROP
    assert crop.shape == (CROP,)
    assert peak_hz(crop) == pytest.approx(1000 * factor, abs=RATE / CROP)
    assert np.abs(crop[2000:-2000]).max() == pytest.approx(1, abs=0.02)
    assert bandwidth_hz == pytest.approx(8000 * factor)


def test_lengths_are_drawn_on_both_sides_and_within_bounds():
    varied = augmentation(speed=0.15, share=1.0)
    lengths = {varied.source_samples(CROP) for _ in range(300)}
    assert all(length % 960 == 0 for length in lengths)
    assert min(lengths) < CROP < max(lengths)
    assert min(lengths) >= CROP / 1.15 - 960
    assert max(lengths) <= CROP * 1.15 + 960
    rarely = augmentation(speed=0.15, share=0.2)
    assert np.mean([rarely.source_samples(CROP) == CROP for _ in range(500)]) > 0.7


def test_nothing_lies_above_half_the_rate():
    crop, bandwidth_hz = augmentation(speed=0.5).apply(tone(20_000, CROP * 3 // 2), CROP, 22_050)
    assert bandwidth_hz == RATE / 2
    assert np.abs(crop[1000:-1000]).max() < 0.01


def test_filters_are_smooth_and_centred():
    noise = np.random.default_rng(1).standard_normal(CROP)
    varied = augmentation(filter_db=4.0, share=1.0)
    gains = []
    for _ in range(100):
        crop, bandwidth_hz = varied.apply(noise, CROP, 24_000)
        assert bandwidth_hz == 24_000
        gain_db = 20 * np.log10(np.abs(np.fft.rfft(crop)[10:]) / np.abs(np.fft.rfft(noise)[10:]))
        assert np.abs(np.diff(gain_db)).max() < 3
        gains.append(gain_db)
    assert np.abs(np.mean(gains, 0)).max() < 2
    assert 2 < np.std(gains) < 5


def test_narrower_bands_are_empty_above():
    noise = np.random.default_rng(1).standard_normal(CROP)
    varied = augmentation(narrow_share=1.0)
    seen = set()
    for _ in range(30):
        crop, bandwidth_hz = varied.apply(noise, CROP, 16_000)
        above = np.fft.rfftfreq(CROP, 1 / RATE) >= bandwidth_hz
        assert np.abs(np.fft.rfft(crop)[above]).max() < 1e-6
        seen.add(bandwidth_hz)
    assert max(seen) < 16_000
    assert len(seen) > 2
    assert varied.apply(noise, CROP, 4000)[1] == 4000  # there is nothing narrower


def test_batches_of_varied_crops(corpus):
    augment = AugmentConfig(share=1.0, speed=0.2, filter_db=3.0, narrow_share=0.5)
    options = {"batch_size": 4, "crop_samples": 9600, "kind_weights": {"speech": 0.5, "music": 0.5}, "seed": 1}
    first, second, plain = (
        CropSampler(load_shards(corpus), augment=config, **options).draw() for config in (augment, augment, None)
    )
    assert first.samples.shape == (4, 9600)
    assert first.samples.dtype == np.float32
    assert np.abs(first.samples).max() <= 0.95 + 1e-6
    np.testing.assert_array_equal(first.samples, second.samples)
    assert (first.samples != plain.samples).any()


@pytest.mark.parametrize("change", [{"share": 2.0}, {"speed": -0.1}, {"filter_db": -1.0}, {"narrow_share": 1.5}])
def test_what_makes_no_sense_is_refused(change):
    with pytest.raises(ConfigError, match="augment"):
        AugmentConfig(**change)
