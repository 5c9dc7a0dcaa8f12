"""Files and folders that are replaced only by whole new ones."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxslice.core.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Replaceable:
    """A kind of file or folder that `--overwrite` may replace.

    Attributes:
      name: with its article, for messages.
      is_one: whether what stands at a path is of that kind.
    """

    name: str
    is_one: Callable[[Path], bool]


@contextlib.contextmanager
def renamed_at_the_end(
    dest: str, location: Path, kind: Replaceable, overwrite: bool
) -> Iterator[Path]:
    """A name to write under; becomes `location` at the end, or is removed on an exception.

    Args:
      dest: the location as the user wrote it, for messages.
      location: where the file or folder is to stand.
      kind: what may be replaced there.
      overwrite: whether to replace it.

    Raises:
      UsageError: something stands there that may not be replaced, or the place cannot be written.
    """
    # What a link points to is replaced, not the link.
    final = Path(os.path.realpath(location))
    _check_replaceable(dest, final, kind, overwrite)
    if not final.parent.is_dir():
        raise UsageError(f"Cannot create {dest!r}: there is no folder {str(final.parent)!r}.")
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    partial = final.with_name(f".{final.name}.partial-{unique}")
    try:
        yield partial
        # Asked again, because someone may have written there in the meantime.
        _check_replaceable(dest, final, kind, overwrite)
        try:
            _replace(partial, final, final.with_name(f".{final.name}.replaced-{unique}"))
        except OSError as error:
            raise UsageError(f"Cannot create {dest!r}: {error.strerror}.") from error
    finally:
        remove(partial)


def _check_replaceable(dest: str, final: Path, kind: Replaceable, overwrite: bool) -> None:
    if not os.path.lexists(final):
        return
    if not overwrite:
        raise UsageError(f"Got {dest!r}, which exists, expected a new name or --overwrite.")
    if not kind.is_one(final):
        raise UsageError(f"Got {dest!r}, which is not {kind.name}, so it is not overwritten.")


def _replace(partial: Path, final: Path, aside: Path) -> None:
    if not final.is_dir():
        os.replace(partial, final)
        return
    os.rename(final, aside)
    try:
        os.rename(partial, final)
    except OSError:
        os.rename(aside, final)
        raise
    remove(aside)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
