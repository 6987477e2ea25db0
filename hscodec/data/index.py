"""Which files there are and how long they are, from their headers alone; torch is not needed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hscodec.container.reader import ContainerReader, read_header
from hscodec.errors import FormatError, HscodecError
from hscodec.rates import scaled_length


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """One `.hsnd` file.

    Attributes:
        path: The file.
        sample_rate: Rate of the sound that was encoded (Hz).
        num_channels: C.
        num_samples: Length of each channel at that rate.
    """

    path: str
    sample_rate: int
    num_channels: int
    num_samples: int

    @property
    def seconds(self) -> float:
        """Duration (s)."""
        return self.num_samples / self.sample_rate

    def length_at(self, rate: int) -> int:
        """Return the length of each channel at another rate (Hz)."""
        return scaled_length(self.num_samples, self.sample_rate, rate)


def read_index(paths: str | Path | Iterable[str | Path]) -> list[IndexedFile]:
    """Read the headers of files.

    Args:
        paths: A folder, of which all `.hsnd` files are taken with those of its subfolders, in order of their paths; or
            one file; or several of either.

    Raises:
        FormatError: A file cannot be read or is not a `.hsnd` file; the message names it.
        HscodecError: A folder has no such files.
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    return [_read(path) for each in given for path in _files(Path(each))]


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Say in each error which file is meant."""
    try:
        yield
    except HscodecError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*.hsnd"))
    if not found:
        raise HscodecError(f"{path}: there are no .hsnd files in this folder")
    return found


def _read(path: Path) -> IndexedFile:
    with naming(path):
        try:
            with path.open("rb") as file:
                header = read_header(file)
                num_samples = header.num_samples
                if num_samples is None:  # a recording of a live stream says its length at its end
                    num_samples = ContainerReader(file).num_samples
        except OSError as error:
            raise FormatError(f"{path}: {error.strerror}") from error
    return IndexedFile(str(path), header.sample_rate, header.num_channels, num_samples)
