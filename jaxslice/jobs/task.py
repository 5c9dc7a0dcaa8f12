"""A task: some blocks that one worker reads, computes and writes.

Tasks are frozen values that pickle, so that any executor can run them: threads of this process,
processes of a cluster, or the jobs of an array. Their three steps are separate, so that an executor
can read ahead while it computes.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

from jaxslice.core.progress import Stopwatch

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Worker:
    """What a task may use of the process that runs it.

    Attributes:
      number: of the worker, from 0; workers take turns with the devices.
      watch: measures the parts of the work.
      stop: set when the run is over early; long computations look at it.
    """

    number: int = 0
    watch: Stopwatch = dataclasses.field(default_factory=Stopwatch)
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)


@runtime_checkable
class Task(Protocol):
    """Blocks to work on. The result of each step is the input of the next."""

    def read(self, worker: Worker) -> Any:
        """Fetches what is needed from storage."""

    def compute(self, data: Any, worker: Worker) -> Any:
        """Computes the results, on the worker's device."""

    def write(self, results: Any, worker: Worker) -> Any:
        """Stores the results.

        Returns:
          The task's statistics, a frozen value.
        """


@runtime_checkable
class Executor(Protocol):
    """Runs tasks, in any order."""

    def run(self, tasks: Iterable[Task], watch: Stopwatch, on_stats: Callable[[Any], None]) -> None:
        """Runs all tasks.

        Args:
          tasks: taken one after the other, as workers become free.
          watch: measures the parts of the work, summed over workers.
          on_stats: called with the statistics of each task, from any thread.

        Raises:
          Whatever a task raised first. Tasks that were not begun are dropped.
        """


def run_task(task: Task, worker: Worker | None = None) -> Any:
    """Runs one task from its first step to its last, and returns its statistics."""
    worker = worker or Worker()
    return task.write(task.compute(task.read(worker), worker), worker)


def batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Tuples of `size` items; the last one may be shorter."""
    iterator = iter(items)
    while taken := tuple(itertools.islice(iterator, size)):
        yield taken


def filled(items: list[T], size: int) -> list[T]:
    """The items, the first of them repeated up to the batch size that programs are compiled for."""
    return items + items[:1] * (size - len(items))
