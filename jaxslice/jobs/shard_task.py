"""Encoding into shards: a task codes all blocks of a shard and stores it as one object."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from jaxslice.archive.shards import place_in_shard
from jaxslice.archive.store import Archive
from jaxslice.core.box import Triple
from jaxslice.jobs.encoding import Encoded, EncodeStats, EncodeTask, encoded_stats
from jaxslice.jobs.task import Worker


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """A shard to encode. A frozen value that pickles; see `task.Task`.

    Voxels of a few blocks at a time are in memory, and the payloads of the shard.

    Attributes:
      shard: its index.
      tasks: for its blocks, some of them each; they are not written.
      threads: that read and code at the same time.
      adopted: an archive whose payloads are taken for the shard's other blocks; None where there
        are none.
    """

    shard: Triple
    tasks: tuple[EncodeTask, ...]
    threads: int = 1
    adopted: Archive | None = None

    def read(self, worker: Worker) -> None:
        """Reads nothing: a shard may be larger than the memory."""

    def compute(self, data: None, worker: Worker) -> EncodeStats:
        """Reads, codes and stores the blocks, so that a worker holds one shard at a time."""

        def run(task: EncodeTask) -> list[tuple[Triple, Encoded]]:
            results = [] if worker.stop.is_set() else task.compute(task.read(worker), worker)
            return list(zip(task.indices, results, strict=False))

        with ThreadPoolExecutor(self.threads, "jaxslice-shard") as pool:
            coded = dict(itertools.chain.from_iterable(pool.map(run, self.tasks)))
        if worker.stop.is_set():
            return EncodeStats()
        with worker.watch.measure("write"):
            payloads = {index: item.payload for index, item in coded.items()}
            archive = self.tasks[0].archive
            for index in archive.blocks_of(self.shard):
                if self.adopted is not None and index not in payloads:
                    payloads[index] = self.adopted.read_payload(index)
            archive.write_shard(self.shard, payloads)
            if self.tasks[0].verify == "all":
                for index, payload in payloads.items():
                    archive.check_stored(index, payload)
        return encoded_stats(list(coded), list(coded.values()))

    def write(self, results: EncodeStats, worker: Worker) -> EncodeStats:
        """Returns the statistics: the shard is stored."""
        return results


def shard_tasks(
    tasks: Iterable[EncodeTask],
    archive: Archive,
    workers: int,
    num_shards: int,
    adopted: Archive | None = None,
) -> Iterator[ShardTask]:
    """Tasks for whole shards.

    Args:
      tasks: for the blocks of one shard after the other, each within one shard.
      archive: to write to.
      workers: threads that run tasks; a shard takes several of them where there are few shards.
      num_shards: that will be written.
      adopted: as in `ShardTask`.
    """

    def shard_of(task: EncodeTask) -> Triple:
        return place_in_shard(task.indices[0], archive.blocks_per_shard)[0]

    threads = math.ceil(workers / max(num_shards, 1))
    for shard, some in itertools.groupby(tasks, shard_of):
        yield ShardTask(shard, tuple(some), threads, adopted)
