"""Compressing one scale of a volume: fit its base network, compile, encode all blocks."""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.archive.create import check_writable_shapes, new_array
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import Archive
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.agreement import network_of_one
from jaxslice.jobs.base_network import BaseNetwork, block_training_config, fit_base_network
from jaxslice.jobs.block_networks import BlockTraining
from jaxslice.jobs.encode_all import Encoding, encode_all, without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.executors.dask_cluster import DaskExecutor
from jaxslice.jobs.executors.threads import TASKS_PER_WORKER
from jaxslice.jobs.job_file import (
    keep_network,
    kept_network,
)
from jaxslice.jobs.plan import Plan
from jaxslice.jobs.provenance import (
    SECOND_ENGINE,
    complete_provenance,
    provenance_of,
    second_engine_of,
)
from jaxslice.jobs.reading_order import ahead_bytes, best_order
from jaxslice.jobs.resources import PROCESS_BYTES, Resources, prepare
from jaxslice.jobs.resume import finished_blocks, missing_blocks
from jaxslice.jobs.task import Executor
from jaxslice.storage.draft import Draft
from jaxslice.volumes.chunk_cache import Chunking
from jaxslice.volumes.source import Source


@dataclasses.dataclass(frozen=True)
class ScalePart:
    """One scale of a volume, to be compressed.

    Attributes:
      draft: to write to.
      scale: its index, the finest being 0.
      source: of its voxels.
      plan: how to compress it.
      made_of: fields of the provenance that say what the scale is made of.
      traces: what says that the source lost something when it was coded.
      resumed: whether blocks may be there already.
      watch: measures the parts of the work.
      progress: called now and then.
      shared: whether other processes compress the scale as well.
      executor: what runs the tasks; threads of this process if None.
    """

    draft: Draft
    scale: int
    source: Source
    plan: Plan
    made_of: dict[str, Any]
    traces: dict[str, Any]
    resumed: bool
    watch: Stopwatch
    progress: Progress
    shared: bool = False
    executor: Executor | None = None

    def begin(self) -> tuple[Archive, Resources]:
        """Fits the base network unless that was done, and makes the array to write blocks to."""
        kept = kept_network(self.draft, self.scale) if self.resumed else None
        # The compiler keeps one core busy; reading and fitting the other.
        with ThreadPoolExecutor(1, "jaxslice-compile") as pool:
            source = None if isinstance(self.executor, DaskExecutor) else self.source
            compiled = pool.submit(compile_programs, self.plan, self.watch, self.progress, source)
            base = kept or (self._agreed() if self.shared else self._fitted())
            resources = compiled.result()
        base = keep_network(self.draft, self.scale, base)
        provenance = self.made_of | provenance_of(self.source, self.plan, base, self.traces)
        configuration = dataclasses.replace(base.configuration, sealed=True)
        check_writable_shapes(self.plan.box.shape, self.plan.block_shape, configuration)
        made = new_array(
            self.draft, self.scale, self.plan.box, self.plan.block_shape, configuration,
            self.plan.placement, provenance, str(self.source.dtype), self.plan.shard_shape,
        )  # fmt: skip
        return made, resources

    def _fitted(self) -> BaseNetwork:
        return fit_base_network(self.source, self.plan, self.watch, self.progress)

    def _agreed(self) -> BaseNetwork:
        return network_of_one(self.draft, self.scale, self._fitted, self.progress)

    def compress(self) -> tuple[Archive, Leaves, EncodeStats]:
        """Fits the base network unless an interrupted run did, and encodes what is missing."""
        made, resources = self.begin()
        provenance = made.provenance
        leaves = Leaves(made.grid_shape)
        found = finished_blocks(made) if self.resumed else {}
        if found:
            place = repr(self.draft.place)
            self.progress(f"resume {place}", len(found), self.plan.num_blocks)
        for stats in found.values():
            leaves.add_all(stats.leaves)
        missing = missing_blocks(made, found)
        encoded = encode_all(
            self.source, made, missing, leaves, encoding_of(self.plan, resources, self.executor),
            self.watch,
            self.progress,
        )  # fmt: skip
        stats = sum((without_leaves(stats) for stats in found.values()), encoded)
        complete_provenance(provenance, stats, self.source.missing.count)
        return made, leaves, stats


def compile_programs(
    planned: Plan,
    watch: Stopwatch,
    progress: Progress = no_progress,
    source: Source | None = None,
) -> Resources:
    """Compiles what the blocks of a plan are coded with, and says what that takes.

    Args:
      planned: the plan.
      watch: measures the parts of the work.
      progress: is told what will be used.
      source: of the blocks, whose chunks this process will keep; None if others read it.
    """
    options = planned.options
    with watch.measure("compile"):
        resources = prepare(
            planned.block_shape, planned.architecture, options.batch_blocks, options.workers,
            engine=options.engine, decoder=options.verify != "none",
            block_networks=planned.block_networks,
        )  # fmt: skip
    if source is not None and source.chunking is not None:
        resources = resources.keeping_chunks(_needed_bytes(planned, resources, source.chunking))
        source.chunking.cache.limit_bytes = resources.chunks_bytes
    progress(f"plan ({resources.in_words()})", 1, 1)
    return resources


def _needed_bytes(planned: Plan, resources: Resources, chunking: Chunking) -> int:
    """Memory that the source's chunks need so that none is fetched twice."""
    stored_shape = planned.shard_shape or planned.block_shape
    ahead = resources.workers * TASKS_PER_WORKER * resources.batch_blocks
    return best_order(planned.box, stored_shape, chunking)[1] + ahead_bytes(
        planned.block_shape, chunking, ahead
    )


def encoding_of(planned: Plan, resources: Resources, executor: Executor | None = None) -> Encoding:
    """How blocks are encoded with a plan."""
    if isinstance(executor, DaskExecutor):
        executor.check_memory(resources.program_bytes + resources.host_bytes, PROCESS_BYTES)
    options, networks, workers = planned.options, None, resources.workers
    if planned.block_networks:
        config = block_training_config(
            planned.network_architecture, planned.effort, math.prod(planned.block_shape),
            planned.num_blocks, options.training_steps,
        )  # fmt: skip
        networks = BlockTraining(config, options.seed)
        # A task keeps all devices busy; more than two would only hold blocks in memory.
        workers = min(workers, 2)
    second = second_engine_of(planned).get(SECOND_ENGINE)
    return Encoding(
        resources.batch_blocks, workers, options.verify, options.engine, networks, executor, second,
        options.log_blocks,
    )  # fmt: skip
