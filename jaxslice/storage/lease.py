"""A lease: work that one of several processes does at a time, on any machine that sees the folder.

The holder renews it. Who finds one that was not renewed for a while takes it over, and at once
where its holder was a process of this machine that has ended. A lease saves work that would be done
twice; nothing may depend on it alone, because a process can be suspended for longer than it lasts.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from jaxslice.core.json_text import parse_json
from jaxslice.storage.folder import Folder

LEASE = "lease-"
"""Begins the name of each."""

LEASE_SECONDS = 30.0
"""Without a renewal, after which another process takes over."""

_RENEWALS = 6
"""Renewals within that time."""


class Lease:
    """A lease, which `try_acquire` may give to this object. A context that releases it."""

    def __init__(self, folder: Folder, work: str, seconds: float = LEASE_SECONDS) -> None:
        """Takes the folder that all see, and what the lease is for."""
        self._folder, self._name, self._seconds = folder, LEASE + work, seconds
        self._owner = {"token": secrets.token_hex(8), "pid": os.getpid(), "machine": _machine()}
        self._seen: tuple[bytes, float] | None = None
        self._released = threading.Event()
        self._renewing: threading.Thread | None = None

    def try_acquire(self) -> bool:
        """Takes the lease if it is free, or if its holder has not renewed it since an earlier call.

        Raises:
          OSError: the storage fails.
        """
        generation = self._folder.generation_of(self._name)
        found = self._folder.read(self._name)
        if found is not None and not self._is_over(generation, found):
            return False
        if not self._folder.write_if_unchanged(self._name, self._record(0), generation):
            return False
        self._renewing = threading.Thread(target=self._renew, daemon=True)
        self._renewing.start()
        return True

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        """Releases the lease if this object has it."""
        if self._renewing is None:
            return
        self._released.set()
        self._renewing.join()
        # If the storage fails, the lease ends by itself.
        with contextlib.suppress(OSError):
            if self._is_own():
                self._folder.delete(self._name)

    def _is_over(self, generation: bytes, found: bytes) -> bool:
        now = time.monotonic()
        if self._seen is None or self._seen[0] != generation:
            self._seen = generation, now
        return now - self._seen[1] > self._seconds or _has_ended(found)

    def _renew(self) -> None:
        count = 0
        while not self._released.wait(self._seconds / _RENEWALS):
            count += 1
            with contextlib.suppress(OSError):
                if not self._is_own():
                    return
                self._folder.write(self._name, self._record(count))

    def _is_own(self) -> bool:
        return _owner_of(self._folder.read(self._name)).get("token") == self._owner["token"]

    def _record(self, count: int) -> bytes:
        return json.dumps({**self._owner, "renewed": count}).encode()


def _owner_of(record: bytes | None) -> dict[str, Any]:
    try:
        owner = parse_json(record or b"{}")
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _has_ended(record: bytes) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    owner = _owner_of(record)
    pid = owner.get("pid")
    if owner.get("machine") != _machine() or type(pid) is not int:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _machine() -> str:
    """What names this machine since it was started, and among its containers this one."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
