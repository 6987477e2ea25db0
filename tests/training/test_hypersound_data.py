import numpy as np
import pytest

from hscodec.errors import ConfigError, CorpusError
from hscodec.training.data import SAMPLE_RATE, CropSampler, load_shards
from hscodec.training.hypersound_config import HyperSoundAugmentConfig
from hscodec.training.hypersound_data import (
    PCM_STEP,
    SegmentSampler,
    allpass_response,
    dequantize,
    mangle_phase,
    source_samples,
)

RATE = 22_050
PLAIN = HyperSoundAugmentConfig(phase_share=0.0, dequantize=False)


def sampler(folder, *, segment_samples=8192, sample_rate=RATE, augment=PLAIN, seed=1, kinds=None, batch_size=3):
    crops = CropSampler(
        load_shards(folder),
        batch_size=batch_size,
        crop_samples=source_samples(segment_samples, sample_rate),
        kind_weights=kinds or {"speech": 1.0, "music": 0.0, "effects": 0.0},
        max_attenuation_db=0.0,
        seed=seed,
    )
    return SegmentSampler(crops, sample_rate=sample_rate, crop_samples=segment_samples, augment=augment, seed=seed)


@pytest.fixture
def tone_corpus(write_corpus, tmp_path):
    """Return a corpus of one long tone of 1,000 Hz."""
    folder = write_corpus(tmp_path, {"name": "talk", "seconds": 3.0})
    time_s = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    np.save(folder / "talk.npy", (16_000 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.int16))
    return folder


@pytest.mark.parametrize(
    ("segment_samples", "sample_rate"), [(32_768, 22_050), (8191, 22_050), (4097, 48_000), (999, 8000)]
)
def test_crops_of_exact_length_and_rate(tone_corpus, segment_samples, sample_rate):
    batch = sampler(tone_corpus, segment_samples=segment_samples, sample_rate=sample_rate).draw()
    assert batch.shape == (3, segment_samples)
    assert batch.dtype == np.float32
    time_s = np.arange(segment_samples) / sample_rate
    carrier = np.exp(-2j * np.pi * 1000 * time_s)
    for item in batch:
        factor = 2 * np.mean(item * carrier)
        assert np.abs(factor) == pytest.approx(0.95, rel=0.01)
        # Nothing but the tone, up to both ends.
        np.testing.assert_allclose(item, (factor * carrier.conj()).real, atol=5e-3)


def test_speech_only_unless_asked_otherwise(write_corpus, tmp_path):
    folder = write_corpus(tmp_path, {"name": "talk", "level": 0}, {"name": "song", "kind": "music"})
    with pytest.raises(CorpusError, match="silence"):
        sampler(folder).draw()
    batch = sampler(folder, kinds={"speech": 0.0, "music": 1.0, "effects": 0.0}).draw()
    assert np.abs(batch).max() > 0.3


def test_same_seed_same_batches(corpus):
    augment = HyperSoundAugmentConfig()
    first, same, other = (sampler(corpus, augment=augment, seed=seed) for seed in (1, 1, 2))
    for _ in range(3):
        batch = first.draw()
        np.testing.assert_array_equal(batch, same.draw())
        assert (batch != other.draw()).any()
    batches = sampler(corpus, augment=augment).prefetch(depth=2)
    again = sampler(corpus, augment=augment)
    for _ in range(3):
        np.testing.assert_array_equal(next(batches), again.draw())
    batches.close()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("corner_hz", [20.0, 300.0, 2000.0])
def test_an_allpass_response(order, corner_hz):
    """Compared with the analogue filter under the bilinear transform, evaluated bin by bin."""
    response = allpass_response(4410, RATE, corner_hz=corner_hz, order=order)
    assert response.shape == (2206,)
    np.testing.assert_allclose(np.abs(response), 1)
    z = np.exp(2j * np.pi * np.arange(2205) / 4410)
    s = (z - 1) / (z + 1) / np.tan(np.pi * corner_hz / RATE)
    if order == 1:
        expected = (1 - s) / (1 + s)
    else:
        expected = (s**2 - np.sqrt(2) * s + 1) / (s**2 + np.sqrt(2) * s + 1)
    np.testing.assert_allclose(response[:-1], expected, atol=1e-9)
    phase = np.unwrap(np.angle(response))
    assert (np.diff(phase) <= 1e-9).all()
    assert phase[-1] == pytest.approx(-order * np.pi)
    assert np.interp(corner_hz, np.arange(2206) * 5, phase) == pytest.approx(-order * np.pi / 2, abs=0.05 * order)


@pytest.mark.parametrize("order", [1, 2])
def test_a_mangled_signal_has_other_samples_and_the_same_magnitudes(order):
    random = np.random.default_rng(0)
    samples = random.normal(size=4410)
    mangled = mangle_phase(samples, allpass_response(4410, RATE, corner_hz=500, order=order))
    np.testing.assert_allclose(np.abs(np.fft.rfft(mangled))[1:-1], np.abs(np.fft.rfft(samples))[1:-1], atol=1e-9)
    assert np.sqrt(np.mean((mangled - samples) ** 2)) > 0.2
    # No delay beyond the ringing: in front of a click is nothing.
    click = np.zeros(4410)
    click[2000] = 1
    ringing = mangle_phase(click, allpass_response(4410, RATE, corner_hz=500, order=order))
    assert np.abs(ringing[1000:2000]).max() < 1e-6
    assert np.abs(ringing[3500:]).max() < 1e-6


def test_the_ends_of_mangled_crops_are_as_good_as_their_middle(tone_corpus):
    """The lowest corner rings longest, around the end into the lead, which is cut off."""
    for seed in range(8):
        augment = HyperSoundAugmentConfig(phase_share=1.0, phase_low_hz=20, phase_high_hz=20, dequantize=False)
        item = sampler(tone_corpus, augment=augment, seed=seed, batch_size=1).draw()[0]
        carrier = np.exp(-2j * np.pi * 1000 * np.arange(item.size) / RATE)
        factor = 2 * np.mean(item * carrier)
        np.testing.assert_allclose(item, (factor * carrier.conj()).real, atol=5e-3)


@pytest.mark.parametrize(("share", "lowest", "highest"), [(0.0, 0, 0), (0.8, 65, 95), (1.0, 100, 100)])
def test_so_many_crops_are_mangled(corpus, share, lowest, highest):
    def draw(phase_share):
        augment = HyperSoundAugmentConfig(phase_share=phase_share, dequantize=False)
        return sampler(corpus, segment_samples=500, augment=augment, batch_size=100).draw()

    changed = (draw(share) != draw(0.0)).any(1)
    assert lowest <= changed.sum() <= highest


def test_dequantization_stays_within_half_a_step(corpus):
    noise = dequantize(np.zeros(100_000), np.random.default_rng(0))
    assert np.abs(noise).max() <= PCM_STEP / 2
    assert noise.min() < -0.49 * PCM_STEP
    assert noise.max() > 0.49 * PCM_STEP
    assert noise.std() == pytest.approx(PCM_STEP / 12**0.5, rel=0.02)
    plain = sampler(corpus).draw()
    noisy = sampler(corpus, augment=HyperSoundAugmentConfig(phase_share=0.0)).draw()
    assert 0 < np.abs(noisy - plain).max() <= PCM_STEP / 2 + 1e-7


@pytest.mark.parametrize(
    "change", [{"phase_share": 1.5}, {"phase_low_hz": 0.0}, {"phase_low_hz": 100.0, "phase_high_hz": 50.0}]
)
def test_what_makes_no_sense_is_refused(change):
    with pytest.raises(ConfigError, match="augment"):
        HyperSoundAugmentConfig(**change)
