"""New folders in buckets, which cannot rename."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.core.errors import UsageError
from jaxslice.storage import location as locations
from jaxslice.storage.folder import RemoteFolder
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import unreachable_is_usage_error

ATTEMPT = ".partial-"
"""Begins the name of an empty object that says whether a place can be written."""

_PENDING = ".incomplete-"
"""Begins the key under which an entry waits until all other objects are there."""

_REQUESTS = 16
"""Requests at once where many objects are copied or deleted."""


def is_attempt(key: str) -> bool:
    """Whether a key is that of an object which says whether a place can be written."""
    return key.startswith(ATTEMPT) and "/" not in key


@contextlib.contextmanager
def new_folder(
    place: str, spec: dict[str, Any], kind: Kind, overwrite: bool
) -> Iterator[dict[str, Any]]:
    """A folder of a bucket to write to, whose objects stand at `place` when the block ends.

    Where nothing is replaced, objects are written in place, and deleted again on an exception. An
    entry that `hide_entry` has hidden is shown when the block ends.
    Otherwise they are written to a folder with an unusual name inside `place`, and copied when all
    are there: the old content stays whole until then, and whatever is not its own is kept. The
    copying is not atomic. It begins by deleting the old entry and ends by writing the new one, so
    that a reader finds the old content, nothing or the new content, but a process that is killed
    meanwhile leaves nothing that opens. There must be only one writer at a time.

    Args:
      place: as the user wrote it.
      spec: TensorStore's description of the place.
      kind: what is written.
      overwrite: whether to replace it.

    Yields:
      TensorStore's description of the folder to write to.

    Raises:
      UsageError: something is there that may not be replaced, or nothing can be written there.
      OSError: the storage fails while objects are copied.
    """
    check(place, spec, kind, overwrite)
    folder = RemoteFolder(place, spec)
    with contextlib.suppress(OSError):
        # What runs left that were killed.
        _in_parallel(folder.delete, folder.list_keys(ATTEMPT))
    if _entry(folder, kind) is None:
        with _deleted_on_failure(folder, kind):
            yield folder.spec
        return
    staging = folder.below(f".partial-{secrets.token_hex(8)}")
    try:
        yield staging.spec
        _show_entry(staging, kind)
        _switch(folder, staging, kind)
    finally:
        with contextlib.suppress(OSError):
            _in_parallel(staging.delete, staging.list_keys())


def hide_entry(folder: RemoteFolder, kind: Kind) -> None:
    """Hides the entry of a folder that is being filled, so that a part of it does not open.

    Raises:
      OSError: the storage fails.
    """
    assert kind.entry is not None
    entry = folder.read(kind.entry)
    assert entry is not None, "created just now"
    folder.write(f"{_PENDING}{kind.entry}", entry)
    folder.delete(kind.entry)


def _show_entry(folder: RemoteFolder, kind: Kind) -> None:
    assert kind.entry is not None
    pending = f"{_PENDING}{kind.entry}"
    entry = folder.read(pending)
    if entry is not None:
        folder.write(kind.entry, entry)
        with contextlib.suppress(OSError):
            folder.delete(pending)


def check(place: str, spec: dict[str, Any], kind: Kind, overwrite: bool) -> None:
    """Raises what `new_folder` would at its start.

    Raises:
      UsageError: something is there that may not be replaced, or nothing can be written there.
    """
    if spec["driver"] not in ("gcs", "s3"):
        raise UsageError(f"Got {place!r}, which is read only, expected a path, gs:// or s3://.")
    if kind.entry is None:
        raise UsageError(f"Got {place!r}, expected a local path: {kind.name} cannot be remote.")
    folder = RemoteFolder(place, spec)
    with unreachable_is_usage_error(place):
        entry = _entry(folder, kind)
        attempt = f"{ATTEMPT}{secrets.token_hex(8)}"
        folder.write(attempt, b"")
    # Who may write may not always delete or list; an empty object is left then.
    with contextlib.suppress(OSError):
        folder.delete(attempt)
    if entry is None:
        return
    if not overwrite:
        raise UsageError(f"Got {place!r}, which exists, expected a new name or --overwrite.")
    if kind.own_keys(entry) is None:
        raise UsageError(f"Got {place!r}, which is not {kind.name}, so it is not overwritten.")


def _entry(folder: RemoteFolder, kind: Kind) -> bytes | None:
    assert kind.entry is not None
    return folder.read(kind.entry, locations.OPEN_TIMEOUT_SECONDS)


@contextlib.contextmanager
def _deleted_on_failure(folder: RemoteFolder, kind: Kind) -> Iterator[None]:
    # What a run left that was killed.
    with contextlib.suppress(OSError):
        _delete_own(folder, kind)
    try:
        yield
        _show_entry(folder, kind)
    except BaseException as error:
        try:
            _delete_own(folder, kind)
        except OSError:
            error.add_note(f"{folder.place} is incomplete.")
        raise


def _delete_own(folder: RemoteFolder, kind: Kind) -> None:
    """Deletes the objects of a folder that are the kind's own."""
    pending = f"{_PENDING}{kind.entry}"
    entry = folder.read(pending)
    delete_own(folder, kind.own_keys(_entry(folder, kind) if entry is None else entry))
    if entry is not None:
        folder.delete(pending)


def delete_own(folder: RemoteFolder, is_own: OwnKeys | None, kept: OwnKeys | None = None) -> None:
    """Deletes the objects of a folder that belong to some content, but not those to be kept.

    Args:
      folder: of the objects.
      is_own: which objects belong to the content; None for none.
      kept: which objects to keep of them.

    Raises:
      OSError: the storage fails.
    """
    if is_own is not None:
        own = (key for key in folder.list_keys() if is_own(key) and not (kept and kept(key)))
        _in_parallel(folder.delete, own)


def _switch(folder: RemoteFolder, staging: RemoteFolder, kind: Kind) -> None:
    """Replaces the own objects of a folder by the staged ones, the entry last."""
    assert kind.entry is not None
    is_own = kind.own_keys(_entry(folder, kind))
    assert is_own is not None, "checked at the start"
    new = frozenset(staging.list_keys())
    old = [key for key in folder.list_keys() if is_own(key) and key not in new]
    folder.delete(kind.entry)
    _in_parallel(lambda key: _copy(staging, folder, key), new - {kind.entry})
    _in_parallel(folder.delete, old)
    _copy(staging, folder, kind.entry)


def _copy(source: RemoteFolder, target: RemoteFolder, key: str) -> None:
    data = source.read(key)
    if data is None:
        raise OSError(f"Cannot replace {target.place!r}: the new object {key!r} is gone.")
    target.write(key, data)


def _in_parallel(request: Callable[[str], None], keys: Iterable[str]) -> None:
    with ThreadPoolExecutor(_REQUESTS, "jaxslice-bucket") as pool:
        for _ in pool.map(request, keys):
            pass
