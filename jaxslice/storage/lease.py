"""A lease: of several processes, on whatever machines, one does a piece of work and others wait.

It saves work and promises nothing: where two processes believe that they have it, for instance
because one of them was suspended, both do the work, and what is stored must allow that.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time

from jaxslice.storage.folder import Folder

RENEW_SECONDS = 10.0
STALE_SECONDS = 60.0
"""A holder that has not renewed its lease for so long is taken for dead."""


class Lease:
    """An object that its holder changes now and then, so that others see that it lives.

    Nobody's clock is compared with another's: who waits measures how long the object has stayed
    the same.
    """

    def __init__(
        self,
        folder: Folder,
        name: str,
        renew_seconds: float = RENEW_SECONDS,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        """Takes the object's folder and key; nothing is read or written yet."""
        self._folder, self._name = folder, name
        self._renew_seconds, self._stale_seconds = renew_seconds, stale_seconds
        self._holder = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        self._seen, self._since = b"", 0.0
        self._content = b""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def try_take(self) -> bool:
        """Takes the lease if it is free, or if its holder is dead.

        Raises:
          OSError: the storage fails.
        """
        generation, now = self._folder.generation_of(self._name), time.monotonic()
        if self._folder.read(self._name) is not None:
            if generation != self._seen:
                self._seen, self._since = generation, now
            if now - self._since < self._stale_seconds:
                return False
        if not self._write(0, generation):
            return False
        self._ended.clear()
        self._thread = threading.Thread(target=self._renew, name="jaxslice-lease", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Gives the lease back, if this process still has it."""
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self._thread = None
        with contextlib.suppress(OSError):
            if self._folder.read(self._name) == self._content:
                self._folder.delete(self._name)

    def _write(self, count: int, generation: bytes) -> bool:
        content = f"{self._holder} {count}".encode()
        if not self._folder.write_if_unchanged(self._name, content, generation):
            return False
        self._content = content
        return True

    def _renew(self) -> None:
        count = 0
        while not self._ended.wait(self._renew_seconds):
            count += 1
            # A storage that fails now may be well again in time.
            with contextlib.suppress(OSError):
                generation = self._folder.generation_of(self._name)
                if self._folder.read(self._name) != self._content:
                    return
                self._write(count, generation)
