"""Encode, verify and decode every audio file below some folders, and check that nothing of it is lost.

Run `python benchmarks/roundtrip.py FOLDER... --qualities 0,5,10 --out roundtrip.json`. A file passes if `verify` finds
no problem and the decoded file has its rate, channels and exact length. Exit status 1 if one does not.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from benchmarks.clips import corpus_sha256, find_clips
from benchmarks.options import ListOf
from hscodec.codec import decode_file, encode_file, verify_file
from hscodec.registry import DEFAULT_MODEL, Model, load_flagship


def check(source: Path, model: Model, quality: float, folder: Path) -> dict[str, Any]:
    """Return what became of one file: its rate and whether everything came back.

    Args:
        source: The audio file.
        model: The model to encode with.
        quality: 0 to 10.
        folder: Where to put the files in between.
    """
    encoded, decoded = folder / "file.hsnd", folder / "file.wav"
    result = encode_file(source, encoded, model=model, quality=quality, device="cpu", overwrite=True)
    verified = verify_file(encoded)
    decode_file(encoded, decoded, model=model, device="cpu", overwrite=True)
    before, after = soundfile.info(str(source)), soundfile.info(str(decoded))
    same = all(getattr(before, name) == getattr(after, name) for name in ("samplerate", "channels", "frames"))
    return {"quality": quality, "file_bytes": result.file_bytes, "seconds": result.seconds, "ok": same and verified.ok}


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--qualities", type=ListOf(), default="0,5,10", show_default=True)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or path of the model.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="roundtrip.json", show_default=True)
def main(folders: tuple[Path, ...], qualities: tuple[float, ...], model: str, out: Path) -> None:
    """Check the round trip of all audio files below FOLDERS."""
    loaded = load_flagship(model)
    clips = find_clips(folders, channels="mono")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            for quality in qualities:
                rows.append({"clip": clip.name, **check(clip.path, loaded, quality, Path(folder))})
            passed = all(row["ok"] for row in rows[-len(qualities) :])
            click.echo(f"{clip.name}: {'ok' if passed else 'FAILED'}", err=True)
    failed = sum(not row["ok"] for row in rows)
    facts = provenance.collect(model_sha256=loaded.sha256, corpus_sha256=corpus_sha256(clips))
    out.write_text(json.dumps({"run": facts, "files": len(clips), "failed": failed, "rows": rows}, indent=1) + "\n")
    for quality in qualities:
        chosen = [row for row in rows if row["quality"] == quality]
        kbps = 8e-3 * sum(row["file_bytes"] for row in chosen) / sum(row["seconds"] for row in chosen)
        click.echo(f"quality {quality:g}: {sum(row['ok'] for row in chosen)} of {len(chosen)} ok, {kbps:.2f} kbit/s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
