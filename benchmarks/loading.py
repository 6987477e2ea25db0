"""Random crops per second and bytes on disk: hscodec beside WAV, FLAC and Opus, the same recordings, one machine.

Run `python benchmarks/loading.py`. Every format is read by a `DataLoader` with the same crops in the same order: a crop
is found in its file, decoded, and brought to the wanted rate (hscodec's at once, the others by soxr).
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

import hscodec
from benchmarks import provenance
from benchmarks.contenders import Samples
from benchmarks.crop_readers import CropReader, OpusReader, SoundFileReader
from benchmarks.options import ListOf
from benchmarks.peers import Opus
from benchmarks.speed import DEFAULT_SOURCE, tiled
from hscodec.codec.constants import MAX_CHUNK_SECONDS, MIN_CHUNK_SECONDS
from hscodec.codec.shared_models import shared_model
from hscodec.data import DecodingLoader, HsndDataset
from hscodec.errors import HscodecError
from hscodec.rates import scaled_length
from hscodec.registry import DEFAULT_MODEL

FILE_RATE_HZ = 48_000
SHORTEST_S, LONGEST_S = 30.0, 60.0
FORMATS = ("hscodec", "hscodec-batch", "opus", "flac", "wav")
_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff"}


class PeerDataset(Dataset[torch.Tensor]):
    """Random crops of files of another format, drawn like those of a `HsndDataset` with a seed.

    Args:
        paths: The files.
        reader: How to read them.
        num_samples: Length of a crop at `rate`.
        rate: Rate of crops (Hz).
        crops_per_file: Crops of each file.
        seed: Seed of their starts.
    """

    def __init__(
        self, paths: list[Path], reader: CropReader, *, num_samples: int, rate: int, crops_per_file: int, seed: int
    ) -> None:
        self._paths, self._reader, self._seed = paths, reader, seed
        self._num_samples, self._rate, self._crops_per_file = num_samples, rate, crops_per_file
        self._lengths = [scaled_length(reader.length(path), FILE_RATE_HZ, rate) for path in paths]
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._paths) * self._crops_per_file

    def __getitem__(self, index: int) -> torch.Tensor:
        place = index // self._crops_per_file
        num_starts = max(self._lengths[place] - self._num_samples, 0) + 1
        start = int(np.random.default_rng((self._seed, self.epoch, index)).integers(num_starts))
        samples = self._reader.read(self._paths[place], self._rate, start, start + self._num_samples)
        return torch.from_numpy(np.ascontiguousarray(samples))


def recordings(source: Path, count: int) -> Iterable[Samples]:
    """Yield mono recordings of 30 to 60 s at 48 kHz: sounds of a file or a folder, each repeated from another place.

    Shape:
        yields: [1, T]
    """
    files = sorted(path for path in source.rglob("*") if path.suffix in _SUFFIXES) if source.is_dir() else [source]
    if not files:
        raise HscodecError(f"{source}: there is no sound in this folder")
    random = np.random.default_rng(0)
    for index in range(count):
        samples = tiled(files[index % len(files)], FILE_RATE_HZ, random.uniform(SHORTEST_S, LONGEST_S))
        yield np.roll(samples, int(random.integers(samples.shape[1])), 1)


def write_all(folder: Path, source: Path, count: int, readers: list[CropReader], **encoding: Any) -> dict[str, Any]:
    """Write all recordings in all formats, and return bytes by format and seconds in all."""
    seconds = 0.0
    for index, samples in enumerate(recordings(source, count)):
        seconds += samples.shape[1] / FILE_RATE_HZ
        for reader in readers:
            reader.write(folder / f"{index}{reader.suffix}", samples, FILE_RATE_HZ)
        hscodec.write(folder / f"{index}.hsnd", samples, FILE_RATE_HZ, **encoding)
    suffixes = {reader.suffix for reader in readers} | {".hsnd"}
    sizes = {suffix: sum(path.stat().st_size for path in folder.glob(f"*{suffix}")) for suffix in suffixes}
    return {"bytes": sizes, "seconds": seconds}


def measure(loader: Iterable[Any], crops_of: Callable[[Any], int], *, repeats: int) -> list[float]:
    """Return crops per second of each of several epochs. Workers have started, and models are loaded, before."""
    speeds = []
    for _ in range(repeats + 1):
        start, num_crops = time.perf_counter(), 0
        for batch in loader:
            num_crops += crops_of(batch)
        speeds.append(round(num_crops / (time.perf_counter() - start), 2))
    return speeds[1:]


def loaders(
    folder: Path, names: tuple[str, ...], readers: list[CropReader], *, device: str, workers: int, **crops: Any
) -> Iterable[tuple[str, str, Iterable[Any], Callable[[Any], int]]]:
    """Yield name, suffix, loader, and what counts the crops of a batch, of each format."""
    options: dict[str, Any] = {
        "batch_size": crops.pop("batch_size"),
        "num_workers": workers,
        "persistent_workers": workers > 0,
    }
    rate, seconds = crops["rate"], crops["seconds"]
    for name in names:
        if name.startswith("hscodec"):
            decode = name == "hscodec"
            dataset = HsndDataset(folder, decode=decode, **crops)
            loader = DataLoader(dataset, **options) if decode else DecodingLoader(dataset, device=device, **options)
            yield name, ".hsnd", loader, lambda batch: len(batch.samples)
            continue
        reader = next(reader for reader in readers if reader.name == name)
        peers = PeerDataset(
            sorted(folder.glob(f"*{reader.suffix}")),
            reader,
            num_samples=round(seconds * rate),
            rate=rate,
            crops_per_file=crops["crops_per_file"],
            seed=crops["seed"],
        )
        yield name, reader.suffix, DataLoader(peers, **options), len


def report(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    counts = sorted({row["workers"] for row in rows})
    head = ["format", "kbit/s", "MB", *(f"crops/s, {count} worker{'s' * (count != 1)}" for count in counts)]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for name in dict.fromkeys(row["format"] for row in rows):
        own = {row["workers"]: row for row in rows if row["format"] == name}
        first = next(iter(own.values()))
        speeds = [f"{max(own[count]['crops_per_second']):.0f}" if count in own else "-" for count in counts]
        cells = [name, f"{first['kbps']:.1f}", f"{first['bytes'] / 1e6:.2f}", *speeds]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path), default=DEFAULT_SOURCE)
@click.option("--formats", type=ListOf(FORMATS), default=",".join(FORMATS), show_default=True)
@click.option("--files", type=click.IntRange(min=1), default=8, show_default=True, help="Recordings of 30 to 60 s.")
@click.option("--crops", type=click.IntRange(min=1), default=16, show_default=True, help="Of each file in an epoch.")
@click.option("--seconds", type=click.FloatRange(min=0.01, max=20), default=1.0, show_default=True, help="Of a crop.")
@click.option("--rate", type=click.IntRange(1000, 192_000), default=16_000, show_default=True, help="Of a crop (Hz).")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="Crops of a batch.")
@click.option("--workers", type=ListOf(("0", "1", "2", "4", "8")), default="1,2", show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Where hscodec-batch decodes.")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or path of hscodec's model.")
@click.option("--quality", type=click.FloatRange(0, 10), default=5.0, show_default=True, help="Setting of hscodec.")
@click.option(
    "--chunk",
    type=click.FloatRange(float(MIN_CHUNK_SECONDS), MAX_CHUNK_SECONDS),
    default=5.0,
    show_default=True,
    help="Length of hscodec's chunks (s).",
)
@click.option("--opus-kbps", type=float, default=24.0, show_default=True, help="Setting of Opus.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="The fastest counts.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the main process.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def main(source: Path, out: Path | None, **options: Any) -> None:
    """Time data loading of SOURCE, a sound or a folder of them, by default the sample sound of the tests.

    hscodec decodes in the workers; hscodec-batch reads in the workers, and decodes whole batches in the main process.
    """
    torch.set_num_threads(options["threads"])
    readers: list[CropReader] = [OpusReader(options["opus_kbps"]), SoundFileReader("flac"), SoundFileReader("wav")]
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            encoding = {"model": options["model"], "quality": options["quality"], "chunk_seconds": options["chunk"]}
            written = write_all(folder, source, options["files"], readers, **encoding)
            for workers in map(int, options["workers"]):
                found = loaders(
                    folder,
                    options["formats"],
                    readers,
                    device=options["device"],
                    workers=workers,
                    batch_size=options["batch"],
                    seconds=options["seconds"],
                    rate=options["rate"],
                    crops_per_file=options["crops"],
                    seed=0,
                )
                for kind, suffix, loader, crops_of in found:
                    num_bytes = written["bytes"][suffix]
                    row = {
                        "format": kind,
                        "workers": workers,
                        "bytes": num_bytes,
                        "kbps": round(num_bytes * 8 / written["seconds"] / 1000, 3),
                        "crops_per_second": measure(loader, crops_of, repeats=options["repeats"]),
                    }
                    rows.append(row)
                    click.echo(f"{kind}, {workers} workers: {max(row['crops_per_second']):.1f} crops/s", err=True)
        facts = {"model_sha256": shared_model(options["model"]).sha256, "opus": Opus(()).version()}
    except HscodecError as error:
        raise click.ClickException(str(error)) from error
    click.echo(report(rows))
    if out is not None:
        content = {
            "schema": 1,
            "options": {"source": source.name, "file_rate": FILE_RATE_HZ, **options},
            "sound_seconds": round(written["seconds"], 3),
            "provenance": provenance.collect(**facts),
            "rows": rows,
        }
        out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
