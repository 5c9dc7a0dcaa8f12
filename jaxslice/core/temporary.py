"""Temporary folders that are deleted with the object that uses them, or when the process ends."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

_IN_USE: dict[Path, weakref.finalize] = {}


def temporary_folder(owner: object) -> Path:
    """A new folder, which exists as long as `owner` does."""
    path = Path(tempfile.mkdtemp(prefix="jaxslice-"))
    _IN_USE[path] = weakref.finalize(owner, _remove, path)
    return path


def remove_all() -> None:
    """Deletes all folders in use, for a process that ends without Python's own end."""
    for finalizer in list(_IN_USE.values()):
        finalizer()


def _remove(path: Path) -> None:
    _IN_USE.pop(path, None)
    shutil.rmtree(path, ignore_errors=True)
