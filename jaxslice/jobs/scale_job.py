"""One scale of a volume that is compressed: its base network, its array, its blocks."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.archive.create import check_writable_shapes, new_array
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import BLOCKS_BYTES, Archive
from jaxslice.core.box import Triple
from jaxslice.core.progress import Progress, Stopwatch
from jaxslice.jobs.base_network import BaseNetwork, block_training_config, fit_base_network
from jaxslice.jobs.block_networks import BlockTraining
from jaxslice.jobs.encode_all import Encoding, encode_all, without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.job_file import keep_network, kept_network
from jaxslice.jobs.plan import Plan
from jaxslice.jobs.resources import Resources, prepare
from jaxslice.jobs.resume import finished_blocks, missing_blocks
from jaxslice.storage.draft import Draft
from jaxslice.volumes.source import Source

WAIT_SECONDS = 2.0
"""Between two looks whether another process has fitted the network."""


@dataclasses.dataclass(frozen=True)
class ScaleJob:
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

    def prepare(self, shared: bool = False) -> tuple[Archive, Resources]:
        """Fits the base network unless that was done, compiles, and describes the array.

        Args:
          shared: whether other processes do the same; then one fits and the others wait.
        """
        # The compiler keeps one core busy; reading and fitting the other.
        with ThreadPoolExecutor(1, "jaxslice-compile") as pool:
            compiled = pool.submit(_compile, self.plan, self.watch)
            base = self._network_of_one() if shared else self._network()
            resources = compiled.result()
        provenance = self.made_of | _provenance(self.source, self.plan, base, self.traces)
        configuration = dataclasses.replace(base.configuration, sealed=True)
        check_writable_shapes(self.plan.box.shape, self.plan.block_shape, configuration)
        made = new_array(
            self.draft, self.scale, self.plan.box, self.plan.block_shape, configuration,
            self.plan.placement, provenance, str(self.source.dtype), self.plan.shard_shape,
        )  # fmt: skip
        return made, resources

    def compress(self) -> tuple[Archive, Leaves, EncodeStats]:
        """Encodes what is missing of the whole scale, and completes its provenance."""
        made, resources = self.prepare()
        leaves = Leaves(made.grid_shape)
        stats = self.encode(made, resources, leaves)
        complete_provenance(made, stats, self.source.missing.count)
        return made, leaves, stats

    def encode(
        self, made: Archive, resources: Resources, leaves: Leaves, numbers: range | None = None
    ) -> EncodeStats:
        """Encodes the blocks that are missing.

        Args:
          made: the scale's array.
          resources: from `prepare`.
          leaves: takes the leaf of each block, of those that were there as well.
          numbers: of the stored objects to see to, as in `Archive.shards`; all if None.

        Returns:
          The statistics of all those blocks, without the leaves.
        """
        found = finished_blocks(made, numbers) if self.resumed else {}
        if found:
            place = repr(self.draft.place)
            self.progress(f"resume {place}", len(found), self.plan.num_blocks)
        for stats in found.values():
            leaves.add_all(stats.leaves)
        missing: Sequence[Triple] = missing_blocks(made, found, numbers)
        encoded = encode_all(
            self.source, made, missing, leaves, _encoding(self.plan, resources), self.watch,
            self.progress, total=len(missing) + len(found),
        )  # fmt: skip
        return sum((without_leaves(stats) for stats in found.values()), encoded)

    def _network(self) -> BaseNetwork:
        kept = kept_network(self.draft, self.scale) if self.resumed else None
        base = kept or fit_base_network(self.source, self.plan, self.watch, self.progress)
        return keep_network(self.draft, self.scale, base)

    def _network_of_one(self) -> BaseNetwork:
        """The network that one process fits; should it die, another does."""
        lease = self.draft.lease(f"fitting-{self.scale}")
        while (kept := kept_network(self.draft, self.scale)) is None:
            if lease.try_take():
                try:
                    return self._network()
                finally:
                    lease.release()
            self.progress("wait for the network, which another process fits", 0, 1)
            time.sleep(WAIT_SECONDS)
        return kept


def complete_provenance(made: Archive, stats: EncodeStats, missing_chunks: int) -> None:
    """Adds to an array's provenance what is known when all of its blocks are there."""
    made.provenance["missing_chunks"] = missing_chunks
    made.provenance[BLOCKS_BYTES] = stats.payload_bytes
    made.provenance["own_networks"] = stats.block_networks
    made.provenance["own_networks_bytes"] = stats.block_networks_bytes


def _provenance(
    source: Source, planned: Plan, base: BaseNetwork, traces: dict[str, Any]
) -> dict[str, Any]:
    return {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}",
        "source": source.description,
        "source_format": {**_recorded(source), **traces},
        "missing": planned.options.missing,
        "effort": planned.options.effort,
        "context": planned.options.context,
        "seed": planned.options.seed,
        **base.provenance,
        BLOCKS_BYTES: 0,
    }


def _recorded(source: Source) -> dict[str, Any]:
    """What an archive keeps of its source's format."""
    details = source.details.to_json()
    names = ("format", "encoding", "lossy", "scale", "dataset", "selected", "chunk_shape")
    return {name: details[name] for name in names if name in details}


def _compile(planned: Plan, watch: Stopwatch) -> Resources:
    options = planned.options
    with watch.measure("compile"):
        return prepare(
            planned.block_shape, planned.architecture, options.batch_blocks, options.workers,
            engine=options.engine, decoder=options.verify != "none",
            block_networks=planned.block_networks,
        )  # fmt: skip


def _encoding(planned: Plan, resources: Resources) -> Encoding:
    options, networks, workers = planned.options, None, resources.workers
    if planned.block_networks:
        config = block_training_config(
            planned.network_architecture, planned.effort, math.prod(planned.block_shape),
            planned.num_blocks, options.training_steps,
        )  # fmt: skip
        networks = BlockTraining(config, options.seed)
        # A task keeps all devices busy; more than two would only hold blocks in memory.
        workers = min(workers, 2)
    return Encoding(resources.batch_blocks, workers, options.verify, options.engine, networks)
