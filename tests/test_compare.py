"""Two files compared: one rate, one length, and what may not be compared."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from hscodec.codec import Reader, decode_file, encode_file
from hscodec.compare import compare_files
from hscodec.errors import AudioError, FormatError, HscodecError

RATE_HZ = 16_000


def tone(rate, *, frequency_hz=440, seconds=1.0):
    """A tone that fades in and out, so that no edge is cut by a change of rate."""
    times = np.arange(round(rate * seconds)) / rate
    return 0.5 * np.sin(np.pi * times / seconds) ** 2 * np.sin(2 * np.pi * frequency_hz * times)


@pytest.fixture
def write(tmp_path):
    """Write channels to a WAV file of floats."""

    def to_file(name, *channels, rate=RATE_HZ):
        path = tmp_path / name
        soundfile.write(path, np.stack(channels, axis=-1), rate, subtype="FLOAT")
        return path

    return to_file


@pytest.fixture
def encoded(write, tiny_model, tmp_path):
    """A sound at 16 kHz, and its `.hsnd` file."""
    source, target = write("sound.wav", tone(RATE_HZ)), tmp_path / "sound.hsnd"
    encode_file(source, target, model=tiny_model, device="cpu")
    return source, target


def test_identical_files(write):
    path = write("a.wav", tone(RATE_HZ), tone(RATE_HZ, frequency_hz=660))
    result = compare_files(path, path, names=["mse", "l1", "snr", "lsd"])
    assert result.is_identical
    assert {name: score.channels for name, score in result.scores.items()} == {
        "mse": (0, 0),
        "l1": (0, 0),
        "snr": (np.inf, np.inf),
        "lsd": (0, 0),
    }


def test_a_gain_of_6_db(write):
    reference, test = write("a.wav", tone(RATE_HZ)), write("b.wav", 0.5 * tone(RATE_HZ))
    scores = compare_files(reference, test, names=["mse", "snr", "si_sdr"]).scores
    assert scores["snr"].mean == pytest.approx(20 * np.log10(2))
    assert scores["mse"].mean == pytest.approx(0.25 * np.mean(tone(RATE_HZ) ** 2))
    assert scores["si_sdr"].mean > 100


@pytest.mark.parametrize("snr_db", [0, 20, 60])
def test_noise_of_a_known_level(write, snr_db):
    signal, noise = tone(RATE_HZ), np.random.default_rng(0).normal(size=RATE_HZ)
    noise *= np.sqrt(np.sum(signal**2) / np.sum(noise**2)) * 10 ** (-snr_db / 20)
    result = compare_files(write("a.wav", signal), write("b.wav", signal + noise), names=["snr", "si_snr"])
    assert not result.is_identical
    assert result.scores["snr"].mean == pytest.approx(snr_db, abs=1e-3)
    assert result.scores["si_snr"].mean == pytest.approx(snr_db, abs=0.2)


def test_swapped_channels(write):
    left, right = tone(RATE_HZ), tone(RATE_HZ, frequency_hz=660)
    result = compare_files(write("a.wav", left, right), write("b.wav", right, left), names=["snr"])
    assert result.scores["snr"].channels == pytest.approx([-10 * np.log10(2)] * 2, abs=0.01)


def test_mono_and_stereo_are_not_compared(write):
    mono, stereo = write("a.wav", tone(RATE_HZ)), write("b.wav", tone(RATE_HZ), tone(RATE_HZ))
    with pytest.raises(AudioError, match=r"channels differ: .*a\.wav has 1, .*b\.wav has 2"):
        compare_files(mono, stereo)


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
def test_a_test_file_of_another_rate_is_resampled(write, rate):
    reference, test = write("a.wav", tone(RATE_HZ)), write("b.wav", tone(rate), rate=rate)
    result = compare_files(reference, test, names=["snr"])
    assert (result.sample_rate, result.num_samples, result.test.sample_rate) == (RATE_HZ, RATE_HZ, rate)
    assert result.scores["snr"].mean > 80


def test_lengths_must_be_equal_or_trimmed(write):
    reference, test = write("a.wav", tone(RATE_HZ)), write("b.wav", tone(RATE_HZ)[:-1])
    for pair, lengths in (((reference, test), "16000.*15999"), ((test, reference), "15999.*16000")):
        with pytest.raises(AudioError, match=f"lengths differ at 16000 Hz: .*{lengths} samples; --trim"):
            compare_files(*pair)
        result = compare_files(*pair, names=["mse"], trim=True)
        assert result.num_samples == 15_999
        assert result.is_identical


@pytest.mark.parametrize(
    ("rate", "num_samples", "is_compared"),
    [(8000, 7999, True), (8000, 7998, False), (44_100, 44_098, True), (44_100, 44_090, False)],
)
def test_a_sample_of_the_lower_rate_is_rounding(write, rate, num_samples, is_compared):
    reference, test = write("a.wav", tone(RATE_HZ)), write("b.wav", tone(rate)[:num_samples], rate=rate)
    if is_compared:
        assert RATE_HZ - 2 <= compare_files(reference, test, names=["mse"]).num_samples < RATE_HZ
    else:
        with pytest.raises(AudioError, match="lengths differ"):
            compare_files(reference, test, names=["mse"])


def test_a_container_is_decoded_at_the_rate_of_the_reference(encoded, write, tmp_path):
    source, container = encoded
    decoded = tmp_path / "decoded.wav"
    decode_file(container, decoded, device="cpu", subtype="FLOAT")
    names = ["mse", "snr", "lsd"]
    direct = compare_files(source, container, names=names, device="cpu")
    assert direct.test.is_encoded
    assert not direct.is_identical
    assert direct.scores == compare_files(source, decoded, names=names).scores
    other = compare_files(write("b.wav", tone(24_000), rate=24_000), container, names=names, device="cpu")
    assert (other.sample_rate, other.num_samples) == (24_000, 24_000)


def test_a_container_as_reference_is_decoded_at_the_rate_of_the_other(encoded, write):
    _, container = encoded
    result = compare_files(container, write("b.wav", tone(24_000), rate=24_000), names=["mse"], device="cpu")
    assert (result.sample_rate, result.num_samples, result.reference.sample_rate) == (24_000, 24_000, RATE_HZ)
    both = compare_files(container, container, names=["mse"], device="cpu")
    assert (both.sample_rate, both.is_identical) == (RATE_HZ, True)
    with Reader(container, device="cpu") as reader:
        assert both.num_samples == reader.num_samples


def test_what_cannot_be_read_is_named(encoded, write, tmp_path):
    source, container = encoded
    data = container.read_bytes()
    container.write_bytes(data[:-40])
    for pair in ((source, container), (container, source)):
        with pytest.raises(FormatError, match=f"^{container}"):
            compare_files(*pair, names=["mse"], device="cpu")
    text = tmp_path / "text.wav"
    text.write_text("not a sound")
    with pytest.raises(AudioError, match=f"^{text}: "):
        compare_files(source, text)
    with pytest.raises(AudioError, match="No such file"):
        compare_files(source, tmp_path / "missing.wav")
    empty = write("empty.wav", np.zeros(0))
    with pytest.raises(AudioError, match=f"^{empty}: "):
        compare_files(empty, empty)


def test_nothing_is_read_for_a_measure_that_is_unknown(tmp_path):
    with pytest.raises(HscodecError, match="unknown metric 'loudness'"):
        compare_files(tmp_path / "missing.wav", tmp_path / "missing.wav", names=["loudness"])


def test_progress_is_told(encoded):
    source, container = encoded
    steps = []
    compare_files(source, container, names=["mse"], device="cpu", progress=lambda *step: steps.append(step))
    assert steps[0] == (0, 1, "decoding sound.hsnd")
    assert steps[-1] == (0, 1, "mse")


def test_audio_files_are_compared_without_torch(write):
    path = write("a.wav", tone(RATE_HZ))
    code = (
        "import json, sys; from hscodec.compare import compare_files; compare_files(sys.argv[1], sys.argv[1]);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert {"torch", "click", "rich"} & set(json.loads(done.stdout)) == set()
