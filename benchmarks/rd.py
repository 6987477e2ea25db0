"""Rate-distortion measurement: encode clips with several codecs at several settings, and score what comes back.

Run `python benchmarks/rd.py FOLDER... --out rd.json`; a run that was stopped goes on where it was, and rows that are
there already are not measured again. `benchmarks/report.py` makes the table and the plot.
"""

import sys
from pathlib import Path
from typing import Literal, cast

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from benchmarks.clips import Channels, corpus_sha256, find_clips
from benchmarks.measure import CODECS, Plan, contenders, run
from benchmarks.options import ListOf
from benchmarks.results import Results
from benchmarks.scores import METRICS
from hscodec.errors import HscodecError
from hscodec.registry import DEFAULT_MODEL


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--codecs", type=ListOf(CODECS), default="hscodec,opus,mp3,aac", show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or path of hscodec's model.")
@click.option("--device", default="cpu", show_default=True, help="Where hscodec's networks run.")
@click.option("--qualities", type=ListOf(), default="0,2,4,5,6,8,10", show_default=True, help="Settings of hscodec.")
@click.option("--opus-kbps", type=ListOf(), default="6,8,10,12,16,24,32,48", show_default=True)
@click.option("--mp3-kbps", type=ListOf(), default="8,12,16,24,32,48,64", show_default=True)
@click.option("--aac-kbps", type=ListOf(), default="8,12,16,24,32,48,64", show_default=True)
@click.option("--metrics", type=ListOf(tuple(METRICS)), default="pesq,stoi,si_sdr,lsd", show_default=True)
@click.option("--kind", type=click.Choice(["speech", "music"]), default="speech", show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Take the first so many of each clip.")
@click.option("--limit", type=click.IntRange(min=1), help="Take the first so many files of each folder.")
@click.option("--mono", is_flag=True, help="Mix channels instead of measuring each.")
@click.option("--stereo", is_flag=True, help="Code the first two channels as one file; mono files are skipped.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="rd.json", show_default=True)
def main(
    folders: tuple[Path, ...],
    codecs: tuple[str, ...],
    model: str,
    device: str,
    qualities: tuple[float, ...],
    opus_kbps: tuple[float, ...],
    mp3_kbps: tuple[float, ...],
    aac_kbps: tuple[float, ...],
    metrics: tuple[str, ...],
    kind: str,
    seconds: float | None,
    limit: int | None,
    mono: bool,
    stereo: bool,
    jobs: int,
    out: Path,
) -> None:
    """Measure codecs on the audio files below FOLDERS."""
    if mono and stereo:
        raise click.UsageError("--mono and --stereo exclude each other")
    settings = {"hscodec": qualities, "opus": opus_kbps, "mp3": mp3_kbps, "aac": aac_kbps}
    chosen = tuple((name, settings[name]) for name in codecs)
    plan = Plan(chosen, metrics, cast(Literal["speech", "music"], kind), seconds, model, device)
    channels: Channels = "mono" if mono else "stereo" if stereo else "each"
    try:
        clips = find_clips(folders, limit=limit, channels=channels)
        results = Results(out, {"seconds": seconds, "kind": kind, "mono": mono, "stereo": stereo})
        versions = {codec.name: codec.version() for codec in contenders(plan)}
        corpus = {"clips": len(clips), "sha256": corpus_sha256(clips)}
        results.start_run(provenance.collect(codecs=versions, corpus=corpus))
        for count, name in enumerate(run(plan, clips, results, jobs=jobs), start=1):
            click.echo(f"{count}/{len(clips)} {name}", err=True)
    except HscodecError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
