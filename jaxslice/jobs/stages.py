"""Runs many blocks through read, compute and write, all three at once and within bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Made = TypeVar("Made")


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
