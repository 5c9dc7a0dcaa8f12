"""Threads of this process: reading, computing and writing overlap, within bounded memory."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from jaxslice.core.progress import Stopwatch
from jaxslice.jobs.task import Task, Worker

TASKS_PER_WORKER = 4
"""Tasks that each worker may have in memory, one of them at work."""


@dataclasses.dataclass(frozen=True)
class ThreadExecutor:
    """Runs tasks on threads; see `task.Executor`.

    Reading is ahead of computing by up to two tasks for each worker, and writing follows in threads
    of its own, so that workers wait for storage only when it is slower than they are.

    Attributes:
      workers: threads that compute.
    """

    workers: int

    def run(self, tasks: Iterable[Task], watch: Stopwatch, on_stats: Callable[[Any], None]) -> None:
        """Runs all tasks; see `task.Executor.run`."""
        stop = threading.Event()
        free = [Worker(number, watch, stop) for number in range(self.workers)]
        other = Worker(0, watch, stop)
        room = threading.Semaphore(TASKS_PER_WORKER * self.workers)

        def compute(task: Task, data: Future[Any]) -> Any:
            ready = data.result()
            worker = free.pop()
            try:
                return task.compute(ready, worker)
            finally:
                free.append(worker)

        def write(task: Task, results: Future[Any]) -> None:
            try:
                on_stats(task.write(results.result(), other))
            finally:
                room.release()

        pending: set[Future[None]] = set()
        with (
            ThreadPoolExecutor(2 * self.workers, "jaxslice-read") as readers,
            ThreadPoolExecutor(self.workers, "jaxslice-compute") as computers,
            ThreadPoolExecutor(2, "jaxslice-write") as writers,
        ):
            try:
                for task in tasks:
                    room.acquire()
                    for future in [future for future in pending if future.done()]:
                        pending.remove(future)
                        future.result()
                    data = readers.submit(task.read, other)
                    results = computers.submit(compute, task, data)
                    pending.add(writers.submit(write, task, results))
                finished, _ = wait(pending, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
            except BaseException:
                stop.set()
                for pool in (readers, computers, writers):
                    pool.shutdown(wait=False, cancel_futures=True)
                raise
