"""Whether results can be written, checked before the work that they come from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from jaxslice.core.errors import UsageError


def check_folder(path: str | Path) -> None:
    """Creates a folder where there is none, and writes a file into it to see that this works.

    Raises:
      UsageError: the path is a file, or nothing can be written there.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"Got the output {str(path)!r}, which is a file, expected a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"?")
    except OSError as error:
        raise UsageError(
            f"Got the output {str(path)!r}, expected a folder to write to: {error}."
        ) from None


def check_file(path: str | Path) -> None:
    """Checks that a file can be written; one that is there stays as it is.

    Raises:
      UsageError: the path is a folder, or nothing can be written there.
    """
    file = Path(path)
    if file.is_dir():
        raise UsageError(f"Got the output {str(path)!r}, which is a folder, expected a file.")
    check_folder(file.parent)
    if file.exists():
        try:
            with open(file, "ab"):
                pass
        except OSError as error:
            raise UsageError(
                f"Got the output {str(path)!r}, expected a file to write: {error}."
            ) from None
