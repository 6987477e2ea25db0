"""`Reader`: random access to the sound of a `.hsnd` file."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch

from hscodec.codec.constants import MAX_OUTPUT_RATE_HZ, MIN_OUTPUT_RATE_HZ
from hscodec.codec.decoder import Decoder
from hscodec.codec.info import FileInfo, file_info
from hscodec.codec.lost import SecondsRange, heard_in, merged, missing_end
from hscodec.codec.mlp_decoder import MlpDecoder
from hscodec.codec.playback import Number, Playback, check_playback
from hscodec.codec.sampling import TimeSampler
from hscodec.codec.segment_weights import SegmentWeights
from hscodec.codec.stored_network import stored_network
from hscodec.codec.symbols import LayeredReader, LayeredStream, SymbolReader, SymbolStream, open_symbols
from hscodec.coding.layered import LayeredSymbols
from hscodec.coding.payload import ChunkSymbols
from hscodec.container.format import FileHeader
from hscodec.container.reader import ContainerReader, open_container
from hscodec.device import choose_device
from hscodec.errors import FormatError, HscodecError
from hscodec.rates import first_sample
from hscodec.registry import AnyModel


class Reader:
    """An open `.hsnd` file whose sound can be read from anywhere; a context manager. Not for several threads at once.

    Any range is exactly the slice of the whole, to the last bit on one machine, and costs only the chunks around it.

    Args:
        source: A path, or a binary file that can seek, which is left open.
        model: The model that the file names; None finds it.
        rate: Output rate (Hz), 1 to 384 kHz, whole or not; None keeps the rate of what was encoded.
        speed: How fast the sound is played, 0.25 to 4; pitch and duration change together.
        device: Where the networks run and the samples are returned.
        keep_going: Read damaged and cut files as well: what is lost is silence into which the sound fades, and `lost`
            names it. The sound then ends with the last chunk that is left.
        workers: Threads that decode long ranges, on the CPU; None is as many as torch would use. They change no sample.

    Raises:
        FormatError: The source is not a `.hsnd` file, is damaged (without `keep_going`), or its own rate is out of
            range and `rate` is not given.
        ModelError: The model is not installed, or not the one that the file names.
        HscodecError: The rate or the speed is out of range, or there is no such device.

    Attributes:
        header: What the file says about itself.
        playback: Rate and speed of the output, exactly.
        rate: Output rate (Hz), an integer wherever it is whole.
        num_samples: Length of each channel at that rate and speed.
        decoder: What renders it, by the chunk.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        model: AnyModel | None = None,
        rate: Number | None = None,
        speed: Number = 1,
        device: torch.device | str = "auto",
        keep_going: bool = False,
        workers: int | None = None,
    ) -> None:
        check_playback(rate, speed)
        device = choose_device(device) if isinstance(device, str) else device
        with contextlib.ExitStack() as stack:
            if isinstance(source, str | Path):
                self._container = stack.enter_context(open_container(source))
            else:
                self._container = ContainerReader(source)
            self.header: FileHeader = self._container.header
            if self._container.index_was_rebuilt and not keep_going:
                name = source if isinstance(source, str | Path) else "the file"
                advice = "`hscodec verify` says where, --keep-going decodes the rest"
                raise FormatError(f"{name} is cut short or damaged; {advice}")
            self._symbols = open_symbols(self._container, model)
            self.decoder = open_decoder(
                self._symbols, model, rate=rate, speed=speed, device=device, keep_going=keep_going, workers=workers
            )
            self.playback: Playback = self.decoder.playback
            self.rate = self.playback.rate_hz
            self.num_samples: int = self.decoder.num_samples or 0
            self._sampler = TimeSampler(self.decoder, self.header, self._container.num_samples, device)
            self._stack = stack.pop_all()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file if it was opened here."""
        self._stack.close()

    @cached_property
    def info(self) -> FileInfo:
        """What the file says about itself: model, quality, tags, bitrate and so on."""
        return file_info(self._container)

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self.decoder.device

    @property
    def num_channels(self) -> int:
        """C."""
        return self.header.num_channels

    @property
    def file_bytes(self) -> int:
        """Size of the `.hsnd` file."""
        return self._container.file_bytes

    @property
    def seconds(self) -> float:
        """Duration of the encoded sound (s); played at another speed it takes `num_samples / rate`."""
        return self._container.num_samples / self.header.sample_rate

    @property
    def lost(self) -> list[SecondsRange]:
        """The seconds that were met so far and are lost, and the end of a file that was cut."""
        ranges = [heard_in(self._container, *segments) for segments in self.decoder.lost]
        end = missing_end(self._container)
        return list(merged([*ranges, end] if end else ranges))

    def read(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Return the samples `[start, stop)` of the output.

        Args:
            start: First sample, 0 to `num_samples`.
            stop: One past the last sample; None, or anything beyond the end, is the end.

        Shape:
            returns: [C, T] float32, on the reader's device

        Raises:
            FormatError: Something needed is damaged and `keep_going` is not set, or more than an hour of it is missing.
            HscodecError: The range does not lie in the sound.
        """
        self.check_range(start, stop)
        return self.decoder.read(start, stop)

    def blocks(self, start: int = 0, stop: int | None = None, *, reverse: bool = False) -> Iterator[torch.Tensor]:
        """Yield what `read` would return as consecutive blocks [C, T] of a few seconds.

        Args:
            start: First sample, 0 to `num_samples`.
            stop: One past the last sample; None, or anything beyond the end, is the end.
            reverse: Play it backwards: the same samples, the last one first.

        Raises:
            FormatError: As `read`.
            HscodecError: As `read`.
        """
        self.check_range(start, stop)
        return self.decoder.blocks(start, stop, reverse=reverse)

    def sample(self, times: torch.Tensor, *, band_limit_hz: float | None = None) -> torch.Tensor:
        """Return the sound at arbitrary times, as a differentiable function of them.

        Only the chunks that the times need are read, and the networks used last, some 20 s of them, are kept ready.
        What it costs grows with the number of times, and with that of the different stretches of 5 s in which they
        lie; memory takes some 40 bytes for each time (`benchmarks/sampling.py`). At the times of a regular grid the
        result is that of `read`, but for rounding.

        Args:
            times: Seconds of the encoded sound, in any order, on any device. `rate` and `speed` play no role. Outside
                the sound, and where a time is not a number, the result is 0. Take double precision: in single
                precision a minute into a sound times are 4 microseconds apart.
            band_limit_hz: Highest frequency that is rendered, which keeps sparse times from aliasing; None renders all
                that there is. Networks with hidden layers know no such limit.

        Shape:
            times: [N]
            returns: [C, N] float32, on the reader's device; gradients reach `times` once, not twice

        Raises:
            FormatError: Something needed is damaged and `keep_going` is not set.
            HscodecError: The times are no vector of floats, or there can be no such band limit.
        """
        return self._sampler.sample(times, band_limit_hz=band_limit_hz)

    def weights(self, start: int = 0, stop: int | None = None) -> SegmentWeights:
        """Return the weights of all target networks that sound in the samples `[start, stop)`, on the reader's device.

        What is returned may take part in training. It counts time in the encoded sound, whatever the speed.

        Args:
            start: First sample, 0 to `num_samples`.
            stop: One past the last sample; None, or anything beyond the end, is the end.

        Raises:
            FormatError: As `read`.
            HscodecError: The range does not lie in the sound.
        """
        self.check_range(start, stop)
        return self.decoder.weights(start, stop)

    def sample_at(self, seconds: Fraction | float) -> int:
        """Return the first sample at that time of the encoded sound or later.

        Sample n sits at speed * (n + 1/2) / rate.
        """
        return max(first_sample(Fraction(seconds), self.playback.samples_per_second), 0)

    def sample_range(self, start: Fraction | float = 0, stop: Fraction | float | None = None) -> tuple[int, int]:
        """Return the samples `[first, last)` that sit in the range `[start, stop)` of seconds of the encoded sound.

        Args:
            start: Where the range starts (s).
            stop: Where it stops (s); None, or anything beyond the end, is the end.

        Raises:
            HscodecError: The range holds nothing, or starts behind the end of the sound.
        """
        check_seconds(start, stop)
        first = self.sample_at(start)
        last = self.num_samples if stop is None else min(self.sample_at(stop), self.num_samples)
        if start and first >= self.num_samples:
            raise HscodecError(f"the range starts at {float(start):g} s, the sound stops at {self.seconds:g} s")
        return first, last

    def symbols(self, index: int) -> ChunkSymbols | LayeredSymbols:
        """Return the integers of chunk `index`, weight symbols [C, S, K] with precision latent or scales beside them.

        Raises:
            FormatError: The chunk is damaged.
            IndexError: There is no such chunk.
        """
        spans = [place for place, span in enumerate(self._symbols.spans) if span.chunk is not None]
        return self._symbols.read(spans[index])

    def check_range(self, start: int, stop: int | None) -> None:
        """Refuse a range of samples that does not lie in the sound.

        Raises:
            HscodecError: It does not.
        """
        if not isinstance(start, Integral) or not isinstance(stop, Integral | None):
            raise HscodecError(f"samples are counted in whole numbers, not from {start} to {stop}")
        if not 0 <= start <= self.num_samples:
            raise HscodecError(f"sample {start} is not in the sound, which has {self.num_samples}")
        if stop is not None and stop < start:
            raise HscodecError(f"the range stops at sample {stop}, before its start at {start}")


def check_seconds(start: Fraction | float, stop: Fraction | float | None) -> None:
    """Refuse a range of seconds that holds nothing in any sound.

    Raises:
        HscodecError: It starts before 0, or does not stop after its start.
    """
    if start < 0 or (stop is not None and stop <= start):
        raise HscodecError(f"the range from {float(start):g} s to {float(stop or 0):g} s holds nothing")


def open_decoder(
    source: SymbolReader | SymbolStream | LayeredReader | LayeredStream,
    model: AnyModel | None = None,
    *,
    rate: Number | None = None,
    speed: Number = 1,
    device: torch.device | str,
    keep_going: bool = False,
    workers: int | None = None,
) -> Decoder | MlpDecoder:
    """Return the decoder of a source's target network, after checking that the file's own rate can be rendered.

    Raises:
        FormatError: It cannot, and no other was chosen; or the file does not fit its model.
        ModelError: The model is not installed, or not the one that the file names.
        HscodecError: The rate or the speed is out of range, or there is no such device.
    """
    own = source.header.sample_rate
    if rate is None and not MIN_OUTPUT_RATE_HZ <= own <= MAX_OUTPUT_RATE_HZ:
        raise FormatError(f"its rate of {own} Hz is not supported; choose an output rate")
    playback = Playback.of(own, rate=rate, speed=speed)
    if isinstance(device, str):
        device = choose_device(device)
    if isinstance(source, LayeredReader | LayeredStream):
        network = stored_network(source.header, model, device)
        return MlpDecoder(source, network, playback=playback, device=device, keep_going=keep_going)
    return Decoder(source, source.model, playback=playback, device=device, keep_going=keep_going, workers=workers)
