"""Speed of hscodec beside libopus in the same run: how many seconds of sound one second of computing codes.

Run `python benchmarks/speed.py`. Loading models and the first, slower call are not counted; reading and writing
hscodec's files is.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

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

DEFAULT_SOURCE = Path(__file__).resolve().parents[1] / "tests" / "data" / "speech.flac"
_WARM_UP_SECONDS = 5


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


def measure(codec: Contender, samples: Samples, sample_rate: int, *, repeats: int) -> dict[str, Any]:
    """Time one codec at its first setting.

    Args:
        codec: The codec, ready to use.
        samples: What to code.
        sample_rate: Its rate (Hz).
        repeats: How often; the fastest counts, since what else the machine does only ever adds time.

    Shape:
        samples: [C, T]
    """
    setting = codec.settings[0]
    encoded = codec.encode(samples[:, : _WARM_UP_SECONDS * sample_rate], sample_rate, setting)
    codec.decode(encoded)
    encode_seconds, decode_seconds = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        encoded = codec.encode(samples, sample_rate, setting)
        middle = time.perf_counter()
        codec.decode(encoded)
        encode_seconds.append(round(middle - start, 4))
        decode_seconds.append(round(time.perf_counter() - middle, 4))
    seconds = samples.shape[1] / sample_rate
    return {
        "codec": codec.name,
        "version": codec.version(),
        "setting": setting,
        "kbps": round(encoded.kbps(encoded.file_bytes), 3),
        "encode_seconds": encode_seconds,
        "decode_seconds": decode_seconds,
        "encode_times_real_time": round(seconds / min(encode_seconds), 2),
        "decode_times_real_time": round(seconds / min(decode_seconds), 2),
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Return the rows as lines of text, each codec's speed also as a multiple of the last one's."""
    lines = []
    for row in rows:
        parts = [f"{row['codec']} at {row['kbps']:.1f} kbit/s:"]
        for action in ("encode", "decode"):
            speed, last = row[f"{action}_times_real_time"], rows[-1][f"{action}_times_real_time"]
            parts.append(f"{action} {speed:.1f} x real time ({speed / last:.4f} of {rows[-1]['codec']})")
        lines.append(" ".join([parts[0], ", ".join(parts[1:])]))
    return "\n".join(lines)


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=DEFAULT_SOURCE)
@click.option("--codecs", type=ListOf(("hscodec", "opus")), default="hscodec,opus", show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or path of hscodec's model.")
@click.option("--device", default="cpu", show_default=True, help="Where hscodec's networks run.")
@click.option("--quality", type=click.FloatRange(0, 10), default=5.0, show_default=True, help="Setting of hscodec.")
@click.option("--opus-kbps", type=float, default=24.0, show_default=True, help="Setting of Opus.")
@click.option("--rate", "sample_rate", type=click.IntRange(min=8000), default=48_000, show_default=True, help="Hz.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="The file is repeated."
)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="The fastest counts.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of hscodec's networks; Opus uses one.")
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
    repeats: int,
    threads: int | None,
    out: Path | None,
) -> None:
    """Time codecs on SOURCE, by default the sample sound of the tests."""
    try:
        contenders: list[Contender] = []
        if "hscodec" in codecs:
            _set_threads(threads)
            contenders.append(Hscodec((quality,), model=model, device=device))
        if "opus" in codecs:
            contenders.append(Opus((opus_kbps,)))
        samples = tiled(source, sample_rate, seconds)
        rows = [measure(codec, samples, sample_rate, repeats=repeats) for codec in contenders]
    except HscodecError as error:
        raise click.ClickException(str(error)) from error
    click.echo(report(rows))
    if out is not None:
        options = {"source": source.name, "sample_rate": sample_rate, "seconds": seconds, "device": device}
        content = {"schema": 1, "options": options, "provenance": provenance.collect(), "rows": rows}
        out.write_text(json.dumps(content, indent=1) + "\n")


def _set_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
