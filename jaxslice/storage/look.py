"""The draft of a place as somebody else sees it, who only reads."""

from __future__ import annotations

from pathlib import Path

from jaxslice.storage.draft import BucketDraft, Draft, LocalDraft
from jaxslice.storage.folder import RemoteFolder
from jaxslice.storage.kind import Kind
from jaxslice.storage.location import parse_location
from jaxslice.storage.replace import real_path
from jaxslice.storage.workspace import is_locked, workspace_of


def draft_to_look_at(place: str, kind: Kind) -> tuple[Draft, bool] | None:
    """The draft of a place that has a job, to be read only, and whether its lock is held.

    Raises:
      OSError: the storage cannot be reached.
    """
    location = parse_location(place)
    if not isinstance(location, Path):
        draft = BucketDraft(RemoteFolder(place, location), kind)
        return None if draft.job is None else (draft, False)
    final = real_path(location)
    local = LocalDraft(place, final, kind, overwrite=False)
    return None if local.job is None else (local, is_locked(workspace_of(final)))
