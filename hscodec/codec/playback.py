"""At which times of the encoded sound the samples of the output sit: its rate and how fast it is played; no torch.

Sample n of the output sits at speed * (n + 1/2) / rate seconds of the encoded sound. Playing at another speed changes
duration and pitch together, as with a tape (varispeed): it is the same grid as that of the rate divided by the speed,
so it costs nothing of its own, and features above rate / (2 speed) are left out like those above any Nyquist frequency.
"""

from dataclasses import dataclass
from fractions import Fraction

from hscodec.codec.constants import MAX_OUTPUT_RATE_HZ, MAX_SPEED, MIN_OUTPUT_RATE_HZ, MIN_SPEED
from hscodec.errors import HscodecError
from hscodec.rates import scaled_length

Number = Fraction | float
"""An exact number; of a float its shortest decimal form is taken: 0.1 is a tenth."""


@dataclass(frozen=True)
class Playback:
    """How a sound is played. Everything is exact.

    Attributes:
        rate: Samples of the output per second (Hz).
        speed: Seconds of the encoded sound per second of the output.
    """

    rate: Fraction
    speed: Fraction = Fraction(1)

    @classmethod
    def of(cls, encoded_rate: int, *, rate: Number | None = None, speed: Number = 1) -> "Playback":
        """Return how a sound is played at a chosen speed and rate, or at its own rate.

        Args:
            encoded_rate: Rate of what was encoded (Hz).
            rate: Output rate (Hz), `MIN_OUTPUT_RATE_HZ` to `MAX_OUTPUT_RATE_HZ`; None is the sound's own, whatever it
                is.
            speed: `MIN_SPEED` to `MAX_SPEED`.

        Raises:
            HscodecError: Rate or speed are out of range.
        """
        own = Fraction(encoded_rate)
        return cls(own if rate is None else _checked_rate(rate), _checked_speed(speed))

    @property
    def rate_hz(self) -> int | Fraction:
        """The rate as a plain integer wherever it is one (Hz)."""
        return self.rate.numerator if self.rate.denominator == 1 else self.rate

    @property
    def header_rate_hz(self) -> int:
        """The rate as the header of an audio file says it, which holds whole numbers only (Hz)."""
        return round(self.rate)

    @property
    def samples_per_second(self) -> Fraction:
        """Samples of the output in one second of the encoded sound."""
        return self.rate / self.speed

    def num_samples(self, num_encoded: int, encoded_rate: int) -> int:
        """Return the length of the output of `num_encoded` samples at `encoded_rate` (Hz)."""
        return scaled_length(num_encoded, encoded_rate, self.samples_per_second)


def check_playback(rate: Number | None, speed: Number = 1) -> None:
    """Refuse a rate or a speed out of range, before there is a sound.

    Raises:
        HscodecError: One of them is.
    """
    Playback.of(MIN_OUTPUT_RATE_HZ, rate=rate, speed=speed)


def _checked_rate(rate: Number) -> Fraction:
    exact = _exact(rate)
    if exact is None or not MIN_OUTPUT_RATE_HZ <= exact <= MAX_OUTPUT_RATE_HZ:
        limits = f"{MIN_OUTPUT_RATE_HZ} and {MAX_OUTPUT_RATE_HZ} Hz"
        raise HscodecError(f"the output rate must be between {limits}, not {rate}")
    return exact


def _checked_speed(speed: Number) -> Fraction:
    exact = _exact(speed)
    if exact is None or not MIN_SPEED <= exact <= MAX_SPEED:
        raise HscodecError(f"the speed must be between {float(MIN_SPEED):g} and {float(MAX_SPEED):g}, not {speed}")
    return exact


def _exact(number: Number) -> Fraction | None:
    try:
        return Fraction(repr(float(number)) if isinstance(number, float) else number)
    except ValueError:  # infinite, or not a number
        return None
