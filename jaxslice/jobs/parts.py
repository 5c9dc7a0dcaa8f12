"""One archive made by several processes, each of which compresses a part of the volume.

All parts share the draft of the archive and the base network in it. They may run in any order, at
the same time or one after the other, and again; whichever finds everything done completes the
archive. Its bytes are those of a single run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxslice.archive.create import check_creatable, publish
from jaxslice.archive.keys import KIND
from jaxslice.archive.lazy_volume import open_volume
from jaxslice.archive.report import Report, report_of
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import Archive, open_scales
from jaxslice.codec import probe
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.compress import check_found
from jaxslice.jobs.encode_all import without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.job_file import begin_or_resume, job_of, sampled_boxes
from jaxslice.jobs.lossy_source import check_source
from jaxslice.jobs.options import CompressOptions
from jaxslice.jobs.part_notes import (
    ScaleDone,
    expected_scales,
    has_part,
    keep_array,
    keep_part,
    kept_array,
    objects_done,
    scale_done,
)
from jaxslice.jobs.plan import Plan, plan
from jaxslice.jobs.scale_job import ScaleJob, complete_provenance
from jaxslice.jobs.scales import next_source, open_sources, said_of
from jaxslice.storage.draft import Draft, open_draft, unfinished_draft
from jaxslice.storage.workspace import PlaceTakenError
from jaxslice.volumes.interface import AnySource
from jaxslice.volumes.source import Source


@dataclasses.dataclass(frozen=True)
class Part:
    """One of several equal parts of a job.

    Attributes:
      index: of the part, from 0.
      count: of the parts.
    """

    index: int
    count: int

    def __post_init__(self):
        """Refuses a part that does not exist (UsageError)."""
        if not 0 <= self.index < self.count:
            raise UsageError(
                f"Got part {self.index} of {self.count}, expected 0 to {self.count - 1}."
            )

    def numbers(self, made: Archive) -> range:
        """The part's stored objects: neighbours, so that source chunks are read by one part."""
        total = math.prod(made.shard_grid)
        return range(total * self.index // self.count, total * (self.index + 1) // self.count)


@dataclasses.dataclass(frozen=True)
class PartReport:
    """What a process did, and how far the archive is.

    Attributes:
      place: of the archive.
      part: that was compressed; None where only the rest was looked at.
      stats: of the part's blocks.
      done: stored objects of all parts that are done.
      expected: stored objects in all, at the scales that the source has.
      complete: whether the archive stands at its place.
      seconds: of each part of the work.
    """

    place: str
    part: Part | None
    stats: EncodeStats
    done: int
    expected: int
    complete: bool
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        of = {} if self.part is None else {"part": self.part.index, "parts": self.part.count}
        return {
            "archive": self.place,
            **of,
            "state": "complete" if self.complete else "incomplete",
            "objects_done": self.done,
            "objects": self.expected,
            "blocks": self.stats.blocks,
            "resumed_blocks": self.stats.found_blocks,
            "payload_bytes": self.stats.payload_bytes,
            "seconds": self.seconds,
        }


def compress_part(
    source: AnySource | Sequence[Source],
    archive: str | os.PathLike[str],
    part: Part,
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> PartReport:
    """Compresses one part of a volume, and completes the archive if that was the last one.

    Coarser scales made by pooling are made by whoever completes the archive.

    Args:
      source: as `compress` takes it; the same for all parts.
      archive: a folder that all parts see, or a gs:// or s3:// URL.
      part: which one.
      options: how to compress; the same for all parts.
      progress: called now and then with (part of the work, done, total), from any thread.

    Raises:
      UsageError: a source, place or option that cannot be used, or other parts that do another job.
      SourceDataError: voxels that cannot be read.
      FormatError: a block did not decode to the voxels that were encoded.
    """
    if not options.resume:
        raise UsageError(
            "Got --no_resume for a part, which would remove what the others did, expected it for "
            "`jaxslice plan`."
        )
    run = _Run(source, archive, options, progress)
    if run.is_complete():
        return run.report(part, EncodeStats(), complete=True)
    with run.shared_draft() as draft:
        stats = EncodeStats()
        for scale, job in enumerate(run.jobs(draft)):
            made, resources = job.prepare(shared=True)
            made = keep_array(draft, made, len(run.sources), options.downsample)
            numbers = part.numbers(made)
            if not has_part(draft, scale, numbers):
                leaves = Leaves(made.grid_shape)
                own = job.encode(made, resources, leaves, numbers)
                keep_part(draft, scale, numbers, leaves, own, job.source.missing)
                stats += own
        done, expected = run.state(draft)
    complete = done == expected and run.complete()
    return run.report(part, stats, complete, done, expected)


def prepare_parts(
    source: AnySource | Sequence[Source],
    archive: str | os.PathLike[str],
    options: CompressOptions = CompressOptions(),  # noqa: B008 - frozen
    progress: Progress | None = None,
) -> tuple[Plan, PartReport]:
    """Fits the base networks of an archive, so that no part has to; arguments as `compress_part`.

    With `resume=False` an unfinished job is removed first.
    """
    run = _Run(source, archive, options, progress)
    if not options.resume:
        with open_draft(run.place, KIND, options.overwrite) as draft:
            draft.restart()
            draft.remove()
    with run.shared_draft() as draft:
        for job in run.jobs(draft):
            made, _ = job.prepare(shared=True)
            keep_array(draft, made, len(run.sources), options.downsample)
        done, expected = run.state(draft)
    return run.plan, run.report(None, EncodeStats(), False, done, expected)


def seal_parts(archive: str | os.PathLike[str], overwrite: bool = False) -> Report:
    """Completes an archive whose parts are all done; the source is not needed.

    Args:
      archive: the place that the parts were given.
      overwrite: whether an archive that is there may be replaced.

    Raises:
      UsageError: there is nothing to complete, blocks are missing, or a part is still at work.
    """
    place, watch = os.fspath(archive), Stopwatch()
    if unfinished_draft(place) is None:
        raise UsageError(f"Got {place!r}, where there is no unfinished job, expected one.")
    with open_draft(place, KIND, overwrite) as draft:
        num_scales, downsample = expected_scales(draft)
        if not num_scales or downsample:
            more = "its coarser scales" if downsample else "its network"
            raise UsageError(
                f"Got {place!r} without {more}, expected `jaxslice compress` to be run again: any "
                "part will do."
            )
        done = [_complete_scale(draft, scale) for scale in range(num_scales)]
        check_found(place, done[0].missing_chunks)
        publish(draft, [each.made for each in done], [each.leaves.layers() for each in done])
    return report_of(open_scales(place), watch.seconds("read"), {})


def _complete_scale(draft: Draft, scale: int) -> ScaleDone:
    """A scale of which every block is there.

    Raises:
      UsageError: some are not.
    """
    made = kept_array(draft, scale)
    if made is None:
        raise UsageError(
            f"Got {draft.place!r} without the network of scale {scale}, expected every part to be "
            "done."
        )
    done = scale_done(draft, scale, made)
    if done.missing:
        raise UsageError(
            f"Got {draft.place!r} without {len(done.missing)} of {made.num_blocks} blocks of scale "
            f"{scale}, the first of them {done.missing[0]}, expected every part to be done: run "
            "those that are missing."
        )
    complete_provenance(made, done.stats, done.missing_chunks.count)
    return done


class _Run:
    """What the processes of one job have in common."""

    def __init__(
        self,
        source: AnySource | Sequence[Source],
        archive: str | os.PathLike[str],
        options: CompressOptions,
        progress: Progress | None,
    ) -> None:
        self.place, self.options = os.fspath(archive), options
        self._watch, self._progress = Stopwatch(), progress or no_progress
        self.sources = open_sources(source, options)
        self.plan = plan(self.sources[0], options)

    def is_complete(self) -> bool:
        """Whether this very job was completed before, so that a part need not be done again."""
        if unfinished_draft(self.place) is not None:
            return False
        try:
            found = open_scales(self.place)[0]
        except UsageError:
            return False
        planned, source = self.plan, self.sources[0]
        same = (
            found.box == planned.box
            and found.block_shape == planned.block_shape
            and found.shard_shape == planned.shard_shape
            and found.dtype == source.dtype
            and found.provenance.get("effort") == planned.options.effort
            and found.provenance.get("seed") == planned.options.seed
        )
        if not same:
            return False
        stored = open_volume(self.place)
        for box in sampled_boxes(source.box):
            local = box.relative_to(source.box.start)
            if not np.array_equal(source.read(box), stored[local.slices]):
                return False
        return True

    @contextlib.contextmanager
    def shared_draft(self) -> Iterator[Draft]:
        """The draft that all parts write to."""
        check_creatable(self.place, self.options.overwrite)
        self._traces = check_source(self.sources[0], self.plan)
        with self._watch.measure("compile"):
            probe.check_devices(self.options.engine)
        with open_draft(self.place, KIND, self.options.overwrite, shared=True) as draft:
            begin_or_resume(draft, job_of(self.sources, self.plan), resume=True)
            draft.kept = True
            yield draft

    def jobs(self, draft: Draft) -> Iterator[ScaleJob]:
        """The scales that the source has, each independent of the others."""
        for scale, source in enumerate(self.sources):
            yield self._job(draft, scale, source, said_of(self.sources, scale))

    def _job(self, draft: Draft, scale: int, source: Source, made_of: dict[str, Any]) -> ScaleJob:
        return ScaleJob(
            draft, scale, source, plan(source, self.options), made_of,
            {} if scale else self._traces, True, self._watch, self._progress,
        )  # fmt: skip

    def state(self, draft: Draft) -> tuple[int, int]:
        """Stored objects that are done, and in all."""
        done = expected = 0
        for scale in range(len(self.sources)):
            made = kept_array(draft, scale)
            assert made is not None
            done += objects_done(draft, scale)
            expected += math.prod(made.shard_grid)
        return done, expected

    def complete(self) -> bool:
        """Makes what scales are left and completes the archive.

        Returns:
          Whether it is complete; otherwise another process is still at work and will do it.
        """
        try:
            with open_draft(self.place, KIND, self.options.overwrite) as draft:
                if draft.job is None:
                    # Another process was quicker.
                    draft.remove()
                    return self.is_complete()
                done = [_complete_scale(draft, scale) for scale in range(len(self.sources))]
                check_found(self.sources[0].description, done[0].missing_chunks)
                scales = [each.made for each in done]
                layers = [each.leaves.layers() for each in done]
                while found := next_source(self.sources, scales, self.options):
                    made, leaves, _ = self._job(draft, len(scales), *found).compress()
                    scales.append(made)
                    layers.append(leaves.layers())
                publish(draft, scales, layers)
        except PlaceTakenError:
            return False
        except UsageError:
            # Another process may have completed the same job in a bucket at the same time.
            if not self.is_complete():
                raise
        return True

    def report(
        self,
        part: Part | None,
        stats: EncodeStats,
        complete: bool,
        done: int = 0,
        expected: int = 0,
    ) -> PartReport:
        """What this process did."""
        parts = ("compile", "read", "adapt", "train", "encode", "verify", "write")
        return PartReport(
            self.place, part, without_leaves(stats), done, expected, complete,
            self._watch.seconds(*parts),
        )  # fmt: skip
