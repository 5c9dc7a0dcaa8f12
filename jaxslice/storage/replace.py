"""New files and folders that take their place only when they are complete.

`new_place` is the one way in for local paths and for buckets. TensorStore replaces single objects
atomically; the exchange of a whole folder is ours, since no library has it: files and folders are
synced before the rename, so that what has its final name survives a power cut.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from jaxslice.core.errors import UsageError
from jaxslice.storage import bucket
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import Location, parse_location
from jaxslice.storage.workspace import (
    aside_of,
    content_of,
    locked_workspace,
    remove,
    remove_workspace,
)

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of Linux' renameat2, which Python does not offer."""


@contextlib.contextmanager
def new_place(place: str, kind: Kind, overwrite: bool) -> Iterator[Location]:
    """A location to write to, whose content stands at `place` when the `with` block ends.

    Locally it is in a workspace beside `place`, renamed at the end and removed on an exception.
    What the replaced folder holds beside its own objects is kept. For buckets see
    `bucket.new_folder`.

    Args:
      place: as the user wrote it.
      kind: what is written, and the only thing that may be replaced.
      overwrite: whether to replace it.

    Raises:
      UsageError: something is there that may not be replaced, or nothing can be written there.
      OSError: the storage fails at the end.
    """
    location = parse_location(place)
    if isinstance(location, Path):
        with _renamed_at_the_end(place, location, kind, overwrite) as partial:
            yield partial
    else:
        with bucket.new_folder(place, location, kind, overwrite) as spec:
            yield spec


def check_new_place(place: str, kind: Kind, overwrite: bool) -> None:
    """Raises what `new_place` would at its start, before any work is spent.

    Raises:
      UsageError: something is there that may not be replaced, or nothing can be written there.
    """
    location = parse_location(place)
    if isinstance(location, Path):
        _check_local(place, real_path(location), kind, overwrite)
    else:
        bucket.check(place, location, kind, overwrite)


@contextlib.contextmanager
def _renamed_at_the_end(place: str, location: Path, kind: Kind, overwrite: bool) -> Iterator[Path]:
    final = real_path(location)
    _check_local(place, final, kind, overwrite)
    with locked_workspace(place, final) as workspace:
        content = content_of(workspace)
        try:
            # What a process left that was killed.
            remove(content)
            yield content
            bring(place, content, final, kind, overwrite)
        finally:
            remove_workspace(workspace)


def real_path(location: Path) -> Path:
    """The path that is written: what a link points to is replaced, not the link."""
    return Path(os.path.realpath(location))


def bring(place: str, content: Path, final: Path, kind: Kind, overwrite: bool) -> None:
    """Renames new content from its workspace to its place, after it is on disk.

    What the replaced folder holds beside its own objects is kept. The old content is left in the
    workspace.

    Args:
      place: as the user wrote it.
      content: the new file or folder.
      final: where it goes.
      kind: of the content.
      overwrite: whether to replace what is there.

    Raises:
      UsageError: something is there that may not be replaced, or the storage refuses.
    """
    # Checked again, because someone may have written there in the meantime.
    _check_replaceable(place, final, kind, overwrite)
    try:
        if final.is_dir():
            _carry_over(final, content, kind)
        _sync(content)
        _exchange(content, final, aside_of(content.parent))
        _sync_folder(final.parent)
    except OSError as error:
        raise UsageError(f"Cannot create {place!r}: {error.strerror or error}.") from error


def _check_local(place: str, final: Path, kind: Kind, overwrite: bool) -> None:
    _check_replaceable(place, final, kind, overwrite)
    if not final.parent.is_dir():
        raise UsageError(f"Cannot create {place!r}: there is no folder {str(final.parent)!r}.")
    attempt = final.with_name(f".{final.name}.partial-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        attempt.mkdir()
        attempt.rmdir()
    except OSError as error:
        raise UsageError(f"Cannot create {place!r}: {error.strerror}.") from error


def _check_replaceable(place: str, final: Path, kind: Kind, overwrite: bool) -> None:
    if not os.path.lexists(final):
        return
    if not overwrite:
        raise UsageError(f"Got {place!r}, which exists, expected a new name or --overwrite.")
    if kind.entry is None:
        replaceable = final.is_file()
    else:
        replaceable = final.is_dir() and (not any(final.iterdir()) or _own_keys(final, kind))
    if not replaceable:
        raise UsageError(f"Got {place!r}, which is not {kind.name}, so it is not overwritten.")


def _own_keys(folder: Path, kind: Kind) -> OwnKeys | None:
    try:
        entry = (folder / kind.entry).read_bytes() if kind.entry else None
    except OSError:
        return None
    return None if entry is None else kind.own_keys(entry)


def _carry_over(old: Path, new: Path, kind: Kind) -> None:
    """Gives the new folder what the old one holds beside its own objects, by hard links."""
    is_own = _own_keys(old, kind)
    for folder, folders, files in os.walk(old):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for source in (Path(folder, name) for name in files + links):
            target = new / source.relative_to(old)
            key = source.relative_to(old).as_posix()
            if (is_own and is_own(key)) or os.path.lexists(target):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target, follow_symlinks=False)
            except OSError:
                shutil.copy2(source, target, follow_symlinks=False)


def _exchange(partial: Path, final: Path, aside: Path) -> None:
    """Gives `final` the new content; the old one is left under one of the other names."""
    if not final.is_dir():
        os.replace(partial, final)
        return
    if _swap(partial, final):
        return
    try:
        os.rename(final, aside)
        os.rename(partial, final)
    except BaseException:
        if not os.path.lexists(final) and os.path.lexists(aside):
            os.rename(aside, final)
        raise


def _swap(one: Path, other: Path) -> bool:
    """Swaps two names at once, so that neither is missing at any time; False where Linux cannot."""
    try:
        swap = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return swap(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0


def _sync(path: Path) -> None:
    """Waits until a file, or a folder with all that is in it, is on disk."""
    if not path.is_dir():
        _sync_one(path)
        return
    for folder, _, files in os.walk(path):
        for file in (Path(folder, name) for name in files):
            if not file.is_symlink():
                _sync_one(file)
        _sync_folder(Path(folder))


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    # Some network file systems and Windows cannot sync a folder; they keep its entries otherwise.
    with contextlib.suppress(OSError):
        _sync_one(path)
