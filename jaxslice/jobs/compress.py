"""Compressing a volume: plan, fit the base network, encode all blocks."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.archive.metadata import grid_of
from jaxslice.archive.report import Report, report_of
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import (
    BLOCKS_BYTES,
    Archive,
    check_creatable,
    create_archive,
    open_archive,
)
from jaxslice.codec import probe
from jaxslice.codec.engines.interface import engine_named
from jaxslice.core.errors import SourceDataError
from jaxslice.core.progress import Count, Progress, Stopwatch, no_progress
from jaxslice.jobs.base_network import BaseNetwork, block_training_config, fit_base_network
from jaxslice.jobs.encoding import BlockTraining, EncodeStats, encode_tasks
from jaxslice.jobs.executors.threads import ThreadExecutor
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.plan import Plan, plan
from jaxslice.jobs.resources import Resources, prepare
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.source import Source, open_source

REPORTED = (
    "effort", "model", "adaptation_gain_bits_per_voxel", "tuning_gain_bits_per_voxel",
    "own_networks", "own_networks_bytes", "own_networks_saved_bytes",
)  # fmt: skip
"""Fields of an archive's provenance that the report repeats."""


def compress(
    source: AnySource,
    archive: str | os.PathLike[str],
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> Report:
    """Compresses a volume into a new archive.

    Args:
      source: a path or URL of a volume of any format, or an array; see `open_source`.
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
    opened = open_source(source, bbox=options.bbox, scale=options.scale, missing=options.missing)
    check_creatable(archive, options.overwrite)
    planned = plan(opened, options)
    with watch.measure("compile"):
        probe.check_devices(options.engine)

    # The compiler keeps one core busy; reading and fitting the other.
    with ThreadPoolExecutor(1, "jaxslice-compile") as pool:
        compiled = pool.submit(_compile, planned, watch)
        base = fit_base_network(opened, planned, watch, progress)
        resources = compiled.result()
    provenance = {
        "software": f"jaxslice {importlib.metadata.version('jaxslice')}",
        "source": opened.description,
        "source_format": _recorded(opened),
        "missing": options.missing,
        "effort": options.effort,
        "context": options.context,
        "seed": options.seed,
        **base.provenance,
        BLOCKS_BYTES: 0,
    }
    leaves = Leaves(grid_of(planned.box.shape, planned.block_shape))
    with create_archive(
        archive, planned.box, planned.block_shape, base.configuration, planned.placement,
        provenance, leaves=leaves, data_type=opened.dtype.name, overwrite=options.overwrite,
    ) as made:  # fmt: skip
        stats = _encode_all(opened, planned, made, leaves, resources, watch, progress)
        _check_found(opened)
        provenance["missing_chunks"] = opened.missing.count
        provenance[BLOCKS_BYTES] = stats.payload_bytes
        provenance["own_networks"] = stats.block_networks
        provenance["own_networks_bytes"] = stats.block_networks_bytes
        provenance["own_networks_saved_bytes"] = stats.block_networks_saved_bytes
    return _report(archive, planned, base, watch, opened)


def _recorded(source: Source) -> dict[str, Any]:
    """What an archive keeps of its source's format."""
    details = source.details.to_json()
    names = ("format", "encoding", "lossy", "scale", "dataset", "selected", "chunk_shape")
    return {name: details[name] for name in names if name in details}


def _check_found(source: Source) -> None:
    """Refuses an archive of nothing but missing chunks.

    Raises:
      SourceDataError: not one chunk was found.
    """
    if source.missing.all_missing:
        raise SourceDataError(
            f"Got none of {source.missing.count} chunks of {source.description!r}, expected at "
            "least one: they lie elsewhere, or have other names. Nothing was kept."
        )


def _compile(planned: Plan, watch: Stopwatch) -> Resources:
    options = planned.options
    with watch.measure("compile"):
        return prepare(
            planned.block_shape, planned.architecture, options.batch_blocks, options.workers,
            engine=options.engine, decoder=options.verify != "none",
            block_networks=planned.block_networks,
        )  # fmt: skip


def _encode_all(
    source: Source,
    planned: Plan,
    made: Archive,
    leaves: Leaves,
    resources: Resources,
    watch: Stopwatch,
    progress: Progress,
) -> EncodeStats:
    options, networks, workers = planned.options, None, resources.workers
    if planned.block_networks:
        config = block_training_config(
            planned.architecture, planned.effort, math.prod(planned.block_shape),
            planned.num_blocks, options.training_steps,
        )  # fmt: skip
        networks = BlockTraining(config, options.seed)
        # A task keeps all devices busy; more than two would only hold blocks in memory.
        workers = min(workers, 2)
    total = [EncodeStats()]
    lock, count = threading.Lock(), Count("compress", planned.num_blocks, progress)

    def add(stats: EncodeStats) -> None:
        leaves.add_all(stats.leaves)
        with lock:
            total[0] += dataclasses.replace(stats, leaves=())
        count.add(stats.blocks)

    tasks = encode_tasks(
        source, made, resources.batch_blocks, options.verify, networks, options.engine
    )
    ThreadExecutor(workers).run(tasks, watch, add)
    return total[0]


def _report(
    archive: str, planned: Plan, base: BaseNetwork, watch: Stopwatch, source: Source
) -> Report:
    parts = ["compile", "read", "adapt", "train", "encode", "verify", "write"]
    if planned.block_networks:
        parts.insert(4, "train_blocks")
    opened = open_archive(archive)
    details: dict[str, Any] = {
        "engine": engine_named(planned.options.engine).name,
        "network_bytes": len(base.configuration.packed_network),
    }
    if source.missing.count:
        details["missing_chunks"] = source.missing.count
    details |= {key: opened.provenance[key] for key in REPORTED}
    return report_of(opened, watch.seconds(*parts), details)
