"""Where a measured number comes from: code, format, JAX, machine and date."""

from __future__ import annotations

import datetime
import importlib.metadata
import subprocess
from pathlib import Path

import jax

from jaxslice.codec.versions import ARCHIVE_VERSION
from jaxslice.core.machine import num_cores

COLUMNS: tuple[str, ...] = ("commit", "format_version", "jax_version", "machine", "date")
"""Of every CSV of measurements."""

UNKNOWN = "unknown"
CHECKOUT = Path(__file__).parents[2]


def commit_of(checkout: Path, *ignored: str) -> str:
    """The commit that a checkout of a git repository is at.

    Args:
      checkout: the folder that holds `.git`.
      ignored: files and folders in it that may differ from the commit.

    Returns:
      40 hexadecimal digits, then "-dirty" if a tracked file was changed; "unknown" if the folder
      is no checkout, or git is not installed.
    """
    if not (checkout / ".git").exists():
        return UNKNOWN
    changed = ["status", "--porcelain", "--untracked-files=no", "--", "."]
    try:
        commit = _git(checkout, ["rev-parse", "HEAD"])
        dirty = _git(checkout, [*changed, *(f":(exclude){path}" for path in ignored)])
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return f"{commit}-dirty" if dirty else commit


def installed_version() -> str:
    """The version of the package, then `+` and the commit if it runs from a checkout."""
    try:
        version = importlib.metadata.version("jaxslice")
    except importlib.metadata.PackageNotFoundError:
        version = UNKNOWN
    commit = commit_of(CHECKOUT)
    return version if commit == UNKNOWN else f"{version}+{commit}"


def machine() -> str:
    """The model of the CPU and the cores that this process may use, or the accelerators."""
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    cores = num_cores()
    return f"{_cpu_model()}, {cores} core{'s' if cores > 1 else ''}"


def provenance(commit: str) -> dict[str, str]:
    """The values of `COLUMNS` for numbers that are measured now.

    Args:
      commit: of the code that measures.
    """
    return {
        "commit": commit,
        "format_version": str(ARCHIVE_VERSION),
        "jax_version": jax.__version__,
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else jax.local_devices()[0].device_kind


def _git(folder: Path, arguments: list[str]) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
