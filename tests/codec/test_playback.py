"""Rates, whole or not, speeds and directions: one sound, sampled elsewhere."""

import io
import math
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import soxr
import torch

from hscodec.codec import Decoder, Reader, decode_file, encode_file
from hscodec.codec.playback import Playback, check_playback
from hscodec.errors import HscodecError
from hscodec.inr.lapped import LappedSiren
from hscodec.registry import load_model

NTSC_RATE = Fraction(48_000_000, 1001)


def test_everything_is_exact():
    playback = Playback.of(44_100, rate=NTSC_RATE, speed=Fraction(3, 2))
    assert playback.samples_per_second == Fraction(32_000_000, 1001)
    assert playback.num_samples(44_100 * 1001, 44_100) == 32_000_000
    assert playback.rate_hz == NTSC_RATE
    assert playback.header_rate_hz == 47_952
    own = Playback.of(22_050)
    assert (own.rate_hz, own.speed, own.num_samples(12_345, 22_050)) == (22_050, 1, 12_345)
    assert isinstance(own.rate_hz, int)


def test_a_float_is_the_decimal_number_that_it_stands_for():
    assert Playback.of(8000, rate=44_055.94, speed=0.7) == Playback(Fraction(4_405_594, 100), Fraction(7, 10))
    assert Playback.of(8000, speed=np.float64(0.7)).speed == Fraction(7, 10)


@pytest.mark.parametrize("rate", [999, Fraction(999_999, 1000), 384_000.5, -1, 0, math.inf, math.nan])
def test_rates_out_of_range(rate):
    with pytest.raises(HscodecError, match="rate must be between 1000 and 384000 Hz"):
        check_playback(rate)


@pytest.mark.parametrize("speed", [0, -1, 0.2499, Fraction(401, 100), math.inf, math.nan])
def test_speeds_out_of_range(speed):
    with pytest.raises(HscodecError, match=r"speed must be between 0\.25 and 4"):
        check_playback(None, speed)


def test_limits_are_in_range():
    for rate in (1000, 384_000):
        for speed in (0.25, 4):
            check_playback(rate, speed)


@pytest.mark.parametrize(("rate", "speed"), [(8000, 2), (22_050, 0.25), (48_000, Fraction(3, 2)), (6000, 0.3)])
def test_a_speed_is_another_rate_under_the_same_name(long_file, rate, speed):
    with Reader(long_file, rate=rate, speed=speed, device="cpu") as fast:
        other = Fraction(rate) / fast.playback.speed
        with Reader(long_file, rate=other, device="cpu") as relabelled:
            assert fast.num_samples == relabelled.num_samples
            assert torch.equal(fast.read(), relabelled.read())
            assert (fast.rate, relabelled.rate) == (rate, other)
            assert fast.seconds == relabelled.seconds == 114_321 / 8000
            assert fast.sample_at(3.21) == relabelled.sample_at(3.21)


@pytest.mark.parametrize(("rate", "speed"), [(1000, 4), (1000, 0.25), (384_000, 4), (384_000, 0.25), (383_999, 0.25)])
def test_the_limits_can_be_rendered(encoded, rate, speed):
    with Reader(encoded(1234, rate=8000), rate=rate, speed=speed, device="cpu") as reader:
        samples = reader.read()
        assert samples.shape == (1, round(1234 * Fraction(rate) / Fraction(speed) / 8000))
        assert samples.isfinite().all()
        assert torch.equal(reader.read(7, 99), samples[:, 7:99])


@pytest.mark.parametrize(("rate", "speed"), [(None, 1), (11_025, 1), (NTSC_RATE, 3)])
def test_backwards_is_the_flip_of_the_whole(long_file, rate, speed):
    with Reader(long_file, rate=rate, speed=speed, device="cpu") as reader:
        whole = reader.read()
        blocks = list(reader.blocks(reverse=True))
        assert len(blocks) == 3  # no more memory than forwards
        assert torch.equal(torch.cat(blocks, 1), whole.flip(1))
        for start, stop in ((0, 1), (123, 4567), (reader.num_samples - 3, None), (5, 5), (11, 10**9)):
            part = torch.cat([whole[:, :0], *reader.blocks(start, stop, reverse=True)], 1)
            assert torch.equal(part, whole[:, start:stop].flip(1))
        assert list(reader.blocks(reader.num_samples, reverse=True)) == []


def test_backwards_everything_is_refined_once(long_file, monkeypatch):
    rendered = []
    render = Decoder._render
    monkeypatch.setattr(Decoder, "_render", lambda self, *part: rendered.append(part[2]) or render(self, *part))
    with Reader(long_file, device="cpu", workers=1) as reader:
        list(reader.blocks(reverse=True))
    assert rendered == sorted(set(rendered), reverse=True)


def test_backwards_past_the_end_of_the_last_hop(many_chunks):
    """A rate at which the length is rounded up to a sample that no segment renders."""
    with Reader(many_chunks, rate=11_111, device="cpu") as reader:
        assert torch.equal(torch.cat(list(reader.blocks(reverse=True)), 1), reader.read().flip(1))


class Pipe(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation


def test_a_stream_is_played_at_any_speed_but_not_backwards(long_file, tmp_path):
    options = {"rate": NTSC_RATE, "speed": 2.5, "subtype": "FLOAT", "device": "cpu"}
    content = long_file.read_bytes()
    result = decode_file(long_file, tmp_path / "file.wav", **options)
    decode_file(Pipe(content), tmp_path / "pipe.wav", **options)
    samples = [soundfile.read(tmp_path / name)[0] for name in ("file.wav", "pipe.wav")]
    np.testing.assert_array_equal(*samples)
    assert result.sample_rate == soundfile.info(tmp_path / "file.wav").samplerate == 47_952
    with pytest.raises(HscodecError, match="a stream that cannot seek is decoded as a whole and forwards"):
        decode_file(Pipe(content), tmp_path / "other.wav", reverse=True, device="cpu")


@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_a_range_counts_seconds_of_the_encoded_sound(long_file, tmp_path, rate):
    options = {"rate": rate, "speed": Fraction(5, 4), "subtype": "FLOAT", "device": "cpu"}
    decode_file(long_file, tmp_path / "whole.wav", **options)
    decode_file(long_file, tmp_path / "part.wav", start=5, stop=7.5, reverse=True, **options)
    whole, part = (soundfile.read(tmp_path / name)[0] for name in ("whole.wav", "part.wav"))
    np.testing.assert_array_equal(part[::-1], whole[4 * rate : 6 * rate])


@pytest.fixture(scope="module")
def high_tone(tmp_path_factory):
    """Two seconds of a tone at 6 kHz, half of full scale, encoded at 16 kHz."""
    folder = tmp_path_factory.mktemp("tone")
    times = (np.arange(32_000) + 0.5) / 16_000
    soundfile.write(folder / "tone.wav", 0.5 * np.sin(2 * np.pi * 6000 * times), 16_000, subtype="FLOAT")
    encode_file(folder / "tone.wav", folder / "tone.hsnd", model=load_model("hsc-1"), quality=9, device="cpu")
    return folder / "tone.hsnd"


def level_db(path, **options):
    """Return how loud the middle of a file is (dB against a sine of full scale)."""
    with Reader(path, device="cpu", **options) as reader:
        samples = reader.read()[0].double()
    return 10 * math.log10(samples[len(samples) // 4 : -len(samples) // 4].square().mean() * 2 + 1e-30)


@pytest.mark.parametrize(
    ("rate", "speed"), [(8000, 1), (16_000, 2), (Fraction(24_000_000, 3001), 1), (22_050, 3), (28_000, 4)]
)
def test_what_is_above_the_nyquist_frequency_of_the_output_is_gone(high_tone, rate, speed):
    """It would fold; the same file has it where there is room for it."""
    there, gone = level_db(high_tone, rate=rate * 2, speed=speed), level_db(high_tone, rate=rate, speed=speed)
    assert there == pytest.approx(20 * math.log10(0.5), abs=0.5)
    assert gone < there - 45


def banded(samples, rate, highest_hz, *, shift_s=0.0):
    """Return what lies below a frequency, moved forward in time."""
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    spectrum = np.fft.rfft(samples) * np.exp(2j * np.pi * frequencies * shift_s)
    return np.fft.irfft(np.where(frequencies <= highest_hz, spectrum, 0), len(samples))


def snr_db(expected, found):
    middle = slice(len(expected) // 20, -len(expected) // 20)
    return 10 * np.log10(np.square(expected[middle]).sum() / np.square(expected[middle] - found[middle]).sum())


def against_soxr_db(ours, samples, own, rate):
    """Return how near a rendering [T] is to what soxr makes of samples [T] at their own rate: as they lie, and moved.

    Below 90 % of the lower Nyquist frequency, where soxr's filter is flat. soxr puts its first sample where the first
    sample of its input is, half a sample into the sound at the rate of the input. Samples of this package sit half a
    sample of their own into it. The second figure is with this difference taken out of soxr's output.
    """
    theirs = soxr.resample(samples, own, rate, quality="VHQ")[: len(ours)]
    highest_hz = 0.9 * min(rate, own) / 2
    found = banded(ours[: len(theirs)], rate, highest_hz)
    shifts = (0, 0.5 / rate - 0.5 / own)
    return [snr_db(banded(theirs, rate, highest_hz, shift_s=shift_s), found) for shift_s in shifts]


@pytest.mark.parametrize("rate", [8000, 11_025, 12_345, 16_000, 20_000, 24_000, 44_100, 48_000, 96_000])
def test_real_audio_is_what_soxr_makes_of_it(speech, rate):
    samples, own = soundfile.read(speech)
    per_hop = own // 50
    samples = samples[: len(samples) // per_hop * per_hop]
    theta = LappedSiren(per_hop).analyze(torch.from_numpy(np.pad(samples, per_hop)), per_hop)
    ours = LappedSiren(per_hop).synthesize(theta, Fraction(rate, 50)).numpy()
    as_they_lie_db, moved_db = against_soxr_db(ours, samples, own, rate)
    assert moved_db > 78
    assert as_they_lie_db < 40


@pytest.fixture(scope="module")
def coded_speech(speech, tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "speech.hsnd"
    encode_file(speech, path, model=load_model("hsc-5"), device="cpu")
    return path


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 96_000])
def test_coded_audio_is_at_other_rates_what_soxr_makes_of_its_own(coded_speech, rate):
    with Reader(coded_speech, device="cpu") as own, Reader(coded_speech, rate=rate, device="cpu") as other:
        ours, samples = (reader.read()[0].double().numpy() for reader in (other, own))
    assert against_soxr_db(ours, samples, 22_050, rate)[1] > 75
