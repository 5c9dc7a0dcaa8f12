"""Whether a file or folder can be created, found out before work is spent on its contents."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from jaxslice.core.errors import UsageError


def check_writable(place: str | Path, *, make_parents: bool = False) -> None:
    """Refuses a local place where no file or folder could be created.

    The check creates a temporary file in the folder that would hold it and leaves nothing behind.
    Permission bits would not do: they say nothing of quotas, read-only mounts or the super-user.

    Args:
      place: the file or folder to be created.
      make_parents: whether missing folders above it will be created too.

    Raises:
      UsageError: nothing can be created there.
    """
    folder = Path(os.path.realpath(place)).parent
    while make_parents and not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileNotFoundError:
        reason = "it does not exist" if not folder.exists() else "no file can be created there"
        raise UsageError(f"Cannot create {str(place)!r} in {str(folder)!r}: {reason}.") from None
    except OSError as error:
        raise UsageError(
            f"Cannot create {str(place)!r} in {str(folder)!r}: {error.strerror}."
        ) from None
