"""Which recordings the models are trained and evaluated on: the corpus configuration and its rules."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hscodec.config import from_mapping, load_toml
from hscodec.errors import ConfigError, CorpusError

Kind = Literal["speech", "music", "effects"]
Role = Literal["train", "eval"]


@dataclass(frozen=True)
class Source:
    """Recordings of one kind from one package or folder.

    Attributes:
        name: Unique; letters, digits, `.`, `_` and `-`. Names the shard.
        registry: `debian` fetches `package`; `folder` reads `path`.
        kind: What the recordings hold.
        role: What they may be used for; one role per package.
        glob: Patterns of the files to take, relative to the unpacked package or folder.
        licence: Licence of the recordings, for the manifest.
        package: Debian package name (`debian` only).
        path: A folder; environment variables in it are replaced (`folder` only).
        version: The version that was measured; not enforced.
        exclude: Regular expression; files whose relative path it matches anywhere are left out.
        max_minutes: Take at most about this much, spread evenly over the files; everything if absent.
        note: Anything worth knowing.
    """

    name: str
    registry: Literal["debian", "folder"]
    kind: Kind
    role: Role
    glob: tuple[str, ...]
    licence: str
    package: str | None = None
    path: str | None = None
    version: str | None = None
    exclude: str | None = None
    max_minutes: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ConfigError(f"name {self.name!r} may hold letters, digits, '.', '_' and '-' only")
        if not self.glob:
            raise ConfigError("glob is empty")
        wanted, other = ("package", "path") if self.registry == "debian" else ("path", "package")
        if not getattr(self, wanted) or getattr(self, other) is not None:
            raise ConfigError(f"a {self.registry} source needs {wanted!r} and no {other!r}")
        if self.package is not None and not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", self.package):
            raise ConfigError(f"{self.package!r} is not a Debian package name")
        if self.max_minutes is not None and not 0 < self.max_minutes < float("inf"):
            raise ConfigError("max_minutes must be positive")
        try:
            re.compile(self.exclude or "")
        except re.error as error:
            raise ConfigError(f"exclude is not a regular expression: {error}") from error

    @property
    def origin(self) -> str:
        """What must not be shared between training and evaluation: the package, or the folder's name for it."""
        return self.package or f"folder:{self.path}"


@dataclass(frozen=True)
class CorpusConfig:
    """All sources; holds that names are unique and that no package has two roles."""

    source: tuple[Source, ...]

    def __post_init__(self) -> None:
        names: set[str] = set()
        roles: dict[str, str] = {}
        for source in self.source:
            if source.name in names:
                raise ConfigError(f"two sources are named {source.name!r}")
            names.add(source.name)
            if roles.setdefault(source.origin, source.role) != source.role:
                raise ConfigError(f"{source.origin} is both a train and an eval source; a package may have one role")

    def select(self, only: Iterable[str] | None = None) -> tuple[Source, ...]:
        """Return the sources named in `only`, or all, in the order of the file.

        Raises:
            CorpusError: A name is unknown.
        """
        if only is None:
            return self.source
        wanted = set(only)
        if unknown := sorted(wanted - {source.name for source in self.source}):
            raise CorpusError(f"no source is named {unknown[0]!r}")
        return tuple(source for source in self.source if source.name in wanted)


def load_corpus_config(path: str | Path) -> CorpusConfig:
    """Read a corpus configuration (see `configs/corpus.toml`).

    Raises:
        ConfigError: Unreadable, an unknown key, a wrong type, a duplicate name, or a package with two roles.
    """
    return from_mapping(CorpusConfig, load_toml(path), str(path))
