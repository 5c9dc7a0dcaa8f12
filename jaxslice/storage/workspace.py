"""The folder beside a local place in which its new content grows, for one process at a time.

It has a name that a later process finds: what a killed one left in it is gone on with or removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from jaxslice.core.errors import UsageError

_LOCK, _CONTENT, _ASIDE = "lock", "new", "old"


class BusyError(UsageError):
    """Another process is at work at a place."""


def workspace_of(final: Path) -> Path:
    """The workspace of a place, whether it exists or not."""
    return final.with_name(f".{final.name}.partial")


def content_of(workspace: Path) -> Path:
    """The file or folder in a workspace that will be renamed to the place."""
    return workspace / _CONTENT


def aside_of(workspace: Path) -> Path:
    """Where the old content waits while it is replaced in two steps."""
    return workspace / _ASIDE


def is_locked(workspace: Path) -> bool:
    """Whether a process is at work in a workspace."""
    try:
        descriptor = os.open(workspace / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_workspace(place: str, final: Path, shared: bool = False) -> Iterator[Path]:
    """Makes the workspace of a place, or takes over what a killed process left.

    The lock is the system's: it ends with the process, however that ends. Where the system has
    none, nothing keeps two processes apart.

    Args:
      place: as the user wrote it.
      final: its path, links followed.
      shared: whether other processes may share the lock.

    Raises:
      BusyError: another process is at work there.
      UsageError: nothing can be created there.
    """
    workspace = workspace_of(final)
    try:
        descriptor = _locked(workspace, shared)
    except OSError as error:
        raise UsageError(f"Cannot create {place!r}: {error.strerror}.") from error
    if descriptor is None:
        raise BusyError(
            f"Got {place!r}, which another process is writing, expected a place of its own."
        )
    try:
        aside = aside_of(workspace)
        if os.path.lexists(aside) and not os.path.lexists(final):
            # A process was killed between the two steps of replacing.
            os.rename(aside, final)
        yield workspace
    finally:
        os.close(descriptor)


def remove_workspace(workspace: Path) -> None:
    """Removes a workspace that this process has locked, the lock last."""
    if workspace.is_dir():
        clear_workspace(workspace)
        remove(workspace)


def clear_workspace(workspace: Path) -> None:
    """Removes what is in a workspace that this process has locked, but not the lock."""
    for path in workspace.iterdir():
        if path.name != _LOCK:
            remove(path)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _locked(workspace: Path, shared: bool) -> int | None:
    """A descriptor of the workspace's lock, or None where another process has it."""
    while True:
        workspace.mkdir(exist_ok=True)
        try:
            descriptor = os.open(workspace / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            # The process that had it has just removed it.
            continue
        if not _try_lock(descriptor, shared):
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(workspace / _LOCK)):
                return descriptor
        os.close(descriptor)


def _try_lock(descriptor: int, shared: bool = False) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems have no locks.
        return True
    return True
