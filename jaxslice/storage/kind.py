"""What is written to a place, and may be replaced there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

OwnKeys = Callable[[str], bool]
"""Whether an object with such a key is part of an archive or volume."""


def _none_own(entry: bytes | None) -> OwnKeys | None:
    return None


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file or folder that `--overwrite` may replace.

    Attributes:
      name: with its article, for messages.
      entry: key of the object of a folder without which the others are not found; None if the
        kind is a single file.
      own_keys: from the bytes of the entry, or None where there is no entry yet, which objects of
        the folder are its own; None if the bytes are not of this kind. Everything else in the
        folder is somebody else's, and kept.
    """

    name: str
    entry: str | None = None
    own_keys: Callable[[bytes | None], OwnKeys | None] = _none_own
