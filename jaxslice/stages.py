"""Runs many blocks through read, compute and write, all three at once and within bounded memory."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")

Progress = Callable[[str, int, int], None]
"""Called with the name of a part of the work, how much of it is done, and how much there is."""


class Stopwatch:
    """Seconds spent in named parts of the work; parts that several threads do at once add up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = defaultdict(float)
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Adds the time that the `with` block takes to `part`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            with self._lock:
                self._seconds[part] += elapsed

    def seconds(self, *parts: str) -> dict[str, float]:
        """Seconds of each part, and `total`: since the stopwatch was made."""
        with self._lock:
            taken = {part: round(self._seconds[part], 3) for part in parts}
        return {**taken, "total": round(time.perf_counter() - self._start, 3)}


def run_stages(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Item, Read, int], Made],
    write: Callable[[Item, Made], None],
    *,
    workers: int,
    stop: threading.Event | None = None,
) -> None:
    """For every item: `write(item, compute(item, read(item), worker))`.

    Reading is ahead of computing by up to two items for each worker, and writing follows in threads
    of its own, so that workers wait for storage only when it is slower than they are. At most four
    items for each worker are in memory.

    Args:
      items: taken one after the other, as room comes free.
      read: runs in reader threads.
      compute: runs in worker threads; its third argument is the worker's number.
      write: runs in writer threads.
      workers: threads that compute.
      stop: set when a stage failed or the program is interrupted, for stages that take long.

    Raises:
      whatever a stage raised first; the items that were not begun are dropped.
    """
    room = threading.Semaphore(4 * workers)
    free = list(range(workers))

    def compute_next(item: Item, ready: Future[Read]) -> Made:
        voxels = ready.result()
        worker = free.pop()
        try:
            return compute(item, voxels, worker)
        finally:
            free.append(worker)

    def write_next(item: Item, ready: Future[Made]) -> None:
        try:
            write(item, ready.result())
        finally:
            room.release()

    done: set[Future[None]] = set()
    with (
        ThreadPoolExecutor(2 * workers, "jaxslice-read") as readers,
        ThreadPoolExecutor(workers, "jaxslice-compute") as computers,
        ThreadPoolExecutor(2, "jaxslice-write") as writers,
    ):
        try:
            for item in items:
                room.acquire()
                for future in [future for future in done if future.done()]:
                    done.remove(future)
                    future.result()
                voxels = readers.submit(read, item)
                made = computers.submit(compute_next, item, voxels)
                done.add(writers.submit(write_next, item, made))
            finished, _ = wait(done, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
        except BaseException:
            if stop is not None:
                stop.set()
            for pool in (readers, computers, writers):
                pool.shutdown(wait=False, cancel_futures=True)
            raise
