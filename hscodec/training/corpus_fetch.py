"""Fetch and unpack the packages of a corpus configuration."""

import logging
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import soundfile

from hscodec.errors import CorpusError
from hscodec.training.corpus import CorpusConfig, Source
from hscodec.training.soundfont import read_notes

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with the name of a source, how much of it is done, and how much there is."""


def fetch(
    config: CorpusConfig,
    cache_folder: str | Path,
    *,
    only: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Download and unpack the Debian packages of a corpus; what the cache already holds is used as it is.

    A package lies in the cache as `NAME_VERSION_ARCH.deb` and, unpacked, as the folder `unpacked/NAME`. Zip archives
    (`.zip`, `.pk3`) and SoundFonts (`.sf2`) inside it are unpacked beside themselves, into a folder with `.d` added to
    their name.

    Args:
        config: The corpus.
        cache_folder: Created if missing.
        only: Names of the sources to fetch; all if absent.
        progress: Called with `0, 1` before and `1, 1` after each package.

    Raises:
        CorpusError: A name in `only` is unknown, a tool is missing, or a download or an archive is broken.
    """
    cache_folder = Path(cache_folder)
    (cache_folder / "unpacked").mkdir(parents=True, exist_ok=True)
    packages = [source.package for source in config.select(only) if source.package is not None]
    for package in dict.fromkeys(packages):
        if progress:
            progress(package, 0, 1)
        if not (cache_folder / "unpacked" / package).is_dir():
            _unpack(package, cache_folder)
        if progress:
            progress(package, 1, 1)


def source_folder(source: Source, cache_folder: str | Path, *, folders: Mapping[str, str | Path] | None = None) -> Path:
    """Return the folder that the patterns of a source are relative to; it need not exist.

    Args:
        source: The source.
        cache_folder: Where `fetch` put the packages.
        folders: Folders by source name; they take precedence over the `path` of `folder` sources.
    """
    if source.package is not None:
        return Path(cache_folder) / "unpacked" / source.package
    given = (folders or {}).get(source.name)
    return Path(given) if given is not None else Path(os.path.expandvars(source.path or "")).expanduser()


def _unpack(package: str, cache_folder: Path) -> None:
    debs = sorted(cache_folder.glob(f"{package}_*.deb"))
    if not debs:
        logger.info("downloading %s", package)
        _call(["apt-get", "download", package], cache_folder)
        debs = sorted(cache_folder.glob(f"{package}_*.deb"))
    if not debs:
        raise CorpusError(f"apt-get download {package} left no {package}_*.deb in {cache_folder}")
    # Unpacked under another name first, so that an interrupted run does not leave half a package behind.
    partial = cache_folder / "unpacked" / f".{package}.part"
    shutil.rmtree(partial, ignore_errors=True)
    logger.info("unpacking %s", debs[-1].name)
    _call(["dpkg-deb", "-x", str(debs[-1].resolve()), str(partial.resolve())], cache_folder)
    for archive in sorted(partial.rglob("*")):
        if archive.is_file() and archive.suffix in (".zip", ".pk3"):
            _unpack_zip(archive)
        elif archive.is_file() and archive.suffix == ".sf2":
            _unpack_soundfont(archive)
    partial.rename(cache_folder / "unpacked" / package)


def _call(command: list[str], folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CorpusError(f"{command[0]} is not installed; Debian packages need a Debian or Ubuntu system") from error
    if result.returncode != 0:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        raise CorpusError(f"{' '.join(command)} failed: {lines[-1] if lines else f'exit status {result.returncode}'}")


def _unpack_zip(archive: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            file.extractall(archive.with_name(archive.name + ".d"))
    except (zipfile.BadZipFile, OSError) as error:
        raise CorpusError(f"{archive}: {error}") from error


def _unpack_soundfont(archive: Path) -> None:
    folder = archive.with_name(archive.name + ".d")
    folder.mkdir()
    for index, note in enumerate(read_notes(archive)):
        stem = "".join(letter if letter.isalnum() else "_" for letter in note.name)
        soundfile.write(folder / f"{index:05}-{stem}.wav", note.samples, note.sample_rate, subtype="PCM_16")
