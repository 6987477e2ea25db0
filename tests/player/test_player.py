"""What is played is what `Reader.read` returns, sample by sample, and never anything but silence besides."""

import io
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hscodec.codec import Reader, encode_file
from hscodec.codec.fit import FitConfig
from hscodec.codec.fit_file import fit_file
from hscodec.container import ContainerReader
from hscodec.errors import FormatError, HscodecError
from hscodec.inr.mlp import MlpConfig
from hscodec.player.player import Player

RATE_HZ = 8_000
SIZES = (1, 441, 1024, 37, 512)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; fail if it never does."""
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.002)


class FakeOutput:
    """Takes frames in odd sizes, like an audio device that waits for decoding: how fast it is plays no role."""

    def __init__(self, player: Player, num_outputs: int = 2, sizes: tuple[int, ...] = SIZES) -> None:
        self.heard: list[np.ndarray] = []
        self.has_more = True
        self._player, self._num_outputs, self._sizes = player, num_outputs, cycle(sizes)

    def take(self, num_frames: int | None = None) -> np.ndarray:
        """Take one buffer [T, C]."""
        size = num_frames or next(self._sizes)
        wait_until(lambda: self._is_ready(size))
        frames = np.full((size, self._num_outputs), np.nan, np.float32)
        self.has_more = self._player.fill(frames)
        self.heard.append(frames)
        return frames

    def play(self) -> np.ndarray:
        """Take all that is left; return all that was heard [C, T]."""
        while self.has_more:
            self.take()
        return np.concatenate(self.heard).T

    def _is_ready(self, size: int) -> bool:
        try:
            self._player.check()
        except HscodecError:
            return True
        return self._player.is_paused or self._player.queued_samples >= min(size, self._player.remaining_samples)


@pytest.fixture(scope="module")
def wave(tmp_path_factory) -> Path:
    """15.4 s of noise under a swell in two channels: four blocks, more than the queue holds."""
    path = tmp_path_factory.mktemp("played") / "in.wav"
    swell = 0.1 + 0.4 * np.sin(np.arange(123_200) / 7000)[:, None] ** 2
    soundfile.write(path, np.random.default_rng(3).uniform(-1, 1, (123_200, 2)) * swell, RATE_HZ)
    return path


@pytest.fixture(scope="module")
def sound(wave, tiny_model) -> Path:
    path = wave.with_suffix(".hsnd")
    encode_file(wave, path, model=tiny_model, device="cpu")
    return path


@pytest.fixture
def reader(sound):
    with Reader(sound, device="cpu") as opened:
        yield opened


def assert_is(heard: np.ndarray, expected: np.ndarray) -> None:
    """Heard is what was expected, and then nothing but the rest of the last buffer."""
    num_samples = expected.shape[1]
    np.testing.assert_array_equal(heard[:, :num_samples], expected)
    assert heard.shape[1] - num_samples < max(SIZES)
    assert not heard[:, num_samples:].any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("options", "start", "stop"),
    [
        ({}, 0, None),
        ({"rate": 11_025, "speed": Fraction(3, 2)}, Fraction("1.5"), Fraction("8.25")),
        ({"rate": Fraction(48_000_000, 1001)}, Fraction("6.1"), Fraction("6.2")),
        ({"speed": Fraction(1, 2)}, Fraction("15.3"), 99),
    ],
)
def test_a_range_is_played_as_it_is_read(sound, options, start, stop, reverse):
    with Reader(sound, device="cpu", **options) as reader:
        first, last = reader.sample_range(start, stop)
        expected = reader.read(first, last).numpy()
        with Player(reader, start=first, stop=last, reverse=reverse) as player:
            assert player.position_s == pytest.approx(float(min(stop or 99, 15.4) if reverse else start), abs=1e-3)
            heard = FakeOutput(player).play()
            assert player.position_s == pytest.approx(float(start if reverse else min(stop or 99, 15.4)), abs=1e-3)
            player.check()
            assert (player.remaining_samples, player.underrun_samples) == (0, 0)
    assert_is(heard, expected[:, ::-1] if reverse else expected)


def test_networks_with_hidden_layers_are_played_as_well(tmp_path):
    source, path = tmp_path / "a.wav", tmp_path / "a.hsnd"
    soundfile.write(source, 0.5 * np.sin(np.arange(2_000) / 5), RATE_HZ)
    siren = MlpConfig(kind="siren", hidden_layers=1, width=8, omega_0=300.0)
    fit_file(source, path, config=FitConfig(siren, Fraction(1, 10), steps=2), device="cpu")
    with Reader(path, device="cpu", rate=11_025) as reader:
        expected = reader.read().numpy()
        with Player(reader, num_outputs=2) as player:
            heard = FakeOutput(player).play()
    assert expected.any()
    assert_is(heard, np.repeat(expected, 2, 0))


def test_two_channels_are_averaged_for_one(reader):
    expected = reader.read(0, 5_000).numpy().mean(0, keepdims=True)
    with Player(reader, num_outputs=1, stop=5_000) as player:
        heard = FakeOutput(player, 1).play()
    np.testing.assert_allclose(heard[:, :5_000], expected, rtol=0, atol=1e-6)


def test_a_buffer_that_ends_with_the_sound_is_the_last(reader):
    with Player(reader, stop=1_000) as player:
        output = FakeOutput(player)
        output.take(999)
        assert output.has_more
        output.take(1)
        assert not output.has_more
        assert not output.take(64).any()
        assert player.underrun_samples == 0


def test_an_empty_range_is_over_at_once(reader):
    with Player(reader, start=500, stop=500) as player:
        output = FakeOutput(player)
        assert not output.take(64).any()
        assert not output.has_more


def test_a_pause_puts_in_silence_and_nothing_else(reader):
    with Player(reader, stop=20_000) as player:
        output = FakeOutput(player)
        before = [output.take() for _ in range(7)]
        position_s = player.position_s
        player.is_paused = True
        for _ in range(20):
            assert not output.take().any()
            assert output.has_more
        assert player.position_s == position_s
        player.is_paused = False
        output.heard = before
        heard = output.play()
        assert player.underrun_samples == 0
    assert_is(heard, reader.read(0, 20_000).numpy())


@pytest.mark.parametrize("reverse", [False, True])
def test_seeks_land_where_they_should(reader, reverse):
    whole = reader.read().numpy()
    with Player(reader, start=8_000, stop=90_000, reverse=reverse) as player:
        output = FakeOutput(player)
        for target_s, expected in ((5, 40_000), (Fraction("2.0001"), 16_001), (0, 8_000), (-7, 8_000), (11.25, 90_000)):
            output.take()
            player.seek(target_s)
            assert player.position_s == expected / RATE_HZ
        player.seek(5)
        heard = np.concatenate([output.take() for _ in range(9)]).T
        expected = whole[:, 40_000 - heard.shape[1] : 40_000][:, ::-1] if reverse else whole[:, 40_000:]
        np.testing.assert_array_equal(heard, expected[:, : heard.shape[1]])
        assert player.underrun_samples == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_skips_are_seconds_of_the_encoded_sound_whatever_speed_and_direction(sound, reverse):
    with (
        Reader(sound, device="cpu", rate=16_000, speed=2) as reader,
        Player(reader, start=8_000, stop=80_000, reverse=reverse) as player,
    ):
        player.seek(5)
        for step_s, expected_s in ((5, 10), (-3, 7), (-30, 1), (Fraction(1, 2), 1.5), (30, 10), (-5, 5)):
            player.skip(step_s)
            assert player.position_s == expected_s
        frames = FakeOutput(player).take(100).T
        player.close()
        expected = reader.read(39_900, 40_000).numpy()[:, ::-1] if reverse else reader.read(40_000, 40_100).numpy()
    np.testing.assert_array_equal(frames, expected)


def test_the_end_is_the_end_unless_somebody_seeks_back(reader):
    tail = reader.read(122_400).numpy()
    with Player(reader) as player:
        output = FakeOutput(player)
        player.skip(30)
        output.take()
        assert not output.has_more
        player.skip(-Fraction(1, 10))
        np.testing.assert_array_equal(output.take(800).T, tail)
        assert not output.has_more


def test_somebody_who_seeks_to_the_end_in_a_pause_may_come_back(reader):
    with Player(reader) as player:
        output = FakeOutput(player)
        player.is_paused = True
        player.skip(30)
        output.take()
        assert output.has_more
        player.is_paused = False
        output.take()
        assert not output.has_more


class SlowReader(Reader):
    """Hands its blocks out one by one, when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, device="cpu")
        self.permits = threading.Semaphore(0)

    def blocks(self, start=0, stop=None, *, reverse=False):
        for block in super().blocks(start, stop, reverse=reverse):
            self.permits.acquire()
            yield block


def test_silence_before_the_first_sound_is_no_underrun_but_silence_in_between_is(sound):
    frames = np.empty((1_000, 2), np.float32)
    with SlowReader(sound) as reader:
        whole = reader.read().numpy().T
        with Player(reader) as player:
            assert player.fill(frames)
            assert not frames.any()
            assert (player.underrun_samples, player.position_s) == (0, 0)
            reader.permits.release()
            wait_until(lambda: player.queued_samples > 0)
            num_first = player.queued_samples
            first = np.empty((num_first - 400, 2), np.float32)
            assert player.fill(first)
            assert player.fill(frames)
            np.testing.assert_array_equal(frames[:400], whole[num_first - 400 : num_first])
            assert not frames[400:].any()
            assert player.underrun_samples == 600
            reader.permits.release()
            wait_until(lambda: player.queued_samples > 0)
            assert player.fill(frames)
            np.testing.assert_array_equal(frames, whole[num_first : num_first + 1_000])
            player.seek(1)
            assert player.fill(frames)
            assert not frames.any()
            assert player.underrun_samples == 600
            reader.permits.release(100)


def test_what_is_decoded_ahead_is_bounded(reader):
    longest = max(block.shape[1] for block in reader.blocks())
    with Player(reader, queue_seconds=1) as player:
        wait_until(lambda: player.queued_samples > 0)
        output = FakeOutput(player)
        while output.has_more:
            assert player.queued_samples < RATE_HZ + longest
            output.take(3_000)


def test_closing_in_the_middle_leaves_no_thread_and_nothing_to_play(reader):
    before = set(threading.enumerate())
    with Player(reader) as player:
        FakeOutput(player).take()
        started = set(threading.enumerate()) - before  # the player's, and those that decode for it
        assert [thread.name for thread in started].count("hscodec-player") == 1
    assert set(threading.enumerate()) == before
    frames = np.full((64, 2), np.nan, np.float32)
    assert not player.fill(frames)
    assert not frames.any()
    player.close()
    Player(reader).close()
    assert reader.read(0, 10).shape == (2, 10)


def damaged(path: Path) -> io.BytesIO:
    """Return the file with a bit flipped in its last chunk."""
    content = bytearray(path.read_bytes())
    entry = ContainerReader(io.BytesIO(content)).chunks[-1]
    content[entry.offset + entry.byte_length // 2] ^= 1
    return io.BytesIO(content)


def test_damage_ends_the_sound_and_is_told(sound, reader):
    with Reader(damaged(sound), device="cpu") as other:
        with Player(other) as player:
            output = FakeOutput(player)
            heard = output.play()
            with pytest.raises(FormatError, match="checksum|damaged"):
                player.check()
            position = round(player.position_s * RATE_HZ)
            assert 0 < position < other.num_samples
            assert_is(heard, reader.read(0, position).numpy())
            player.seek(1)
            player.check()
            np.testing.assert_array_equal(output.take(100).T, reader.read(8_000, 8_100).numpy())
            assert output.has_more


def test_damage_is_silence_for_who_keeps_going(sound):
    with Reader(damaged(sound), device="cpu", keep_going=True) as other:
        expected = other.read().numpy()
        with Player(other) as player:
            heard = FakeOutput(player).play()
            player.check()
        assert other.lost
    assert_is(heard, expected)
