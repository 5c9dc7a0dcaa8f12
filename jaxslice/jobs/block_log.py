"""A log of blocks: one JSON record for each block that was stored, on a line of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jaxslice.codec.engines.interface import engine_named
from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Stopwatch
from jaxslice.core.types import Volume
from jaxslice.jobs.encoding import Encoded, EncodeStats, EncodeTask
from jaxslice.jobs.task import Worker

_PARTS = ("read", "train_blocks", "encode", "verify", "write")


class _Timed(list[Any]):
    """What a step of a task returned, and the seconds of all steps so far."""

    def __init__(self, results: Iterable[Any], seconds: dict[str, float]) -> None:
        super().__init__(results)
        self.seconds = seconds


@dataclasses.dataclass(frozen=True)
class LoggedTask(EncodeTask):
    """Blocks to encode, each with a line in a log. A frozen value that pickles.

    A line is written in one go at the end of the file, so that processes can share it, and after
    the block is stored; workers of a cluster hand theirs to the client. A run that goes on with
    another's work goes on with its log.

    Attributes:
      log: path of the file.
      in_shard: whether the blocks become part of a larger object, which another task stores; their
        lines then come when they are coded.
    """

    log: str = dataclasses.field(default="", kw_only=True)
    in_shard: bool = dataclasses.field(default=False, kw_only=True)

    def read(self, worker: Worker) -> list[Volume]:
        """See `EncodeTask.read`."""
        with _Measured(worker) as (own, seconds):
            voxels = super().read(own)
        return _Timed(voxels, seconds)

    def compute(self, data: list[Volume], worker: Worker) -> list[Encoded]:
        """See `EncodeTask.compute`."""
        with _Measured(worker) as (own, seconds):
            encoded = super().compute(list(data), own)
        timed = _Timed(encoded, _sum(data, seconds))
        if self.in_shard:
            self._append(timed, worker)
        return timed

    def write(self, results: list[Encoded], worker: Worker) -> EncodeStats:
        """See `EncodeTask.write`."""
        with _Measured(worker) as (own, seconds):
            stats = super().write(results, own)
        self._append(_Timed(results, _sum(results, seconds)), worker)
        return stats

    def _append(self, results: _Timed, worker: Worker) -> None:
        each = {part: round(results.seconds.get(part, 0) / len(self.indices), 6) for part in _PARTS}
        lines = [
            json.dumps(self._record(index, item, each, worker.number))
            for index, item in zip(self.indices, results, strict=True)
        ]
        append_lines(self.log, lines)

    def _record(
        self, index: Triple, item: Encoded, seconds: dict[str, float], number: int
    ) -> dict[str, Any]:
        box = self.archive.box_of(index)
        return {
            "time": round(time.time(), 3),
            "scale": int(self.archive.path.partition("-")[0]),
            "index": list(index),
            "box": str(box),
            "voxels": box.size,
            "bytes": len(item.payload),
            "bits_per_voxel": round(8 * len(item.payload) / box.size, 5),
            "seconds": seconds,
            "network": "own" if item.network_bytes else "base",
            "network_bytes": item.network_bytes,
            "engine": engine_named(self.engine).name,
            "worker": f"{socket.gethostname()}-{os.getpid()}-{number}",
        }


class _Measured:
    """Times a step of a task apart, and adds that to the times of the whole work as well."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._watch = worker, Stopwatch()
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> tuple[Worker, dict[str, float]]:
        return dataclasses.replace(self._worker, watch=self._watch), self._seconds

    def __exit__(self, *_: object) -> None:
        found = self._watch.parts()
        self._seconds.update({part: found.get(part, 0.0) for part in _PARTS})
        for part, taken in found.items():
            self._worker.watch.add(part, taken)


def _sum(before: Any, seconds: dict[str, float]) -> dict[str, float]:
    earlier = getattr(before, "seconds", {})
    return {part: earlier.get(part, 0.0) + seconds[part] for part in _PARTS}


def logged(tasks: Iterable[EncodeTask], log: str, in_shard: bool) -> Iterator[LoggedTask]:
    """The same tasks with a log; `log` and `in_shard` as in `LoggedTask`."""
    for task in tasks:
        fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(EncodeTask)}
        yield LoggedTask(**fields, log=log, in_shard=in_shard)


def begin_log(path: str) -> str:
    """Opens a log for lines to come; what is there stays, and a line that was cut short is ended.

    Returns:
      Its absolute path.

    Raises:
      UsageError: it cannot be written.
    """
    try:
        with Path(path).open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
    except OSError as error:
        raise UsageError(f"Cannot write the log of blocks {path!r}: {error.strerror}.") from error
    return os.path.abspath(path)


class _Kept:
    """Lines that wait to be handed to another process, by the path of their log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.active = False
        self._lines: dict[str, list[str]] = {}

    def add(self, path: str, lines: Iterable[str]) -> None:
        with self._lock:
            self._lines.setdefault(path, []).extend(lines)

    def take(self) -> dict[str, list[str]]:
        with self._lock:
            found, self._lines = self._lines, {}
        return found


_kept = _Kept()


def keep_lines() -> None:
    """Keeps lines for `take_lines` from now on: this process does not see the files."""
    _kept.active = True


def take_lines() -> dict[str, list[str]]:
    """The lines since the last call, by the path of their log."""
    return _kept.take()


def append_lines(path: str, lines: Iterable[str]) -> None:
    """Adds lines at the end of a file, all at once.

    Raises:
      OSError: the file cannot be written.
    """
    if _kept.active:
        _kept.add(path, lines)
        return
    data = "".join(f"{line}\n" for line in lines).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
