"""Compressing a volume: plan, fit the base network, encode all blocks."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.archive.create import check_creatable, check_writable_shapes, new_array, publish
from jaxslice.archive.keys import KIND
from jaxslice.archive.report import Report, report_of
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import BLOCKS_BYTES, Archive, open_scales
from jaxslice.codec import probes
from jaxslice.codec.engines.interface import engine_named
from jaxslice.core.errors import SourceDataError, StorageError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.agreement import network_of_one
from jaxslice.jobs.base_network import BaseNetwork, block_training_config, fit_base_network
from jaxslice.jobs.block_networks import BlockTraining
from jaxslice.jobs.encode_all import Encoding, encode_all, without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.executors.dask_cluster import DaskExecutor
from jaxslice.jobs.executors.threads import TASKS_PER_WORKER
from jaxslice.jobs.heartbeat import Heartbeat, command_of
from jaxslice.jobs.job_file import (
    begin_or_resume,
    fingerprint_of,
    job_of,
    keep_network,
    kept_network,
)
from jaxslice.jobs.lossy_source import check_source
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.plan import Plan, plan
from jaxslice.jobs.reading_order import ahead_bytes, best_order
from jaxslice.jobs.resources import PROCESS_BYTES, Resources, prepare
from jaxslice.jobs.resume import finished_blocks, missing_blocks
from jaxslice.jobs.scales import next_source, open_sources
from jaxslice.jobs.second_engine import second_engine
from jaxslice.jobs.task import Executor
from jaxslice.storage.draft import Draft, open_draft
from jaxslice.storage.traffic import Traffic, traffic
from jaxslice.volumes.chunk_cache import Chunking
from jaxslice.volumes.interface import AnySource, MissingChunks
from jaxslice.volumes.source import Source

SECOND_ENGINE = "second_engine"
"""Field of the provenance: what also decoded every block before it was written."""

REPORTED = (
    "effort", "model", "adaptation_gain_bits_per_voxel", "tuning_gain_bits_per_voxel",
    "own_networks", "own_networks_bytes",
)  # fmt: skip
"""Fields of an archive's provenance that the report repeats."""


def compress(
    source: AnySource | Sequence[Source],
    archive: str | os.PathLike[str],
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Report:
    """Compresses a volume into a new archive.

    Args:
      source: a path or URL of a volume of any format, or an array, see `open_source`; or the
        scales of one that are open, the finest first.
      archive: a folder, or a gs:// or s3:// URL.
      options: how to compress.
      progress: called now and then with (part of the work, done, total), from any thread.
      executor: what runs the tasks; threads of this process if None.

    Returns:
      The sizes in bytes, the seconds of each part, and how the network was fitted.

    Raises:
      UsageError: a source, place or option that cannot be used.
      SourceDataError: voxels that cannot be read.
      FormatError: a block did not decode to the voxels that were encoded; nothing is kept.

    >>> import jaxslice
    >>> options = jaxslice.CompressOptions(effort=0)
    >>> report = jaxslice.compress("volume.npy", "copy.zarr", options)
    >>> report.raw_bytes, report.num_blocks
    (6144, 1)
    """
    watch, progress, archive = Stopwatch(), progress or no_progress, os.fspath(archive)
    before = traffic()
    sources = open_sources(source, options)
    check_creatable(archive, options.overwrite)
    planned = plan(sources[0], options)
    traces = check_source(sources[0], planned)
    with watch.measure("compile"):
        probes.check_devices(planned.architecture, options.engine)
    with open_draft(archive, KIND, options.overwrite) as draft:
        job = job_of(sources, planned)
        resumed = begin_or_resume(draft, job, options.resume)
        progress = Heartbeat(draft, command_of(planned.source, archive, options), progress)
        made, layers, total = [], [], EncodeStats()
        while found := next_source(sources, made, options):
            part = ScalePart(
                draft, len(made), found[0], plan(found[0], options), found[1],
                {} if made else traces, resumed, watch, progress, executor=executor,
            )  # fmt: skip
            scale, leaves, stats = part.compress()
            made.append(scale)
            layers.append(leaves.layers())
            total += stats
        try:
            check_found(sources[0].description, sources[0].missing)
        except (SourceDataError, StorageError):
            draft.kept = resumed
            raise
        try:
            check_unchanged(sources, job)
        except SourceChangedError:
            # Blocks before and after the change would not fit each other.
            draft.kept = False
            raise
        publish(draft, made, layers)
    missing_chunks = sources[0].missing.count
    return report_of_run(archive, options.engine, total, watch, missing_chunks, before)


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


def complete_provenance(
    provenance: dict[str, Any], stats: EncodeStats, missing_chunks: int
) -> None:
    """Adds what is known only when all blocks of a scale are there."""
    provenance["missing_chunks"] = missing_chunks
    provenance[BLOCKS_BYTES] = stats.payload_bytes
    provenance["own_networks"] = stats.block_networks
    provenance["own_networks_bytes"] = stats.block_networks_bytes


def provenance_of(
    source: Source, planned: Plan, base: BaseNetwork, traces: dict[str, Any]
) -> dict[str, Any]:
    """What an archive keeps of how it was made."""
    return {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}",
        "source": source.description,
        "source_format": {**_recorded(source), **traces},
        "missing": planned.options.missing,
        "effort": planned.options.effort,
        "context": planned.options.context,
        "seed": planned.options.seed,
        **_second_engine(planned),
        **base.provenance,
        BLOCKS_BYTES: 0,
    }


def _second_engine(planned: Plan) -> dict[str, str]:
    """Which engine decodes every block beside the one that encodes, if that is requested."""
    options = planned.options
    if not options.paranoid:
        return {}
    return {SECOND_ENGINE: second_engine(options.engine, planned.architecture)}


def _recorded(source: Source) -> dict[str, Any]:
    """What an archive keeps of its source's format."""
    details = source.details.to_json()
    names = ("format", "encoding", "lossy", "scale", "dataset", "selected", "chunk_shape")
    return {name: details[name] for name in names if name in details}


class SourceChangedError(SourceDataError):
    """Somebody wrote to the source while it was compressed."""


def check_unchanged(sources: Sequence[Source], job: dict[str, Any]) -> None:
    """Refuses an archive of a source that somebody wrote to meanwhile: parts would not fit.

    Raises:
      SourceChangedError: some voxels or the time of a file are others than at the start.
      SourceDataError: voxels that cannot be read.
    """
    before = [job["source"], *job["coarser_sources"]]
    for source, known in zip(sources, before, strict=True):
        found = json.loads(json.dumps(fingerprint_of(source)))
        if found != known:
            changed = ", ".join(key for key in known if found.get(key) != known[key])
            raise SourceChangedError(
                f"Got {source.description!r}, which was changed while it was compressed "
                f"({changed}), expected the same volume until the end."
            )


def check_found(description: str, missing: MissingChunks) -> None:
    """Refuses an archive of nothing but missing chunks.

    Raises:
      SourceDataError: not one chunk was found.
      StorageError: not one chunk was found, and access to some was refused.
    """
    if missing.all_missing and missing.refused:
        raise StorageError(
            f"Access refused: none of {missing.count} chunks of {description!r} could be read, so"
            f" that they cannot count as missing. {missing.refused}"
        )
    if missing.all_missing:
        raise SourceDataError(
            f"Got none of {missing.count} chunks of {description!r}, expected at "
            "least one: they lie elsewhere, or have other names."
        )


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
    second = _second_engine(planned).get(SECOND_ENGINE)
    return Encoding(
        resources.batch_blocks, workers, options.verify, options.engine, networks, executor, second,
        options.log_blocks,
    )  # fmt: skip


def report_of_run(
    archive: str,
    engine: str,
    stats: EncodeStats,
    watch: Stopwatch,
    missing_chunks: int,
    before: Traffic,
) -> Report:
    """What a run did and made; `before` is what the process had read and written at its start."""
    moved = traffic() - before
    scales = open_scales(archive)
    opened = scales[0]
    parts = ["compile", "read", "adapt", "train", "encode", "verify", "write"]
    if opened.configuration.block_networks:
        parts.insert(4, "train_blocks")
    # What an own network saved is known only where the block was encoded.
    saved = None if stats.found_blocks else stats.block_networks_saved_bytes
    details: dict[str, Any] = {
        "engine": engine_named(engine).name,
        "network_bytes": len(opened.configuration.packed_network),
        **{key: opened.provenance[key] for key in (SECOND_ENGINE,) if key in opened.provenance},
        **{key: opened.provenance[key] for key in REPORTED},
        "own_networks_saved_bytes": saved,
        "resumed_blocks": stats.found_blocks,
        **moved.to_json(),
    }
    # Only what this run has read: another may have read the rest.
    if missing_chunks:
        details["missing_chunks"] = missing_chunks
    return report_of(scales, watch.seconds(*parts), details)
