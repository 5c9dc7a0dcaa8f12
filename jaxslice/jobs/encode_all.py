"""Encoding many blocks of an archive by an executor, with progress and the leaves of the seal."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence

from jaxslice.archive.model import model_of
from jaxslice.archive.seal import Leaves
from jaxslice.archive.shards import place_in_shard
from jaxslice.archive.store import Archive
from jaxslice.codec.block import compile_for
from jaxslice.codec.program_check import check_programs
from jaxslice.core.box import Triple
from jaxslice.core.progress import Count, Progress, Stopwatch
from jaxslice.jobs.block_log import begin_log, logged
from jaxslice.jobs.block_networks import BlockNetworks
from jaxslice.jobs.encoding import EncodeStats, encode_tasks
from jaxslice.jobs.executors.threads import ThreadExecutor
from jaxslice.jobs.reading_order import best_order, in_order
from jaxslice.jobs.shard_task import shard_tasks
from jaxslice.jobs.task import Executor
from jaxslice.volumes.source import Source


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How blocks are encoded; the bytes do not depend on it.

    Attributes:
      batch_blocks: blocks that run together on a device.
      workers: threads that compute.
      verify: as in `EncodeTask`.
      engine: as in `EncodeTask`.
      networks: where networks of single blocks come from, if any.
      executor: what runs the tasks; threads of this process if None.
      second_engine: as in `EncodeTask`.
      log_blocks: path of a file that gets a line for each block; see `block_log`.
    """

    batch_blocks: int
    workers: int
    verify: str
    engine: str
    networks: BlockNetworks | None = None
    executor: Executor | None = None
    second_engine: str | None = None
    log_blocks: str | None = None


def encode_all(
    source: Source,
    made: Archive,
    indices: Sequence[Triple],
    leaves: Leaves,
    encoding: Encoding,
    watch: Stopwatch,
    progress: Progress,
    adopted: Archive | None = None,
) -> EncodeStats:
    """Encodes and stores blocks.

    Args:
      source: of the voxels.
      made: to write to.
      indices: of the blocks; of an array with shards, whole shards but for adopted blocks.
      leaves: takes the leaf of each block.
      encoding: how.
      watch: measures the parts of the work.
      progress: called now and then.
      adopted: an archive whose payloads complete the shards.

    Returns:
      The statistics, without the leaves.

    Raises:
      DeviceError: a device does not code the archive's network as it must; nothing is written.
    """
    if indices:
        with watch.measure("compile"):
            _try_programs(made, encoding)
    if source.chunking is not None and made.shard_shape is None:
        order, _ = best_order(source.box, made.block_shape, source.chunking)
        indices = in_order(indices, order)
    total, lock = [EncodeStats()], threading.Lock()
    count = Count("compress", made.num_blocks, progress, made.num_blocks - len(indices))

    def add(stats: EncodeStats) -> None:
        leaves.add_all(stats.leaves)
        with lock:
            total[0] += without_leaves(stats)
        count.add(stats.blocks)

    tasks = encode_tasks(
        source, made, encoding.batch_blocks, encoding.verify, encoding.networks, encoding.engine,
        indices, encoding.second_engine,
    )  # fmt: skip
    if encoding.log_blocks:
        tasks = logged(tasks, begin_log(encoding.log_blocks), made.shard_shape is not None)
    if made.shard_shape is not None:
        shards = len({place_in_shard(index, made.blocks_per_shard)[0] for index in indices})
        tasks = shard_tasks(tasks, made, encoding.workers, shards, adopted)
    executor = encoding.executor or ThreadExecutor(encoding.workers)
    executor.run(tasks, watch, add)
    return total[0]


def _try_programs(made: Archive, encoding: Encoding) -> None:
    model = model_of(made.configuration, encoding.engine)
    check_programs(
        model, made.block_shape, encoding.batch_blocks, encoding.engine,
        block_networks=encoding.networks is not None, decoder=encoding.verify != "none",
    )  # fmt: skip
    if encoding.second_engine is not None:
        model_of(made.configuration, encoding.second_engine)
        compile_for(
            made.block_shape, model.architecture, encoding.batch_blocks, encoder=False,
            block_networks=encoding.networks is not None, engine=encoding.second_engine,
        )  # fmt: skip


def without_leaves(stats: EncodeStats) -> EncodeStats:
    """Statistics to add up: there may be too many leaves to copy them each time."""
    return dataclasses.replace(stats, leaves=())
