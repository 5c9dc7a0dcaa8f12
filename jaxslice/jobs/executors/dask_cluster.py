"""Workers of a Dask cluster, on this machine or on many."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jaxslice.codec import probe
from jaxslice.codec.block import compile_for
from jaxslice.core.errors import FormatError, MissingExtraError, UsageError
from jaxslice.core.machine import available_host_bytes, num_cores
from jaxslice.core.progress import Stopwatch
from jaxslice.jobs.block_log import append_lines, keep_lines, take_lines
from jaxslice.jobs.task import Task, Worker
from jaxslice.storage import traffic
from jaxslice.storage.store_options import StoreOptions, set_store_options, store_options
from jaxslice.storage.traffic import Traffic
from jaxslice.volumes.interface import Source

TASKS_PER_THREAD = 2
"""Tasks that wait or run for each thread of the cluster, so that none waits for the client."""

RETRIES = 3
"""Times that a task is run again after its storage failed."""

_LOCK = threading.Lock()
_last_task: Task | None = None


@dataclasses.dataclass(frozen=True)
class DaskExecutor:
    """Runs tasks on a Dask cluster; see `task.Executor`.

    A task runs from its first step to its last in one thread of a worker, and again elsewhere if
    that dies. Tasks that write to something that only this process has come back to be written.

    Attributes:
      client: a `distributed.Client`.
      wait_seconds: for a first worker, also where all are being started again.
    """

    client: Any
    wait_seconds: float = 60.0

    @property
    def dashboard(self) -> str:
        """Address of the cluster's dashboard."""
        return str(self.client.dashboard_link)

    def check_memory(self, task_bytes: int, process_bytes: int) -> None:
        """Refuses workers with too little memory for the tasks that they would run at once.

        Args:
          task_bytes: that a task takes.
          process_bytes: that a process takes without any.

        Raises:
          UsageError: a worker has less, or there is none.
        """
        workers = self._workers()
        for address, worker in workers.items():
            limit, threads = worker["memory_limit"], worker["nthreads"]
            needed = process_bytes + threads * task_bytes
            if limit and limit < needed:
                raise UsageError(
                    f"Got the Dask worker {address} with {limit >> 20} MiB for {threads} threads, "
                    f"expected {-(-needed >> 20)} MiB: give it more or fewer threads, or take "
                    "smaller blocks or batches."
                )

    def run(self, tasks: Iterable[Task], watch: Stopwatch, on_stats: Callable[[Any], None]) -> None:
        """Runs all tasks; see `task.Executor.run`."""
        import distributed

        threads = sum(worker["nthreads"] for worker in self._workers().values())
        waiting, running = iter(tasks), {}
        finished = distributed.as_completed()

        def submit(some: Iterable[Task]) -> None:
            for task in some:
                here = getattr(task, "writes_here", False)
                future = self.client.submit(
                    _run_remotely, task.without_sink() if here else task, here,  # type: ignore
                    store_options(), os.getpid(), retries=RETRIES, pure=False,
                )  # fmt: skip
                running[future] = task
                finished.add(future)

        try:
            submit(itertools.islice(waiting, TASKS_PER_THREAD * threads))
            for future in finished:
                task = running.pop(future)
                results, seconds, moved, lines, absent = _result_of(future)
                traffic.add(moved)
                if (source := _source_of(task)) is not None:
                    source.missing.take(absent)
                for log, some in lines.items():
                    append_lines(log, some)
                for part, taken in seconds.items():
                    watch.add(part, taken)
                if getattr(task, "writes_here", False):
                    results = task.write(results, Worker(watch=watch))
                future.release()
                on_stats(results)
                submit(itertools.islice(waiting, 1))
        except BaseException:
            self.client.cancel(list(running), force=True)
            raise

    def _workers(self) -> dict[str, Any]:
        while not (workers := self.client.scheduler_info(n_workers=-1)["workers"]):
            try:
                self.client.wait_for_workers(1, timeout=self.wait_seconds)
            except TimeoutError:
                raise UsageError(
                    "Got a Dask cluster without workers, expected at least one."
                ) from None
        return workers


@contextlib.contextmanager
def dask_executor(
    address: str | None = None, workers: int | None = None, wait_seconds: float = 60.0
) -> Iterator[DaskExecutor]:
    """Connects to a Dask cluster, or starts one on this machine for as long as the block lasts.

    Args:
      address: of the scheduler; None for a cluster of processes on this machine.
      workers: processes of the latter; one for each core if None.
      wait_seconds: for the scheduler, and for its first worker.

    Raises:
      UsageError: no scheduler answers there, or it has no worker.
      MissingExtraError: Dask is not installed.
    """
    try:
        import distributed
    except ImportError:
        raise MissingExtraError(
            "Dask's workers need the extra `cluster`: pip install 'jaxslice[cluster]'."
        ) from None
    with contextlib.ExitStack() as stack:
        if address is None:
            count = workers or num_cores()
            cluster: Any = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, dashboard_address="127.0.0.1:0",
                memory_limit=available_host_bytes() // count, host="127.0.0.1",
            )  # fmt: skip
            address = stack.enter_context(cluster).scheduler_address
        try:
            client = stack.enter_context(distributed.Client(address, timeout=wait_seconds))
            client.wait_for_workers(1, timeout=wait_seconds)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"Cannot reach the Dask scheduler at {address!r} with a worker: {error}."
            ) from None
        yield DaskExecutor(client, wait_seconds)


@dataclasses.dataclass(frozen=True)
class _Refused:
    """An error that another try would not mend, or would hide."""

    error: FormatError | UsageError


def _run_remotely(task: Task, here: bool, stores: StoreOptions, client_pid: int) -> Any:
    """Runs a task in a worker's thread.

    Returns its results, the seconds of each part, the traffic, lines of logs, and missing chunks.
    The task stays until the worker has the next one, so that tasks share chunks of their source.
    """
    global _last_task
    _last_task = task
    worker, apart = Worker(), os.getpid() != client_pid
    if apart:
        keep_lines()
    set_store_options(stores)
    try:
        with _LOCK, worker.watch.measure("compile"):
            _prepare_for(task)
        results = task.compute(task.read(worker), worker)
        if not here:
            results = task.write(results, worker)
    except (FormatError, UsageError) as error:
        return _Refused(error)
    # Workers in threads of the client's process count and write there.
    moved = traffic.take_traffic() if apart else Traffic()
    source = _source_of(task)
    absent = None if source is None or not apart else source.missing
    return results, worker.watch.parts(), moved, take_lines(), absent


def _source_of(task: Any) -> Source | None:
    """What a task reads voxels from; None for one that decodes."""
    return getattr(task.tasks[0] if hasattr(task, "tasks") else task, "source", None)


def _prepare_for(task: Any) -> None:
    """Probes the devices and compiles, once in each process."""
    first = task.tasks[0] if hasattr(task, "tasks") else task
    configuration = first.archive.configuration
    _prepare(
        first.engine, first.archive.block_shape, configuration.architecture, first.batch_blocks,
        configuration.block_networks, hasattr(first, "source"),
    )  # fmt: skip


@functools.cache
def _prepare(
    engine: str, block_shape: Any, architecture: Any, batch: int, block_networks: bool,
    encoder: bool,
) -> None:  # fmt: skip
    probe.check_devices(engine)
    compile_for(
        block_shape, architecture, batch, encoder=encoder, block_networks=block_networks,
        engine=engine,
    )  # fmt: skip


def _result_of(future: Any) -> Any:
    import distributed

    try:
        result = future.result()
    except distributed.KilledWorker as error:
        raise OSError(f"Workers of the Dask cluster died again and again: {error}") from None
    if isinstance(result, _Refused):
        raise result.error
    return result
