"""What compressing a volume will take: size, time, memory and cost, from a few coded blocks."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.archive.create import as_recorded
from jaxslice.archive.group import group_json
from jaxslice.archive.seal import leaf_of
from jaxslice.archive.store import BLOCKS_BYTES, Archive
from jaxslice.codec import probes
from jaxslice.codec.place import IDENTITY_BYTES
from jaxslice.core.box import Triple
from jaxslice.core.progress import Count, Progress, Stopwatch, no_progress
from jaxslice.jobs.base_network import BaseNetwork, fit_base_network
from jaxslice.jobs.costs import Costs, Foresight
from jaxslice.jobs.encode_all import Encoding
from jaxslice.jobs.executors.threads import ThreadExecutor
from jaxslice.jobs.lossy_source import check_source
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.plan import Plan, plan
from jaxslice.jobs.provenance import provenance_of
from jaxslice.jobs.sample import Coded, Estimate, SampleTask, Stratum, draw, estimated_bytes
from jaxslice.jobs.scale_part import compile_programs, encoding_of
from jaxslice.jobs.scales import open_sources
from jaxslice.jobs.task import batches
from jaxslice.storage.folder import open_folder
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.pooled import pooled
from jaxslice.volumes.source import Source

SHORTENED = 8
"""Tuning takes so many times fewer steps in a forecast: most of its gain comes early."""

_COUNTED = ("missing_chunks", "own_networks", "own_networks_bytes", BLOCKS_BYTES)
"""Fields of the provenance that are known at the end."""

_INDEX_BYTES = 16, 4
"""Of a shard's index: for each block, and for its checksum."""


def forecast(
    source: AnySource | Sequence[Source],
    archive: str | os.PathLike[str],
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    foresight: Foresight = Foresight(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Says what `compress` with the same arguments would take. Writes nothing.

    The base network is fitted as `compress` fits it, but tuned for fewer steps, so that the size is
    a little too large. Some blocks are then coded and checked as `compress` does it.

    Args:
      source: as in `compress`.
      archive: where the archive would be.
      options: as in `compress`.
      foresight: how many blocks to code, for which numbers of workers, and prices.
      progress: as in `compress`.

    Returns:
      A JSON object: the size with its range, and for each number of workers the time, memory and
      cost. Coarser scales are taken to need as many bits for each voxel as the finest.

    Raises:
      UsageError: a source, place or option that cannot be used.
      SourceDataError: voxels that cannot be read.

    >>> import jaxslice
    >>> options = jaxslice.CompressOptions(effort="fast")
    >>> foresight = jaxslice.Foresight(worker_counts=(1, 8))
    >>> told = jaxslice.forecast("volume.npy", "other.zarr", options, foresight)
    >>> told["num_blocks"], [one["workers"] for one in told["for_workers"]]
    (1, [1, 8])
    """
    watch, progress = Stopwatch(), progress or no_progress
    sources = open_sources(source, options)
    planned = plan(sources[0], options)
    traces = check_source(sources[0], planned)
    with ThreadPoolExecutor(1, "jaxslice-compile") as pool:
        probes.check_devices(planned.architecture, options.engine)
        compiled = pool.submit(compile_programs, planned, watch, source=sources[0])
        # From scratch, the first steps say little of the last.
        shortened = SHORTENED if planned.model else 1
        base = fit_base_network(sources[0], planned, watch, progress, shortened)
        resources = compiled.result()
    taken = watch.seconds("train")
    fit_seconds = taken["total"] + (shortened - 1) * taken["train"]
    made = _unwritten(sources[0], planned, base, traces, os.fspath(archive))
    encoding, coding = encoding_of(planned, resources), Stopwatch()
    strata = draw(sources[0], made, foresight.sample_blocks)
    coded = _code(sources[0], made, strata, encoding, coding, progress)
    costs = Costs(resources, encoding, len(coded), fit_seconds, coding)
    scales = [made, *_coarser(made, sources, options)]
    return _report(scales, _size(scales, strata, coded), coded, costs, foresight)


def _unwritten(
    source: Source, planned: Plan, base: BaseNetwork, traces: dict[str, Any], place: str
) -> Archive:
    """The array of a plan, of which nothing is stored."""
    provenance = provenance_of(source, planned, base, traces) | dict.fromkeys(_COUNTED, 0)
    configuration = dataclasses.replace(
        base.configuration, sealed=True, identity=bytes(IDENTITY_BYTES)
    )
    return Archive(
        planned.box.shape, planned.block_shape, configuration, planned.placement, provenance,
        str(source.dtype), None, place, open_folder(place), shard_shape=planned.shard_shape,
    )  # fmt: skip


def _code(
    source: Source, made: Archive, strata: Sequence[Stratum], encoding: Encoding, watch: Stopwatch,
    progress: Progress,
) -> dict[Triple, Coded]:  # fmt: skip
    """Codes and checks the blocks of a sample, by as many workers as `compress` would take."""
    indices = sorted(index for stratum in strata for index in stratum.indices)
    coded: dict[Triple, Coded] = {}
    count = Count("sample", len(indices), progress)

    def add(blocks: list[Coded]) -> None:
        coded.update({block.index: block for block in blocks})
        count.add(len(blocks))

    at_once = encoding.networks.batches_at_once() if encoding.networks else 1
    tasks = (
        SampleTask(
            source, made, some, encoding.batch_blocks, encoding.verify, encoding.networks,
            encoding.engine,
        )
        for some in batches(indices, encoding.batch_blocks * at_once)
    )  # fmt: skip
    ThreadExecutor(encoding.workers).run(tasks, watch, add)
    return coded


def _coarser(
    made: Archive, sources: Sequence[Source], options: CompressOptions
) -> Iterator[Archive]:
    """The arrays of the coarser scales, as far as the finest one says what they are like."""
    coarser, last = list(sources[1:]), sources[-1]
    for _ in range(options.downsample):
        if (following := pooled(last)) is None:
            break
        coarser.append(last := following)
    for number, source in enumerate(coarser, 1):
        planned = plan(source, options)
        yield dataclasses.replace(
            made, shape=source.shape, block_shape=planned.block_shape, path=str(number),
            shard_shape=planned.shard_shape, placement=source.placement,
        )  # fmt: skip


def _size(
    scales: Sequence[Archive], strata: Sequence[Stratum], coded: dict[Triple, Coded]
) -> Estimate:
    """The bytes of the whole archive: blocks, indices of shards, networks and metadata."""
    finest = math.prod(scales[0].shape)
    blocks = estimated_bytes(strata, coded, scales[0].num_blocks, finest)
    layer = leaf_of(b"")
    layers = [[layer] * scale.grid_shape[0] for scale in scales]
    counted = dict.fromkeys(_COUNTED, round(blocks.value))
    scales = [
        as_recorded(dataclasses.replace(scale, provenance=scale.provenance | counted))
        for scale in scales
    ]
    fixed = len(group_json("volume", scales, layers))
    fixed += sum(len(scale.array_json()) + _index_bytes(scale) for scale in scales)
    all_voxels = sum(math.prod(scale.shape) for scale in scales)
    value, low, high = (
        n * all_voxels / finest + fixed for n in (blocks.value, blocks.low, blocks.high)
    )
    return Estimate(value, low, high)


def _index_bytes(scale: Archive) -> int:
    if scale.shard_shape is None:
        return 0
    per_block, checksum = _INDEX_BYTES
    return scale.num_objects * (math.prod(scale.blocks_per_shard) * per_block + checksum)


def _report(
    scales: Sequence[Archive],
    size: Estimate,
    coded: dict[Triple, Coded],
    costs: Costs,
    foresight: Foresight,
) -> dict[str, Any]:
    voxels = sum(math.prod(scale.shape) for scale in scales)
    num_blocks = sum(scale.num_blocks for scale in scales)
    raw_bytes = voxels * scales[0].dtype.itemsize
    report: dict[str, Any] = {
        "dry_run": True,
        "archive": scales[0].location,
        "voxels": voxels,
        "raw_bytes": raw_bytes,
        "compressed_bytes": round(size.value),
        "compressed_bytes_low": round(size.low),
        "compressed_bytes_high": round(size.high),
        "bits_per_voxel": round(8 * size.value / voxels, 5),
        "bits_per_voxel_low": round(8 * size.low / voxels, 5),
        "bits_per_voxel_high": round(8 * size.high / voxels, 5),
        "compression_ratio": round(raw_bytes / size.value, 5),
        "num_blocks": num_blocks,
        "block_shape": list(scales[0].block_shape),
        "objects": sum(scale.num_objects for scale in scales) + len(scales) + 1,
        "sampled_blocks": len(coded),
        "sampled_part": round(sum(block.voxels for block in coded.values()) / voxels, 6),
        **costs.to_json(),
        "for_workers": [
            costs.of_workers(number, num_blocks, raw_bytes, foresight.price_per_core_hour)
            for number in foresight.worker_counts
        ],
        "price_per_core_hour": foresight.price_per_core_hour,
    }
    if foresight.price_per_gb_month is not None:
        report["price_per_gb_month"] = foresight.price_per_gb_month
        report["storage_cost_per_month"] = round(size.value / 1e9 * foresight.price_per_gb_month, 4)
    return report
