"""Compressing a volume: plan, fit the base network, encode all blocks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from jaxslice.archive.create import check_creatable, publish
from jaxslice.archive.keys import KIND
from jaxslice.archive.report import Report, report_of
from jaxslice.archive.store import open_scales
from jaxslice.codec import probe
from jaxslice.codec.engines.interface import engine_named
from jaxslice.core.errors import SourceDataError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.job_file import begin_or_resume, job_of
from jaxslice.jobs.lossy_source import check_source
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.plan import Plan, plan
from jaxslice.jobs.scale_job import ScaleJob
from jaxslice.jobs.scales import next_source, open_sources
from jaxslice.storage.draft import open_draft
from jaxslice.volumes.interface import AnySource, MissingChunks
from jaxslice.volumes.source import Source

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
) -> Report:
    """Compresses a volume into a new archive.

    Args:
      source: a path or URL of a volume of any format, or an array, see `open_source`; or the
        scales of one that are open, the finest first.
      archive: a folder, or a gs:// or s3:// URL.
      options: how to compress.
      progress: called now and then with (part of the work, done, total), from any thread.

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
    sources = open_sources(source, options)
    check_creatable(archive, options.overwrite)
    planned = plan(sources[0], options)
    traces = check_source(sources[0], planned)
    with watch.measure("compile"):
        probe.check_devices(options.engine)
    with open_draft(archive, KIND, options.overwrite) as draft:
        resumed = begin_or_resume(draft, job_of(sources, planned), options.resume)
        made, layers, total = [], [], EncodeStats()
        while found := next_source(sources, made, options):
            job = ScaleJob(
                draft, len(made), found[0], plan(found[0], options), found[1],
                {} if made else traces, resumed, watch, progress,
            )  # fmt: skip
            scale, leaves, stats = job.compress()
            made.append(scale)
            layers.append(leaves.layers())
            total += stats
        check_found(sources[0].description, sources[0].missing)
        publish(draft, made, layers)
    return _report(archive, planned, total, watch, sources[0])


def check_found(description: str, missing: MissingChunks) -> None:
    """Refuses an archive of nothing but missing chunks.

    Raises:
      SourceDataError: not one chunk was found.
    """
    if missing.all_missing:
        raise SourceDataError(
            f"Got none of {missing.count} chunks of {description!r}, expected at least one: they "
            "lie elsewhere, or have other names."
        )


def _report(
    archive: str, planned: Plan, stats: EncodeStats, watch: Stopwatch, source: Source
) -> Report:
    parts = ["compile", "read", "adapt", "train", "encode", "verify", "write"]
    if planned.block_networks:
        parts.insert(4, "train_blocks")
    scales = open_scales(archive)
    opened = scales[0]
    # What an own network saved is known only where the block was encoded.
    saved = None if stats.found_blocks else stats.block_networks_saved_bytes
    details: dict[str, Any] = {
        "engine": engine_named(planned.options.engine).name,
        "network_bytes": len(opened.configuration.packed_network),
        **{key: opened.provenance[key] for key in REPORTED},
        "own_networks_saved_bytes": saved,
        "resumed_blocks": stats.found_blocks,
    }
    # Only what this run has read: another may have read the rest.
    if source.missing.count:
        details["missing_chunks"] = source.missing.count
    return report_of(scales, watch.seconds(*parts), details)
