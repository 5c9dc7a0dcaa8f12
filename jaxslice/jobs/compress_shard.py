"""Compressing by an array of jobs: each runs a part, and the last one completes the archive."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxslice.archive.create import check_creatable
from jaxslice.archive.keys import KIND
from jaxslice.archive.lazy_volume import open_volume
from jaxslice.archive.report import Report
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import open_scales
from jaxslice.codec import probes
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.agreement import (
    Agreed,
    agreed_array,
    begin,
    tries,
)
from jaxslice.jobs.complete import complete
from jaxslice.jobs.encode_all import encode_all, without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.heartbeat import Heartbeat, command_of
from jaxslice.jobs.job_file import begin_or_resume, job_of, sampled_boxes
from jaxslice.jobs.job_shard import JobShard
from jaxslice.jobs.lossy_source import check_source
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.plan import Plan, plan
from jaxslice.jobs.resume import finished_blocks
from jaxslice.jobs.scale_part import ScalePart, encoding_of
from jaxslice.jobs.scales import SOURCE_SCALE, open_sources
from jaxslice.jobs.shard_notes import write_part
from jaxslice.jobs.source_checks import check_unchanged
from jaxslice.storage.draft import JOB, Draft, open_draft, unfinished_draft
from jaxslice.storage.workspace import BusyError
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.source import Source


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What a job shard did that did not complete the archive.

    Attributes:
      archive: its location.
      shard_index: of the job shard.
      num_shards: job shards that there are.
      blocks: of this one.
      resumed_blocks: of them that were there already.
      payload_bytes: of this one's blocks.
      seconds: of each part of the work.
      complete: whether the archive stands at its place.
    """

    archive: str
    shard_index: int
    num_shards: int
    blocks: int
    resumed_blocks: int
    payload_bytes: int
    seconds: dict[str, float]
    complete: bool

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Job:
    """A compression that several processes share."""

    sources: list[Source]
    planned: Plan
    archive: str
    watch: Stopwatch
    progress: Progress

    @property
    def options(self) -> CompressOptions:
        return self.planned.options

    def begin(self) -> None:
        """Begins the job, or finds that another process has."""
        agreed = Agreed(self.options, len(self.sources), self.sources[0].description)
        begin(self.archive, job_of(self.sources, self.planned), agreed, self.progress)

    def scale(self, draft: Draft, number: int) -> ScalePart:
        """A scale of the source, to be compressed together."""
        source = self.sources[number]
        made_of = {}
        if len(self.sources) > 1 and source.details.scale:
            made_of = {SOURCE_SCALE: source.details.scale}
        traces = {} if number else check_source(source, self.planned)
        return ScalePart(
            draft, number, source, plan(source, self.options), made_of, traces, True, self.watch,
            self.progress, shared=True,
        )  # fmt: skip


def _job(
    source: AnySource | Sequence[Source], archive: str | os.PathLike[str],
    options: CompressOptions, progress: Progress | None,
) -> _Job:  # fmt: skip
    sources = open_sources(source, options)
    return _Job(
        sources, plan(sources[0], options), os.fspath(archive), Stopwatch(),
        progress or no_progress,
    )  # fmt: skip


def plan_archive(
    source: AnySource | Sequence[Source],
    archive: str | os.PathLike[str],
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Begins an archive and fits its base networks, so that job shards only have to encode.

    Args:
      source: as for `compress`.
      archive: as for `compress`.
      options: as for `compress`; each job shard needs the same.
      progress: called now and then.

    Returns:
      The plan, and the number of objects that job shards share.

    Raises:
      UsageError: as for `compress`.
      SourceDataError: voxels that cannot be read.

    >>> import jaxslice
    >>> options = jaxslice.CompressOptions(effort="fast")
    >>> planned = jaxslice.plan_archive("volume.npy", "planned.zarr", options)
    >>> planned["stored_objects"]
    1
    """
    job = _job(source, archive, options, progress)
    check_creatable(job.archive, options.overwrite)
    job.begin()
    objects, networks = 0, []
    with open_draft(job.archive, KIND, options.overwrite, shared=True) as draft:
        for number in range(len(job.sources)):
            made, _ = job.scale(draft, number).begin()
            made = agreed_array(draft, number, made) or made
            objects += made.num_objects
            networks.append(len(made.configuration.packed_network))
    return {
        "archive": job.archive,
        **job.planned.to_json(),
        "network_bytes": networks,
        "stored_objects": objects,
        "unfinished": unfinished_draft(job.archive),
        "seconds": job.watch.seconds("compile", "read", "adapt", "train"),
    }


def compress_shard(
    source: AnySource | Sequence[Source],
    archive: str | os.PathLike[str],
    shard: JobShard,
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> Report | ShardReport:
    """Encodes one part of an archive, and completes it if all others are done.

    Parts run in any order, at the same time or not, and may be repeated. Scales that are made by
    pooling are made by the process that completes the archive.

    Args:
      source: as for `compress`.
      archive: as for `compress`; all processes see it.
      shard: the part.
      options: as for `compress`.
      progress: called now and then.

    Returns:
      The report of the whole archive if this process completed it.

    Raises:
      UsageError: as for `compress`.
      SourceDataError: voxels that cannot be read.
      TimeoutError: another process took too long to fit the base network.

    >>> import jaxslice
    >>> options, shard = jaxslice.CompressOptions(effort="fast"), jaxslice.JobShard(0, count=1)
    >>> report = jaxslice.compress_shard("volume.npy", "shared.zarr", shard, options)
    >>> report.details["complete"]
    True
    """
    job = _job(source, archive, options, progress)
    if not options.resume:
        raise UsageError(
            "Got resume=False for a job shard, expected it of `jaxslice plan`, which begins anew."
        )
    if _is_done(job):
        return _report(job, shard, EncodeStats(), complete=True)
    with job.watch.measure("compile"):
        probes.check_devices(job.planned.architecture, options.engine)
    report, total = None, EncodeStats()
    try:
        job.begin()
        total = _encode_parts(job, shard)
        report = complete(job.archive, job.watch, job.progress)
    except UsageError:
        # Another process may have completed the archive meanwhile.
        if not _is_done(job):
            raise
    if isinstance(report, Report):
        details = {"shard_index": shard.index, "num_shards": shard.count, "complete": True}
        return dataclasses.replace(report, details=report.details | details)
    return _report(job, shard, total, _is_done(job))


def _encode_parts(job: _Job, shard: JobShard) -> EncodeStats:
    """Encodes a part of each scale of the source."""
    total = EncodeStats()
    for _ in tries(job.archive, job.progress):
        if _is_done(job):
            break
        try:
            with open_draft(job.archive, KIND, job.options.overwrite, shared=True) as draft:
                if draft.job is not None:
                    begun = job_of(job.sources, job.planned)
                    begin_or_resume(draft, begun, resume=True)
                    for number in range(len(job.sources)):
                        total += _encode_part(job, draft, number, shard)
                    check_unchanged(job.sources, begun)
            break
        except BusyError:
            # Another process completes the archive just now.
            continue
    return total


def _encode_part(job: _Job, draft: Draft, number: int, shard: JobShard) -> EncodeStats:
    """Encodes what is missing of a part of one scale, and notes that it is complete."""
    part = job.scale(draft, number)
    made, resources = part.begin()
    made = agreed_array(draft, number, made) or made
    chosen = shard.range_of(made.num_objects)
    # A large archive has too many objects to list them all in each process.
    objects = [made.object_at(position) for position in chosen]
    blocks = [block for index in objects for block in made.blocks_of(index)]
    found = finished_blocks(made, objects)
    missing = [block for block in blocks if block not in found]
    others = made.num_blocks - len(blocks)
    leaves = _Kept()

    def own_progress(name: str, done: int, total: int) -> None:
        if name == "compress":
            done, total = done - others, len(blocks)
        job.progress(name, done, total)

    command = command_of(job.planned.source, job.archive, job.options)
    command += f" --num_shards={shard.count} --shard_index={shard.index}"
    encoded = encode_all(
        part.source, made, missing, leaves, encoding_of(part.plan, resources), job.watch,
        Heartbeat(draft, command, own_progress),
    )  # fmt: skip
    stats = sum(found.values(), encoded)
    stats = dataclasses.replace(stats, leaves=(*stats.leaves, *leaves.kept))
    if draft.is_current():
        write_part(draft, number, chosen, stats, part.source.missing)
        # Somebody may have published meanwhile, and left no notes.
        if draft.read_note(JOB) is None:
            draft.remove()
    return without_leaves(stats)


class _Kept(Leaves):
    """The leaves of a part: only all parts together have whole layers."""

    def __init__(self) -> None:
        self.kept: list[tuple[Triple, bytes]] = []

    def add_all(self, leaves: Any) -> None:
        self.kept.extend(leaves)


def _is_done(job: _Job) -> bool:
    """Whether an archive of this volume by these options stands at the place."""
    if job.options.overwrite:
        return False
    try:
        opened = open_scales(job.archive)[0]
    except UsageError:
        return False
    options, provenance, source = job.options, opened.provenance, job.sources[0]
    same = {name: getattr(options, name) for name in ("effort", "seed", "context", "missing")}
    return (
        opened.box == job.planned.box
        and opened.block_shape == job.planned.block_shape
        and opened.shard_shape == job.planned.shard_shape
        and opened.dtype == source.dtype
        and all(provenance.get(name) == value for name, value in same.items())
        and all(map(_holds(job), sampled_boxes(source.box)))
    )


def _holds(job: _Job) -> Callable[[Box], bool]:
    """Whether the archive at the place holds the voxels that the source has in a box."""
    source, stored = job.sources[0], open_volume(job.archive)

    def holds(box: Box) -> bool:
        local = box.relative_to(source.box.start)
        return np.array_equal(source.read(box), stored[local.slices])

    return holds


def _report(job: _Job, shard: JobShard, stats: EncodeStats, complete: bool) -> ShardReport:
    return ShardReport(
        job.archive, shard.index, shard.count, stats.blocks, stats.found_blocks,
        stats.payload_bytes,
        job.watch.seconds("compile", "read", "adapt", "train", "encode", "verify", "write"),
        complete,
    )  # fmt: skip
