"""Turn fetched recordings into training shards and evaluation clips.

The output folder holds `NAME.npy` for each train source (1-D int16 at 48 kHz, clips with 0.1 s of silence between
them), `eval/NAME/*.flac` for each eval source (rate and channels as recorded), and `manifest.json`, which describes
both.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hscodec.atomic import atomic_path, atomic_writer
from hscodec.errors import AudioError, CorpusError
from hscodec.training.corpus import CorpusConfig, Source
from hscodec.training.corpus_decode import Recording, probe, read
from hscodec.training.corpus_fetch import Progress, source_folder
from hscodec.training.corpus_select import Piece, choose_pieces, list_files, spread
from hscodec.training.corpus_signal import CORPUS_RATE_HZ, cut_silence, to_clip, to_mono

logger = logging.getLogger(__name__)

MANIFEST_VERSION = 1
SHORTEST_CLIP_S = 0.3
GAP_S = 0.1
EVAL_CLIPS = 12
EVAL_CLIP_S = 8.0
SHORTEST_EVAL_S = 1.0
_EVAL_FLOOR_DB = -50.0
_KIND_ORDER = ("speech", "music", "effects")


def prepare(
    config: CorpusConfig,
    cache_folder: str | Path,
    *,
    out_folder: str | Path,
    folders: Mapping[str, str | Path] | None = None,
    only: Iterable[str] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Decode, clean and store the sources of a corpus; the manifest is rewritten after each, speech first.

    Sources that are not in `only` keep their entries from an earlier run. Files that cannot be decoded are counted and
    reported as warnings; so are `folder` sources whose folder is missing.

    Args:
        config: The corpus.
        cache_folder: Where `fetch` put the packages.
        out_folder: Created if missing.
        folders: Folders by source name, in place of the `path` of `folder` sources.
        only: Names of the sources to prepare; all if absent.
        workers: Threads that decode and resample.
        progress: Called with a source's name, the files done, and the files in all.

    Returns:
        The manifest. Its lists `shards` and `eval` say of each source its `name`, `kind`, `role`, `licence`, `package`,
        `version` and `num_dropped`; of a shard also `file`, `num_samples`, `sha256` and `clips`, a list of
        `[start_samples, stop_samples, bandwidth_hz]`; of an eval source `files`.

    Raises:
        CorpusError: A name is unknown, a package was not fetched, or a source has no usable file.
    """
    out_folder = Path(out_folder)
    out_folder.mkdir(parents=True, exist_ok=True)
    manifest = load_manifest(out_folder) if (out_folder / "manifest.json").exists() else _empty_manifest()
    known = {source.name for source in config.source if source.name not in (folders or {})}
    if stray := sorted(set(folders or {}) - {source.name for source in config.source if source.registry == "folder"}):
        raise CorpusError(f"no folder source is named {stray[0]!r}; known: {', '.join(sorted(known))}")
    order = sorted(config.select(only), key=lambda source: (source.role != "train", _KIND_ORDER.index(source.kind)))
    for source in order:
        folder = source_folder(source, cache_folder, folders=folders)
        if not folder.is_dir():
            if source.registry == "folder" and source.name not in (folders or {}):
                logger.warning("%s: no folder %s; left out", source.name, folder)
                continue
            raise CorpusError(f"{source.name}: {folder} is missing; fetch the corpus first")
        make = _make_shard if source.role == "train" else _make_eval
        entry = make(source, folder, out_folder, workers=workers, progress=progress)
        for section in ("shards", "eval"):
            manifest[section] = [old for old in manifest[section] if old["name"] != source.name]
        manifest["shards" if source.role == "train" else "eval"].append(entry)
        with atomic_writer(out_folder / "manifest.json", overwrite=True) as file:
            file.write(json.dumps(manifest, separators=(",", ":")).encode())
    return manifest


def load_manifest(folder: str | Path) -> dict[str, Any]:
    """Read the manifest of a prepared corpus.

    Raises:
        CorpusError: There is none, or it is of another version.
    """
    path = Path(folder) / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: not a corpus manifest: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("version") != MANIFEST_VERSION:
        raise CorpusError(f"{path}: not a corpus manifest of version {MANIFEST_VERSION}; prepare the corpus again")
    return manifest


def _empty_manifest() -> dict[str, Any]:
    return {"version": MANIFEST_VERSION, "sample_rate": CORPUS_RATE_HZ, "shards": [], "eval": []}


def _describe(source: Source) -> dict[str, Any]:
    return {name: getattr(source, name) for name in ("name", "kind", "role", "licence", "package", "version")}


def _probe_all(source: Source, folder: Path) -> tuple[list[Recording], list[str]]:
    """Return the recordings of a source and why files were dropped, a line for each."""
    recordings: list[Recording] = []
    drops: list[str] = []
    for path in list_files(source, folder):
        try:
            recordings.append(probe(path))
        except AudioError as error:
            drops.append(str(error))
    if not recordings:
        raise CorpusError(f"{source.name}: {folder} has no usable file matching {', '.join(source.glob)}")
    return recordings, drops


def _warn_of_drops(source: Source, drops: list[str]) -> None:
    if drops:
        logger.warning("%s: dropped %d files, the first: %s", source.name, len(drops), drops[0])


def _make_shard(
    source: Source, folder: Path, out_folder: Path, *, workers: int, progress: Progress | None
) -> dict[str, Any]:
    recordings, drops = _probe_all(source, folder)
    pieces = choose_pieces(recordings, source.max_minutes)
    gap = np.zeros(round(GAP_S * CORPUS_RATE_HZ), dtype=np.int16)
    parts: list[np.ndarray] = []
    clips: list[list[int]] = []
    position = 0
    with ThreadPoolExecutor(max_workers=workers) as executor:
        for index, (piece, clip) in enumerate(zip(pieces, executor.map(_make_clip, pieces), strict=True)):
            if progress:
                progress(source.name, index + 1, len(pieces))
            if isinstance(clip, AudioError):
                drops.append(str(clip))
            elif len(clip) >= SHORTEST_CLIP_S * CORPUS_RATE_HZ and clip.any():
                if parts:
                    parts.append(gap)
                    position += len(gap)
                bandwidth_hz = min(piece.recording.sample_rate, CORPUS_RATE_HZ) // 2
                clips.append([position, position + len(clip), bandwidth_hz])
                parts.append(clip)
                position += len(clip)
    if not clips:
        raise CorpusError(f"{source.name}: no clip is {SHORTEST_CLIP_S} s long")
    file_name = f"{source.name}.npy"
    with atomic_writer(out_folder / file_name, overwrite=True) as file:
        header = {"descr": "<i2", "fortran_order": False, "shape": (position,)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.astype("<i2", copy=False).tobytes())
    _warn_of_drops(source, drops)
    logger.info("%s: %d clips, %.1f min", source.name, len(clips), position / CORPUS_RATE_HZ / 60)
    entry = _describe(source) | {"file": file_name, "num_samples": position, "num_dropped": len(drops)}
    return entry | {"clips": clips, "sha256": file_sha256(out_folder / file_name)}


def _make_clip(piece: Piece) -> np.ndarray | AudioError:
    # An exception inside a pool would end the whole map, so a bad file is an ordinary result.
    try:
        samples = to_mono(read(piece.recording, piece.start_samples, piece.stop_samples))
    except AudioError as error:
        return error
    return to_clip(cut_silence(samples, piece.recording.sample_rate), piece.recording.sample_rate)


def _make_eval(
    source: Source, folder: Path, out_folder: Path, *, workers: int, progress: Progress | None
) -> dict[str, Any]:
    del workers  # A dozen clips are not worth a pool.
    recordings, drops = _probe_all(source, folder)
    clip_folder = out_folder / "eval" / source.name
    clip_folder.mkdir(parents=True, exist_ok=True)
    for old in clip_folder.glob("*.flac"):
        old.unlink()
    files: list[dict[str, Any]] = []
    # Perceptual metrics need about a second; a source of short sounds only keeps what it has.
    long_enough = [item for item in recordings if item.num_samples >= SHORTEST_EVAL_S * item.sample_rate]
    pieces = spread(long_enough or recordings, count=EVAL_CLIPS, clip_seconds=EVAL_CLIP_S)
    for index, piece in enumerate(pieces):
        if progress:
            progress(source.name, index + 1, len(pieces))
        samples = _read_where_loud(piece)
        if samples is None:
            drops.append(f"{piece.recording.path}: nothing audible")
            continue
        path = clip_folder / f"{index:02}-{piece.recording.path.stem}.flac"
        _write_flac(path, samples, piece.recording)
        entry = {"file": os.fspath(path.relative_to(out_folder)), "sample_rate": piece.recording.sample_rate}
        entry |= {"num_channels": samples.shape[0], "num_samples": samples.shape[1], "sha256": file_sha256(path)}
        files.append(entry)
    _warn_of_drops(source, drops)
    return _describe(source) | {"files": files, "num_dropped": len(drops)}


def _read_where_loud(piece: Piece) -> np.ndarray | None:
    """Decode a piece, or the next one of the same length in its recording that is not almost silent."""
    length = piece.stop_samples - piece.start_samples
    num_samples = piece.recording.num_samples
    for attempt in range(-(-num_samples // length)):
        start = (piece.start_samples + attempt * length) % (num_samples - length + 1)
        samples = read(piece.recording, start, start + length)
        if samples.size and np.sqrt(np.mean(samples**2)) > 10 ** (_EVAL_FLOOR_DB / 20):
            return samples
    return None


def _write_flac(path: Path, samples: np.ndarray, recording: Recording) -> None:
    lossless_deep = recording.path.suffix != ".g722" and "24" in soundfile.info(str(recording.path)).subtype
    bits = 24 if lossless_deep else 16
    full_scale = 2 ** (bits - 1)
    levels = np.clip(np.rint(samples.T.astype(np.float64) * full_scale), -full_scale, full_scale - 1)
    with atomic_path(path, overwrite=True) as temporary:
        soundfile.write(
            temporary,
            levels.astype(np.int32) << (32 - bits),
            recording.sample_rate,
            subtype=f"PCM_{bits}",
            format="FLAC",
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
