"""What the command tests share: sounds to encode, a container without a model, and a runner."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from hscodec.cli.main import main
from hscodec.container import ChunkOrder, ContainerWriter, FileHeader

RATE_HZ = 16_000


@pytest.fixture
def run():
    """Run `hscodec` in this process."""

    def invoke(*arguments: object, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin, prog_name="hscodec")

    return invoke


@pytest.fixture
def fails(run):
    """Run `hscodec`, expect a failure, and return its one line."""

    def invoke(*arguments: object, stdin: bytes | None = None) -> str:
        result = run(*arguments, stdin=stdin)
        assert result.exit_code == 1, result.output
        lines = result.stderr.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("hscodec: error: ")
        return lines[0].removeprefix("hscodec: error: ")

    return invoke


@pytest.fixture
def tone_path(tmp_path) -> Path:
    """One second of a 440 Hz tone, mono, 16 kHz."""
    path = tmp_path / "tone.wav"
    times = np.arange(RATE_HZ) / RATE_HZ
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * times), RATE_HZ)
    return path


@pytest.fixture
def make_container(tmp_path):
    """Write a `.hsnd` file whose payloads mean nothing: enough for what does not decode."""

    def make(name: str = "plain.hsnd", *, num_samples: int = 48_000, **changes: object) -> Path:
        values = {"sample_rate": RATE_HZ, "num_channels": 2, "num_weights": 320, "quality": 650, "gain": 0.5}
        header = FileHeader(num_samples=num_samples, **(values | changes))
        path = tmp_path / name
        with path.open("wb") as sink, ContainerWriter(sink, header) as writer:
            for first, count, last in ((0, 100, False), (100, 52, True)):
                writer.write_chunk(
                    first_segment=first,
                    num_segments=count,
                    order=ChunkOrder.PLAIN,
                    symbol_digest=bytes(8),
                    payload=bytes(range(40)),
                    last=last,
                )
        return path

    return make
