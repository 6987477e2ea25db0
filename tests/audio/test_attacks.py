import numpy as np
import pytest

from hscodec.audio.attacks import find_attacks
from hscodec.coding.attacks import check_attacks
from hscodec.rates import ATTACK_LEAD_SLOTS

RATE = 48_000
HOP = RATE // 50


def window(num_segments=50, *, rate=RATE, noise=1e-3):
    random = np.random.default_rng(0)
    return noise * random.standard_normal((1, (num_segments + 1) * rate // 50))


def with_click(samples, seconds, *, rate=RATE, level=0.5):
    """Add decaying noise that sets in at a time counted from the centre of the first segment."""
    start = round((seconds + 1 / 50) * rate)
    time = np.arange(samples.shape[1] - start) / rate
    sound = level * np.random.default_rng(1).uniform(-1, 1, time.size) * np.exp(-30 * time)
    return np.concatenate([samples[:, :start], samples[:, start:] + sound], 1)


@pytest.mark.parametrize("rate", [8000, 11_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.2, 0.3017, 0.5])
def test_a_click_is_found_in_its_slot(rate, seconds):
    attacks = find_attacks(with_click(window(rate=rate), seconds, rate=rate), rate // 50)
    assert len(attacks) == 1
    channel, slot, gain = attacks[0]
    assert channel == 0
    assert slot == pytest.approx(seconds * 800 - 0.5, abs=1)
    assert gain == 6  # at most a factor of 8 is evened out


def test_softer_attacks_have_a_smaller_gain():
    gains = [find_attacks(with_click(window(noise=3e-3), 0.5, level=level), HOP)[0, 2] for level in (0.03, 0.1, 0.5)]
    assert gains == sorted(gains)
    assert gains[0] < gains[-1]


def test_what_is_no_attack():
    time = np.arange(51 * HOP) / RATE
    hum = 0.5 * np.sin(2 * np.pi * 100 * time)[None]
    pulses = np.zeros((1, time.size))
    pulses[:, :: RATE // 60] = 0.9  # a voice of 60 Hz
    for sound in (np.zeros((1, time.size)), window(noise=0.1), hum, pulses, with_click(window(), 0.5, level=0.002)):
        assert find_attacks(sound, HOP).shape == (0, 3)


def test_attacks_at_the_ends_of_a_chunk_are_left_alone():
    num_segments = 20
    for seconds in (-0.01, 0.02, 0.04, 19 * 0.02 + 0.005):
        assert not len(find_attacks(with_click(window(num_segments), seconds), HOP))
    assert not len(find_attacks(with_click(window(2), 0.01), HOP))
    found = find_attacks(with_click(window(num_segments), 0.05), HOP)
    assert len(found) == 1
    assert found[0, 1] >= ATTACK_LEAD_SLOTS


def test_many_attacks_are_valid_ones():
    samples = np.concatenate([window(100, noise=1e-4)] * 3)
    for seconds in np.arange(0.06, 1.9, 0.13):
        samples[1:] = with_click(samples[1:], seconds)
    attacks = find_attacks(samples, HOP)
    assert {channel for channel, _, _ in attacks.tolist()} == {1, 2}
    assert len(attacks) > 10
    check_attacks(attacks, 3, 100)
