"""Speed of hscodec beside libopus and two neural codecs in the same run, and how long its commands take to start.

Run `python benchmarks/speed.py`. Speed is how many seconds of sound one second of computing codes, from samples in
memory to the bytes of a file and back. Loading models and the first, slower call are not counted.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from benchmarks.contenders import Contender, Hscodec, Samples
from benchmarks.options import ListOf
from benchmarks.peers import Opus
from hscodec.audio.resample import resample
from hscodec.errors import HscodecError
from hscodec.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from benchmarks.neural_peers import NeuralPeer

DEFAULT_SOURCE = Path(__file__).resolve().parents[1] / "tests" / "data" / "speech.flac"
_WARM_UP_SECONDS = 5
_PEER_WARM_UP_SECONDS = 1
_WAVE_HEADER = 44
"""Bytes before the first sample of a WAV file."""
CODECS = ("hscodec", "opus", "encodec", "descript-audio-codec")


def tiled(source: Path, sample_rate: int, seconds: float) -> Samples:
    """Return a file's sound, mixed to mono, at `sample_rate` and repeated until it is `seconds` long.

    Args:
        source: Any file that soundfile reads, at least one sample long.
        sample_rate: Rate wanted (Hz).
        seconds: Length wanted.

    Shape:
        returns: [1, round(seconds * sample_rate)]
    """
    samples, source_rate = soundfile.read(source, dtype="float32", always_2d=True)
    mono = resample(samples.mean(axis=1)[None], source_rate, sample_rate)
    return np.resize(mono, (1, round(seconds * sample_rate)))


def measure(
    codec: Contender, samples: Samples, sample_rate: int, *, repeats: int, threads: int | None = None
) -> dict[str, Any]:
    """Time one codec at its first setting.

    Args:
        codec: The codec, ready to use.
        samples: What to code.
        sample_rate: Its rate (Hz).
        repeats: How often; the fastest counts, since what else the machine does only ever adds time.
        threads: How many it uses, for the record.

    Shape:
        samples: [C, T]
    """
    setting = codec.settings[0]
    encoded = codec.encode(samples[:, : _WARM_UP_SECONDS * sample_rate], sample_rate, setting)
    codec.decode(encoded)
    about = {
        "codec": codec.name,
        "version": codec.version(),
        "setting": setting,
        "threads": threads,
        "sample_rate": sample_rate,
        "kbps": round(encoded.kbps(encoded.file_bytes), 3),
    }
    return about | _timed(
        lambda: codec.encode(samples, sample_rate, setting),
        codec.decode,
        seconds=samples.shape[1] / sample_rate,
        repeats=repeats,
    )


def measure_peer(peer: "NeuralPeer", samples: Samples, *, repeats: int, threads: int) -> dict[str, Any]:
    """Time a neural codec, from an array to codes and back.

    Shape:
        samples: [1, T], at the rate of the codec
    """
    from benchmarks.neural_peers import version

    peer.decode(peer.encode(samples[:, : _PEER_WARM_UP_SECONDS * peer.sample_rate]))
    about = {
        "codec": peer.name,
        "version": version(peer),
        "threads": threads,
        "sample_rate": peer.sample_rate,
        "kbps": round(peer.kbps, 3),
    }
    seconds = samples.shape[1] / peer.sample_rate
    return about | _timed(lambda: peer.encode(samples), peer.decode, seconds=seconds, repeats=repeats)


def _timed(encode: Callable[[], Any], decode: Callable[[Any], Any], *, seconds: float, repeats: int) -> dict[str, Any]:
    encode_seconds, decode_seconds = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        encoded = encode()
        middle = time.perf_counter()
        decode(encoded)
        encode_seconds.append(round(middle - start, 4))
        decode_seconds.append(round(time.perf_counter() - middle, 4))
    return {
        "seconds": round(seconds, 3),
        "encode_seconds": encode_seconds,
        "decode_seconds": decode_seconds,
        "encode_times_real_time": round(seconds / min(encode_seconds), 2),
        "decode_times_real_time": round(seconds / min(decode_seconds), 2),
    }


def measure_start_up(encoded: bytes, *, repeats: int) -> dict[str, list[float]]:
    """Return how long commands take from the start of their process (s): `info`, the first sample, importing torch.

    Args:
        encoded: A `.hsnd` file.
        repeats: How often each is started.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sound.hsnd")
        path.write_bytes(encoded)
        program = [sys.executable, "-m", "hscodec"]
        commands = {
            "info": [*program, "info", str(path)],
            "first_sample": [*program, "decode", "-q", str(path), "-o", "-"],
            "import_torch": [sys.executable, "-c", "import torch; print()"],
        }
        return {
            name: [
                _seconds_to_output(command, skip=_WAVE_HEADER if name == "first_sample" else 0) for _ in range(repeats)
            ]
            for name, command in commands.items()
        }


def _seconds_to_output(command: list[str], *, skip: int) -> float:
    """Return the seconds until a command has written something beyond so many bytes; the rest is thrown away."""
    start = time.perf_counter()
    root = str(Path(__file__).resolve().parents[1])
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout
        found = process.stdout.read(skip + 1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    if process.returncode or len(found) <= skip:
        raise HscodecError(f"{' '.join(command[1:4])} failed")
    return round(seconds, 3)


def report(rows: list[dict[str, Any]], start_up: dict[str, list[float]] | None = None) -> str:
    """Return the rows as lines of text; those of hscodec with their speed as a multiple of each peer's."""
    lines = []
    peers = [row for row in rows if "peer" in row]
    for row in rows:
        threads = f", {row['threads']} thread{'s' * (row['threads'] > 1)}" if row["threads"] else ""
        lines.append(f"{row['codec']} at {row['sample_rate'] / 1000:g} kHz, {row['kbps']:.1f} kbit/s{threads}:")
        for action in ("encode", "decode"):
            speed = row[f"{action}_times_real_time"]
            ratios = [f"{speed / peer[f'{action}_times_real_time']:.3g} of {peer['codec']}" for peer in peers]
            compared = f" ({', '.join(ratios)})" if ratios and "peer" not in row else ""
            lines.append(f"  {action} {speed:.1f} x real time{compared}")
    if start_up:
        parts = [f"{name.replace('_', ' ')} {min(seconds):.2f} s" for name, seconds in start_up.items()]
        lines.append(f"from the start of a process: {', '.join(parts)}")
    return "\n".join(lines)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=DEFAULT_SOURCE)
@click.option("--codecs", type=ListOf(CODECS), default=",".join(CODECS), show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or path of hscodec's model.")
@click.option("--device", default="cpu", show_default=True, help="Where hscodec's networks run.")
@click.option("--quality", type=click.FloatRange(0, 10), default=5.0, show_default=True, help="Setting of hscodec.")
@click.option("--opus-kbps", type=float, default=24.0, show_default=True, help="Setting of Opus.")
@click.option("--rate", "sample_rate", type=click.IntRange(min=8000), default=48_000, show_default=True, help="Hz.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=300.0, show_default=True, help="The file is repeated."
)
@click.option("--peer-seconds", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Neural peers.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="The fastest counts.")
@click.option(
    "--threads",
    "thread_counts",
    type=ListOf(),
    default="1,2",
    show_default=True,
    help="hscodec is measured with each, neural peers with the most; Opus uses one.",
)
@click.option(
    "--start-up/--no-start-up", default=True, show_default=True, help="Measure how long commands take to start."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def main(
    source: Path,
    codecs: tuple[str, ...],
    model: str,
    device: str,
    quality: float,
    opus_kbps: float,
    sample_rate: int,
    seconds: float,
    peer_seconds: float,
    repeats: int,
    thread_counts: tuple[float, ...],
    start_up: bool,
    out: Path | None,
) -> None:
    """Time codecs on SOURCE, by default the sample sound of the tests."""
    counts = [int(count) for count in thread_counts] or [1]
    rows: list[dict[str, Any]] = []
    started: dict[str, list[float]] | None = None
    try:
        samples = tiled(source, sample_rate, seconds)
        if "hscodec" in codecs:
            codec = Hscodec((quality,), model=model, device=device)
            for count in counts:
                _set_threads(count)
                rows.append(measure(codec, samples, sample_rate, repeats=repeats, threads=count))
            if start_up:
                blob = codec.encode(samples[:, : 20 * sample_rate], sample_rate, quality).blob
                started = measure_start_up(blob, repeats=repeats)
        if "opus" in codecs:
            row = measure(Opus((opus_kbps,)), samples, sample_rate, repeats=repeats, threads=1)
            rows.append(row | {"peer": True})
        for peer in _neural_peers(codecs):
            _set_threads(max(counts))
            sound = tiled(source, peer.sample_rate, peer_seconds)
            rows.append(measure_peer(peer, sound, repeats=repeats, threads=max(counts)) | {"peer": True})
    except HscodecError as error:
        raise click.ClickException(str(error)) from error
    click.echo(report(rows, started))
    if out is not None:
        options = {"source": source.name, "sample_rate": sample_rate, "seconds": seconds, "device": device}
        content = {"schema": 2, "options": options, "provenance": provenance.collect(), "rows": rows}
        if started:
            content["start_up_seconds"] = started
        out.write_text(json.dumps(content, indent=1) + "\n")


def _neural_peers(codecs: tuple[str, ...]) -> Iterator["NeuralPeer"]:
    """Yield those neural codecs that are asked for and installed; say of the others that they are not."""
    if not {"encodec", "descript-audio-codec"} & set(codecs):
        return
    from benchmarks.neural_peers import DescriptAudioCodec, Encodec

    for peer in (Encodec, DescriptAudioCodec):
        if peer.name in codecs:
            try:
                yield peer()
            except HscodecError as error:
                click.echo(f"{peer.name} is left out: {error}", err=True)


def _set_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


if __name__ == "__main__":
    main()
