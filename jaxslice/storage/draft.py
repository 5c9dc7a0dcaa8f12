"""New content of a place that outlives the process which writes it, so that another goes on.

A note says what is being made: the job. As long as there is one, a kill leaves the draft and
`open_draft` finds it. Readers of the place see the old content, or none, until `publish`.

Locally a draft is a workspace beside the place. In a bucket its objects lie below the place, under
keys that the old content does not use, and the entry is written last, in one request.
"""

from __future__ import annotations

import abc
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from jaxslice.core.errors import UsageError
from jaxslice.storage import bucket
from jaxslice.storage.folder import Folder, LocalFolder, RemoteFolder
from jaxslice.storage.kind import Kind
from jaxslice.storage.lease import LEASE
from jaxslice.storage.location import parse_location, unreachable_is_usage_error
from jaxslice.storage.notes import Notes
from jaxslice.storage.replace import bring, check_new_place, real_path
from jaxslice.storage.workspace import (
    BusyError,
    clear_workspace,
    content_of,
    is_locked,
    locked_workspace,
    remove,
    remove_workspace,
    workspace_of,
)

JOB, _DONE = "job.json", "done"

HALF_WRITTEN = ".__lock"
"""End of the names of files that TensorStore is writing."""

NOTES_FOLDER = ".jaxslice"
"""Folder of a bucket's place for what is about the draft and not of its content."""


class Draft(Notes, abc.ABC):
    """Content that is not complete yet, and notes of what it is to be.

    Attributes:
      place: as the user wrote it.
      folder: to write objects to.
      in_place: whether `folder` is the place itself, which the old content may lie in.
      kept: whether an exception leaves the draft; set it when there is work to be kept.
    """

    def __init__(self, place: str, kind: Kind, folder: Folder, notes: Folder) -> None:
        """Takes the folders of the content and of the notes."""
        super().__init__(notes)
        self.place, self.folder, self._kind = place, folder, kind
        self.in_place = isinstance(folder, RemoteFolder)
        self._job = notes.read(JOB)
        self.kept = self._job is not None

    @abc.abstractmethod
    def _entry(self) -> bytes | None:
        """The entry that stands at the place."""

    @abc.abstractmethod
    def _bring(self, entry: bytes) -> None:
        """Makes the content stand at the place, all at once."""

    @abc.abstractmethod
    def _clear(self) -> None:
        """Removes the content of the draft and all notes, the job first."""

    def restart(self) -> None:
        """Removes the content of the draft and all notes, to begin anew."""
        self._clear()
        self._job, self.kept = None, False

    def remove(self) -> None:
        """Removes the whole draft. The content at the place stays."""
        self._clear()

    def is_taken(self, key: str) -> bool:
        """Whether the content that stands at the place would be damaged by writing such a key."""
        if not self.in_place:
            return False
        entry = self._entry()
        is_own = self._kind.own_keys(entry) if entry is not None else None
        return is_own is not None and is_own(key)

    @property
    def job(self) -> bytes | None:
        """What the draft is to become, or None for one that was just begun."""
        return self._job

    def begin(self, job: bytes) -> None:
        """Says what the draft is to become.

        Raises:
          UsageError: another process just began something else at this place.
        """
        self._job = self.note(JOB, job)
        if self._job != job:
            raise UsageError(
                f"Got {self.place!r}, where another process has just begun, expected one writer."
            )

    def is_current(self) -> bool:
        """Whether the job is still the one that was begun: nobody published or removed it."""
        return self._job is not None and self._notes.read(JOB) == self._job

    def publish(self, entry: bytes) -> None:
        """Makes the content stand at the place, then removes what was replaced and all notes.

        Args:
          entry: bytes of the kind's entry, which is written last.

        Raises:
          UsageError: somebody else wrote to the place meanwhile.
          OSError: the storage fails.
        """
        if self._notes.read(JOB) != self._job:
            raise UsageError(
                f"Got {self.place!r}, where another process began anew, expected one writer."
            )
        self._notes.write(_DONE, hashlib.sha256(entry).digest())
        self._bring(entry)
        self.remove()

    def settle(self) -> None:
        """Removes what a process left that was killed after its content stood at the place."""
        done = self._notes.read(_DONE)
        if done is None:
            return
        if hashlib.sha256(self._entry() or b"").digest() == done:
            self.remove()
        else:
            self._notes.delete(_DONE)


class LocalDraft(Draft):
    """A draft in the workspace of a local place, which must be locked."""

    def __init__(self, place: str, final: Path, kind: Kind, overwrite: bool) -> None:
        self._workspace, self._final, self._overwrite = workspace_of(final), final, overwrite
        folders = (LocalFolder(place, p) for p in (content_of(self._workspace), self._workspace))
        super().__init__(place, kind, *folders)

    def _entry(self) -> bytes | None:
        assert self._kind.entry is not None
        return LocalFolder(self.place, self._final).read(self._kind.entry)

    def _bring(self, entry: bytes) -> None:
        assert self._kind.entry is not None
        content = content_of(self._workspace)
        for path in content.rglob(f"*{HALF_WRITTEN}"):
            path.unlink()
        self.folder.write(self._kind.entry, entry)
        bring(self.place, content, self._final, self._kind, self._overwrite)

    def _clear(self) -> None:
        # Without the job nobody goes on with the rest.
        remove(self._workspace / JOB)
        clear_workspace(self._workspace)

    def remove(self) -> None:
        remove_workspace(self._workspace)

    def tidy(self) -> None:
        """Removes what was written after another process had published or removed the draft."""
        if self._notes.read(JOB) is None:
            self.remove()


class BucketDraft(Draft):
    """A draft among the objects of a place in a bucket."""

    def __init__(self, folder: RemoteFolder, kind: Kind) -> None:
        self._place_folder = folder
        super().__init__(folder.place, kind, folder, folder.below(NOTES_FOLDER))
        assert kind.entry is not None
        self._entry_key = kind.entry
        self._generation = folder.generation_of(kind.entry)

    def _entry(self) -> bytes | None:
        return self.folder.read(self._entry_key)

    def _bring(self, entry: bytes) -> None:
        old = self._entry()
        if not self.folder.write_if_unchanged(self._entry_key, entry, self._generation):
            if self._entry() == entry:
                # Another process ran the same job.
                return
            raise UsageError(
                f"Got {self.place!r}, which somebody else wrote to meanwhile, expected one writer."
            )
        if old is not None:
            bucket.delete_own(
                self._place_folder, self._kind.own_keys(old), self._kind.own_keys(entry)
            )

    def _clear(self) -> None:
        # Who may write may not always list or delete; objects that nobody reads are left then.
        with contextlib.suppress(OSError):
            self._notes.delete(JOB)
            entry = self._entry()
            kept = self._kind.own_keys(entry) if entry is not None else None
            bucket.delete_own(self._place_folder, self._kind.own_keys(None), kept)
            # Of processes that were killed while they tried whether they can write.
            bucket.delete_own(self._place_folder, bucket.is_attempt)
            for name in self._notes.list_keys():
                # Whoever begins anew holds one.
                if not name.startswith(LEASE):
                    self._notes.delete(name)

    def remove(self) -> None:
        super().remove()
        with contextlib.suppress(OSError):
            for name in self._notes.list_keys(LEASE):
                self._notes.delete(name)


@contextlib.contextmanager
def open_draft(place: str, kind: Kind, overwrite: bool, shared: bool = False) -> Iterator[Draft]:
    """The draft of a place: a new one, or the one that a killed process left.

    Args:
      place: as the user wrote it.
      kind: what is written, a folder, and the only thing that may be replaced.
      overwrite: whether to replace it.
      shared: whether other processes work on it at the same time. Then nothing is removed here.

    Raises:
      BusyError: another process is writing it that does not share it.
      UsageError: something is there that may not be replaced, or nothing can be written there.
    """
    with unreachable_is_usage_error(place):
        settle(place, kind)
    check_new_place(place, kind, overwrite)
    location = parse_location(place)
    if not isinstance(location, Path):
        draft = BucketDraft(RemoteFolder(place, location), kind)
        yield from (draft,) if shared else _kept_if_begun(draft)
        return
    final = real_path(location)
    with locked_workspace(place, final, shared):
        draft = LocalDraft(place, final, kind, overwrite)
        try:
            yield from (draft,) if shared else _kept_if_begun(draft)
        finally:
            if shared:
                draft.tidy()


def _kept_if_begun(draft: Draft) -> Iterator[Draft]:
    if draft.job is None:
        draft.restart()
    try:
        yield draft
    except BaseException as error:
        if not draft.kept:
            try:
                draft.remove()
            except OSError:
                error.add_note(f"{draft.place} is incomplete.")
        raise


def settle(place: str, kind: Kind) -> None:
    """Removes what is left of a draft whose content stands at the place already.

    Raises OSError if the storage fails.
    """
    location = parse_location(place)
    if not isinstance(location, Path):
        if location["driver"] in ("gcs", "s3"):
            BucketDraft(RemoteFolder(place, location), kind).settle()
        return
    final = real_path(location)
    workspace = workspace_of(final)
    if workspace.is_dir() and not is_locked(workspace):
        # Whoever has just come is at work, and nothing is left of another.
        with contextlib.suppress(BusyError), locked_workspace(place, final):
            LocalDraft(place, final, kind, overwrite=False).settle()


def unfinished_draft(place: str) -> str | None:
    """Where the unfinished draft of a place is, if there is one with a job file.

    Raises:
      OSError: the storage cannot be reached.
    """
    location = parse_location(place)
    if isinstance(location, Path):
        workspace = workspace_of(real_path(location))
        return str(workspace) if (workspace / JOB).exists() else None
    notes = RemoteFolder(place, location).below(NOTES_FOLDER)
    return f"{place.rstrip('/')}/{NOTES_FOLDER}" if notes.read(JOB) is not None else None
