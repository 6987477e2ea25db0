"""Where a number comes from: commit, machine, versions, threads, corpus. No names of people, machines or folders."""

import datetime
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("hscodec", "torch", "numpy", "soundfile", "soxr", "zstandard", "av", "pesq", "pystoi", "visqol-python")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def collect(**facts: Any) -> dict[str, Any]:
    """Return what is known of this run, ready for JSON.

    Args:
        facts: Further entries, for example `corpus_sha256` or the versions of the codecs.
    """
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "threads": _threads(),
        **facts,
    }


def git_commit() -> str | None:
    """Return the commit of the checkout that this file is in, with `+` where tracked files differ; None without git."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def cpu_name() -> str:
    """Return the marketing name of the processor, or the best that the platform offers."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _threads() -> dict[str, int | str]:
    threads: dict[str, int | str] = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    if "torch" in sys.modules:  # do not load it just to ask
        threads["torch"] = sys.modules["torch"].get_num_threads()
    return threads
