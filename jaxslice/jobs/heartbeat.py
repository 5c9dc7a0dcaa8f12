"""Signs of life that a running job leaves with its draft, for `status` to read from anywhere."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from jaxslice.core.box import Box
from jaxslice.core.json_text import parse_json
from jaxslice.core.progress import Progress
from jaxslice.jobs.options import CompressOptions
from jaxslice.storage.draft import Draft
from jaxslice.storage.location import public_name

BEAT_SECONDS = 30.0
"""Least time between two signs of life."""

SILENT_SECONDS = 180.0
"""After so long without a sign a job counts as dead, unless its lock says otherwise."""

PREFIX = "alive-"


class Heartbeat:
    """A `Progress` that passes on what it is told, and now and then leaves a note of it.

    Each process has a note of its own. Notes go with the draft when the archive is complete.
    """

    def __init__(
        self,
        draft: Draft,
        command: str,
        progress: Progress,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Leaves no note yet.

        Args:
          draft: that the job writes.
          command: that would go on with the job.
          progress: to pass on to.
          clock: seconds since 1970.
        """
        self._draft, self._command, self._progress, self._clock = draft, command, progress, clock
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._lock, self._last, self._begun = threading.Lock(), 0.0, clock()

    def __call__(self, part: str, done: int, total: int) -> None:
        """Takes the part of the work, how much of it is done, and how much there is."""
        self._progress(part, done, total)
        now = self._clock()
        with self._lock:
            # A draft that is not to be kept is removed as a whole: it needs no sign.
            if now - self._last < BEAT_SECONDS or not self._draft.kept:
                return
            self._last = now
        note = {
            "host": self._host, "pid": self._pid, "begun": round(self._begun, 1),
            "seen": round(now, 1), "part": part, "done": done, "total": total,
            "command": self._command,
        }  # fmt: skip
        # A sign that cannot be left is no reason to give up the work.
        with contextlib.suppress(OSError):
            self._draft.renew(f"{PREFIX}{self._host}-{self._pid}.json", json.dumps(note).encode())


def read_beats(draft: Draft) -> list[dict[str, Any]]:
    """The signs of life of a draft, the newest first.

    Raises:
      OSError: the storage fails.
    """
    found = []
    for name in draft.notes_of(PREFIX):
        data = draft.read_note(name) or b""
        with contextlib.suppress(ValueError, LookupError, TypeError, OverflowError):
            note = parse_json(data)
            found.append({**note, "seen": float(note["seen"])})
    return sorted(found, key=lambda note: -note["seen"])


def command_of(source: str, archive: str, options: CompressOptions) -> str:
    """The command line that does the same as `compress`; how the source is opened is left out.

    A URL loses what may be secret in it.
    """
    words = ["jaxslice", "compress", public_name(source) if "://" in source else source]
    words.append(public_name(archive) if "://" in archive else archive)
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default and field.name != "resume":
            words.append(f"--{field.name}" + ("" if value is True else f"={_text(value)}"))
    return shlex.join(words)


def _text(value: Any) -> str:
    if isinstance(value, Box):
        return str(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
