"""Places that a command writes to: checks before the work, and what an interruption leaves."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jaxslice.core.errors import UsageError
from jaxslice.core.writable import check_writable
from jaxslice.storage.draft import unfinished_draft
from jaxslice.storage.location import parse_location


def check_destination(place: str, overwrite: bool) -> None:
    """Refuses a local folder or file that could not be created; remote ones the job itself checks.

    Args:
      place: a path or URL as users write it.
      overwrite: whether what exists there may be replaced.

    Raises:
      UsageError: it exists and may not be replaced, or cannot be created.
    """
    location = parse_location(place)
    if not isinstance(location, Path):
        return
    if os.path.lexists(location) and not overwrite:
        raise UsageError(f"Got {place!r}, which exists, expected a new name or --overwrite.")
    check_writable(location)


def check_local(flag: str, place: str) -> None:
    """Refuses a URL where only a local path will do (UsageError)."""
    if is_remote(place) or "://" in place:
        raise UsageError(f"Got --{flag}={place}, expected a local path.")


def is_remote(place: str) -> bool:
    """Whether a place is a URL of object storage or of a web server."""
    return re.search(r"(gs|s3|https?)://", place) is not None


def after_interrupted_job(place: str) -> str:
    """What an interrupted job that can be resumed leaves, in a sentence."""
    if is_remote(place):
        return f"What is finished may remain in {place!r}: the same command goes on from there."
    left = unfinished_draft(place)
    if left is None:
        return after_interrupt(place)
    return f"What is finished is kept in {left!r}: the same command goes on from there."


def after_interrupt(place: str) -> str:
    """What an interrupted job leaves at the place that it writes to, in a sentence."""
    if is_remote(place):
        return f"Objects that were already written to {place!r} may remain."
    return f"Nothing new was kept at {place!r}."
