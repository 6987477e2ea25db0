import io

import numpy as np
import pytest

pytest.importorskip("av")

from benchmarks import peers
from benchmarks.peers import Aac, Mp3, Opus
from hscodec.errors import HscodecError
from hscodec.metrics.waveform import si_sdr_db

GENEROUS = {
    "opus": (Opus((), kind="music"), 96.0),
    "mp3": (Mp3(()), 64.0),
    "aac": (Aac(()), 64.0),
}


def lag_samples(reference, degraded):
    """Return where the cross-correlation peaks, in samples; positive where the second signal is late."""
    size = 1 << (2 * reference.size).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(degraded, size) * np.conj(np.fft.rfft(reference, size)))
    peak = int(correlation.argmax())
    return peak - size if peak > size // 2 else peak


def assert_alike(original, decoded):
    assert lag_samples(original, decoded) == 0
    assert si_sdr_db(original, decoded) > 20
    assert np.dot(original, decoded) / np.dot(original, original) == pytest.approx(1, abs=0.06)  # LAME takes off 5 %


@pytest.mark.parametrize("name", GENEROUS)
@pytest.mark.parametrize("sample_rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_what_comes_back_is_aligned_and_as_long_and_as_loud(name, sample_rate, speech):
    codec, kbps = GENEROUS[name]
    samples = speech(sample_rate, 0.7)[None]
    decoded = codec.decode(codec.encode(samples, sample_rate, kbps))
    assert decoded.dtype == np.float32 and decoded.shape == samples.shape
    assert_alike(samples[0], decoded[0])


@pytest.mark.parametrize("name", GENEROUS)
@pytest.mark.parametrize("sample_rate", [8000, 22_050, 44_100, 48_000, 96_000])
def test_two_channels_come_back_in_their_order_and_unmixed(name, sample_rate, stereo):
    codec, kbps = GENEROUS[name]
    samples = stereo(sample_rate, 0.7)
    encoded = codec.encode(samples, sample_rate, 2 * kbps)
    decoded = codec.decode(encoded)
    assert decoded.dtype == np.float32 and decoded.shape == samples.shape
    assert (encoded.num_channels, encoded.num_samples) == samples.shape
    for original, other, channel in zip(samples, samples[::-1], decoded, strict=True):
        assert_alike(original, channel)
        assert si_sdr_db(other, channel) < -20  # no more of the other than the original holds


@pytest.mark.parametrize("name", GENEROUS)
@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_channel_stays_silent_beside_another(name, silent, stereo):
    codec, kbps = GENEROUS[name]
    samples = stereo(44_100, 0.7)
    samples[silent] = 0
    decoded = codec.decode(codec.encode(samples, 44_100, 2 * kbps))
    assert np.abs(decoded[silent]).max() < 1e-4
    assert_alike(samples[1 - silent], decoded[1 - silent])


@pytest.mark.parametrize("codec", [Opus(()), Mp3(()), Aac(())], ids=lambda codec: codec.name)
@pytest.mark.parametrize("kbps", [8.0, 32.0])
def test_low_rates_keep_two_channels(codec, kbps, stereo):
    samples = stereo(48_000, 1.5)
    encoded = codec.encode(samples, 48_000, kbps)
    assert encoded.kbps(encoded.payload_bytes) < 1.5 * kbps
    assert codec.decode(encoded).shape == samples.shape


@pytest.mark.parametrize("kbps", [6.0, 12.0, 24.0])
def test_opus_in_speech_mode_is_aligned_to_a_tenth_of_a_millisecond(kbps, speech):
    samples = speech(48_000, 1.5)[None]
    decoded = Opus(()).decode(Opus(()).encode(samples, 48_000, kbps))
    assert abs(lag_samples(samples[0], decoded[0])) <= 5


@pytest.mark.parametrize("codec", [Opus(()), Mp3(()), Aac(())], ids=lambda codec: codec.name)
def test_more_bits_make_a_larger_file_and_a_better_sound(codec, speech):
    samples = speech(24_000, 2)[None]
    encoded = [codec.encode(samples, 24_000, kbps) for kbps in (16.0, 64.0)]
    assert encoded[0].payload_bytes < encoded[1].payload_bytes
    assert encoded[0].file_bytes < encoded[1].file_bytes
    ratios = [si_sdr_db(samples[0], codec.decode(each)[0]) for each in encoded]
    assert ratios[0] < ratios[1]


@pytest.mark.parametrize("codec", [Opus(()), Mp3(()), Aac(())], ids=lambda codec: codec.name)
def test_a_file_is_its_payload_and_a_little_more(codec, speech):
    encoded = codec.encode(speech(16_000, 2)[None], 16_000, 16.0)
    assert 0 < encoded.file_bytes - encoded.payload_bytes < 1500
    assert encoded.file_bytes == len(encoded.blob)
    assert encoded.kbps(encoded.file_bytes) == pytest.approx(encoded.file_bytes * 8 / 2 / 1000)


@pytest.mark.parametrize("codec", [Opus(()), Mp3(()), Aac(())], ids=lambda codec: codec.name)
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("num_samples", [1, 100, 1000])
def test_very_short_clips_come_back_as_long(codec, num_channels, num_samples, stereo):
    samples = stereo(48_000, 1)[:num_channels, :num_samples]
    assert codec.decode(codec.encode(samples, 48_000, 32.0)).shape == samples.shape


def test_silence_stays_silent():
    for codec, kbps in GENEROUS.values():
        assert np.abs(codec.decode(codec.encode(np.zeros((1, 24_000), np.float32), 48_000, kbps))).max() < 1e-4


def test_opus_files_are_ogg_and_say_what_was_used(speech):
    assert Opus(()).encode(speech(16_000, 0.2)[None], 16_000, 12.0).blob.startswith(b"OggS")
    assert Opus(()).version().endswith(" voip")
    assert Opus((), kind="music").version().endswith(" audio")


@pytest.mark.parametrize(
    ("sample_rate", "kbps_per_channel", "expected"),
    [(48_000, 24, 24_000), (48_000, 48, 48_000), (44_100, 32, 24_000), (16_000, 16, 16_000), (96_000, 128, 48_000)],
)
def test_mp3_halves_high_rates_at_low_bitrates(sample_rate, kbps_per_channel, expected):
    assert peers._coding_rate(sample_rate, kbps_per_channel, peers.MP3_RATES_HZ) == expected


@pytest.mark.parametrize("codec", [Mp3(()), Aac(())], ids=lambda codec: codec.name)
def test_two_channels_halve_their_rate_below_twice_the_bitrate(codec, stereo):
    samples = stereo(48_000, 0.3)
    coded_hz = []
    for clip, kbps in ((samples[:1], 64.0), (samples, 64.0), (samples, 96.0)):
        with peers.av_package().open(io.BytesIO(codec.encode(clip, 48_000, kbps).blob)) as file:
            coded_hz.append(file.streams.audio[0].rate)
    assert coded_hz == [48_000, 24_000, 48_000]


def test_a_missing_package_names_the_extra(monkeypatch):
    def without_package(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(peers.importlib, "import_module", without_package)
    with pytest.raises(HscodecError, match=r"hscodec\[bench\]"):
        Mp3(()).encode(np.zeros((1, 100), np.float32), 16_000, 32.0)
