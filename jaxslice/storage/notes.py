"""Notes: small objects about work in progress, most of which are written once."""

from __future__ import annotations

from jaxslice.storage.folder import Folder
from jaxslice.storage.lease import Lease


class Notes:
    """Notes in a folder that all processes of the work see."""

    def __init__(self, notes: Folder) -> None:
        """Takes the folder."""
        self._notes = notes

    def read_note(self, name: str) -> bytes | None:
        """A note, or None if there is none of that name."""
        return self._notes.read(name)

    def note(self, name: str, data: bytes) -> bytes:
        """Stores a note, which is never changed.

        Returns:
          The note that counts: that of another process if it was first.
        """
        absent = self._notes.generation_of(name)
        found = self._notes.read(name)
        if found is None and self._notes.write_if_unchanged(name, data, absent):
            return data
        return found or self._notes.read(name) or data

    def renew(self, name: str, data: bytes) -> None:
        """Stores a note that may be stored again, with other content.

        Raises:
          OSError: the storage fails.
        """
        self._notes.write(name, data)

    def notes_of(self, prefix: str) -> list[str]:
        """The names of all notes that begin so, in order."""
        return sorted(self._notes.list_keys(prefix))

    def lease(self, work: str) -> Lease:
        """A lease of some work on the draft, which one process does at a time."""
        return Lease(self._notes, work)
