"""Compressing a volume: plan, fit the base network, encode all blocks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from jaxslice.archive.create import check_creatable, publish
from jaxslice.archive.keys import KIND
from jaxslice.archive.report import Report, report_of
from jaxslice.archive.store import open_scales
from jaxslice.codec import probes
from jaxslice.codec.engines.interface import engine_named
from jaxslice.core.errors import SourceDataError, StorageError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.heartbeat import Heartbeat, command_of
from jaxslice.jobs.job_file import begin_or_resume, job_of
from jaxslice.jobs.lossy_source import check_source
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.plan import plan
from jaxslice.jobs.provenance import REPORTED, SECOND_ENGINE
from jaxslice.jobs.scale_part import ScalePart
from jaxslice.jobs.scales import next_source, open_sources
from jaxslice.jobs.source_checks import SourceChangedError, check_found, check_unchanged
from jaxslice.jobs.task import Executor
from jaxslice.storage.draft import open_draft
from jaxslice.storage.traffic import Traffic, traffic
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.source import Source


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
