"""Threads: order does not matter, errors stop everything, memory stays bounded."""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from jaxslice.core.progress import Stopwatch
from jaxslice.jobs.executors.threads import TASKS_PER_WORKER, ThreadExecutor
from jaxslice.jobs.task import run_task


@dataclasses.dataclass(frozen=True)
class Steps:
    """A task whose steps are functions of an item."""

    item: int
    on_read: Callable[..., Any] = lambda item: None
    on_compute: Callable[..., Any] = lambda item, worker: None
    on_write: Callable[..., Any] = lambda item: None

    def read(self, worker):
        return self.item, self.on_read(self.item)

    def compute(self, data, worker):
        return (*data, self.on_compute(self.item, worker))

    def write(self, results, worker):
        self.on_write(self.item)
        return results


def run(count: int, workers: int, **steps: Callable[..., Any]) -> list[Any]:
    """The statistics of tasks with these steps, run on threads."""
    stats: list[Any] = []
    tasks = (Steps(item, **steps) for item in range(count))
    ThreadExecutor(workers).run(tasks, Stopwatch(), stats.append)
    return stats


def test_every_task_goes_through_its_three_steps():
    steps = {"on_read": lambda item: 10 * item, "on_compute": lambda item, worker: worker.number}
    stats = run(40, 3, **steps)
    assert sorted(item for item, _, _ in stats) == list(range(40))
    assert all(data == 10 * item for item, data, _ in stats)
    assert {number for _, _, number in stats} <= {0, 1, 2}
    assert run_task(Steps(7, **steps)) == (7, 70, 0)


def test_two_tasks_never_share_a_worker():
    busy, clashes = set(), []

    def compute(item, worker):
        if worker.number in busy:
            clashes.append(item)
        busy.add(worker.number)
        time.sleep(0.002)
        busy.discard(worker.number)

    run(30, 4, on_compute=compute)
    assert clashes == []


@pytest.mark.parametrize("step", ["on_read", "on_compute", "on_write"])
def test_an_error_of_any_step_ends_the_run(step):
    written = []

    def failing(item, *_):
        if item == 5:
            raise OSError(f"{step} {item}")

    steps = {"on_write": lambda item: written.append(item), step: failing}
    with pytest.raises(OSError, match=f"{step} 5"):
        run(1000, 2, **steps)
    assert len(written) < 100


def test_tasks_in_memory_are_bounded():
    lock, alive, most = threading.Lock(), 0, 0

    def read(item):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)

    def write(item):
        nonlocal alive
        time.sleep(0.001)
        with lock:
            alive -= 1

    run(60, 2, on_read=read, on_write=write)
    assert 1 < most <= 2 * TASKS_PER_WORKER


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_long_computation_is_stopped(error):
    started, stopped = threading.Event(), []

    def compute(item, worker):
        started.set()
        stopped.append(worker.stop.wait(60))

    def tasks():
        yield Steps(1, on_compute=compute)
        assert started.wait(60)
        raise error

    with pytest.raises(error):
        ThreadExecutor(1).run(tasks(), Stopwatch(), lambda stats: None)
    assert stopped == [True]
