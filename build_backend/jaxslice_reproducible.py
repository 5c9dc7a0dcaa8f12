"""Wheels and source archives of the same bytes, wherever and whenever they are built.

What the build's folder, clock, user and umask leave in an archive is taken out: times become one
time, modes become 644 or 755, owners go. The time is `SOURCE_DATE_EPOCH` if it is set, as
https://reproducible-builds.org/specs/source-date-epoch/ says, or else a constant.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import time
import zipfile
from pathlib import Path

_EPOCH = 1577836800
"""2020-01-01. A zip file cannot hold times before 1980."""


def normalise_wheel(path: Path) -> None:
    """Writes a wheel anew, with the same files in the same order."""
    moment = time.gmtime(_seconds())[:6]
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(partial, "w") as new:
        for entry in old.infolist():
            kept = zipfile.ZipInfo(entry.filename, moment)
            kept.create_system = 3  # Unix, whose modes follow
            kept.external_attr = (0o100000 | _mode(entry.external_attr >> 16)) << 16
            kept.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(kept, old.read(entry))
    partial.replace(path)


def normalise_sdist(path: Path) -> None:
    """Writes a source archive anew, its files sorted by name."""
    partial = path.with_suffix(".partial")
    with (
        tarfile.open(path) as old,
        open(partial, "wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=_seconds()) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for entry in sorted(old.getmembers(), key=lambda entry: entry.name):
            kept = tarfile.TarInfo(entry.name)
            kept.type, kept.size, kept.mtime = entry.type, entry.size, _seconds()
            kept.mode = 0o755 if entry.isdir() else _mode(entry.mode)
            new.addfile(kept, old.extractfile(entry) if entry.isfile() else None)
    partial.replace(path)


def _mode(mode: int) -> int:
    """A mode without what the umask has taken away."""
    return 0o755 if mode & 0o100 else 0o644


def _seconds() -> int:
    return max(int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH)), 315532800)
