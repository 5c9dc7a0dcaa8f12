"""Completing an archive that several processes have filled: its coarser scales, seal and place."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

from jaxslice.archive.create import publish
from jaxslice.archive.keys import KIND
from jaxslice.archive.report import Report, info
from jaxslice.core.errors import UsageError
from jaxslice.core.progress import Progress, Stopwatch, no_progress
from jaxslice.jobs.agreement import POLL_SECONDS, agreed_array, agreed_of
from jaxslice.jobs.compress import report_of_run
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.plan import plan
from jaxslice.jobs.provenance import complete_provenance
from jaxslice.jobs.scale_part import ScalePart
from jaxslice.jobs.scales import next_pooled
from jaxslice.jobs.shard_notes import Gathered, gather, is_covered, noted_parts
from jaxslice.jobs.source_checks import check_found
from jaxslice.storage.draft import Draft, open_draft, unfinished_draft
from jaxslice.storage.lease import LEASE_SECONDS
from jaxslice.storage.traffic import traffic
from jaxslice.storage.workspace import BusyError

_TRIES = 4
"""To be alone with a draft."""


def seal(
    archive: str | os.PathLike[str],
    *,
    verify: str = "all",
    engine: str = "auto",
    workers: int | None = None,
    batch_blocks: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Completes an archive whose job shards are all done, and puts it in place.

    Args:
      archive: of the job shards. One that is complete already stays as it is.
      verify: as in `CompressOptions`, of the scales that are made by pooling.
      engine: as in `CompressOptions`.
      workers: as in `CompressOptions`.
      batch_blocks: as in `CompressOptions`.
      progress: called now and then.

    Returns:
      The report of the whole archive.

    Raises:
      UsageError: blocks are missing; the message says which. Or nothing was begun there.
      BusyError: job shards are still at work there.

    >>> import jaxslice
    >>> jaxslice.seal("volume.zarr").num_blocks
    1
    """
    place, watch = os.fspath(archive), Stopwatch()
    if unfinished_draft(place) is None:
        return info(place)
    runtime = {
        "verify": verify, "engine": engine, "workers": workers, "batch_blocks": batch_blocks,
    }  # fmt: skip
    report = complete(place, watch, progress or no_progress, runtime, needed=True)
    return info(place) if report is None else report


def complete(
    place: str,
    watch: Stopwatch,
    progress: Progress,
    runtime: dict[str, Any] | None = None,
    needed: bool = False,
) -> Report | None:
    """Completes an archive if all blocks are there and nobody else is at work on it.

    Args:
      place: of the archive.
      watch: measures the parts of the work.
      progress: called now and then.
      runtime: options in place of those that were agreed on; None to keep them.
      needed: whether it is an error if the archive cannot be completed.

    Returns:
      None if there is nothing to complete, or not now.
    """
    if unfinished_draft(place) is None:
        return None
    for number in range(_TRIES):
        try:
            return _complete_alone(place, runtime, watch, progress, needed)
        except BusyError:
            if needed and number == _TRIES - 1:
                raise
            # A look at the lock takes it for an instant.
            time.sleep(POLL_SECONDS)
    return None


def _complete_alone(
    place: str,
    runtime: dict[str, Any] | None,
    watch: Stopwatch,
    progress: Progress,
    needed: bool,
) -> Report | None:
    with open_draft(place, KIND, _overwrites(place)) as draft:
        if draft.job is None:
            draft.remove()
            return None
        with draft.lease("complete") as lease:
            end = time.monotonic() + 1.2 * LEASE_SECONDS
            while not lease.try_acquire():
                if time.monotonic() > end or not draft.is_current():
                    return None
                time.sleep(POLL_SECONDS)
            if not draft.is_current():
                return None
            return _publish_complete(draft, runtime, watch, progress, needed)


def _overwrites(place: str) -> bool:
    with open_draft(place, KIND, overwrite=True, shared=True) as draft:
        return draft.job is not None and agreed_of(draft).options.overwrite


def _publish_complete(
    draft: Draft, runtime: dict[str, Any] | None, watch: Stopwatch, progress: Progress, needed: bool
) -> Report | None:
    agreed, before = agreed_of(draft), traffic()
    options = dataclasses.replace(agreed.options, **(runtime or {}))
    made, layers, total, missing_chunks = [], [], EncodeStats(), 0
    for number in range(agreed.num_sources):
        opened = agreed_array(draft, number)
        if opened is None:
            if needed:
                raise UsageError(
                    f"Got an unfinished archive at {draft.place!r} without any block of scale "
                    f"{number}, expected all: run the job shards first."
                )
            return None
        if not needed and not is_covered(noted_parts(draft, number), opened.num_objects):
            return None
        there = gather(draft, number, opened)
        if there.num_missing:
            _refuse(draft.place, number, opened.num_blocks, there)
        if not number:
            check_found(agreed.description, there.missing)
            missing_chunks = there.missing.count
        complete_provenance(opened.provenance, there.stats, there.missing.count)
        made.append(opened)
        layers.append(there.leaves.layers())
        total += there.stats
    while found := next_pooled(agreed.description, agreed.num_sources, made, options):
        pooled = ScalePart(
            draft, len(made), found[0], plan(found[0], options), found[1], {}, True, watch, progress
        )
        scale, leaves, stats = pooled.compress()
        made.append(scale)
        layers.append(leaves.layers())
        total += stats
    publish(draft, made, layers)
    return report_of_run(draft.place, options.engine, total, watch, missing_chunks, before)


def _refuse(place: str, scale: int, num_blocks: int, there: Gathered) -> None:
    named = ", ".join(map(str, there.missing_blocks))
    more = there.num_missing - len(there.missing_blocks)
    raise UsageError(
        f"Got {num_blocks - there.num_missing} of {num_blocks} blocks of scale {scale} at "
        f"{place!r}, expected all; missing: {named}{f' and {more} more' if more > 0 else ''}."
    )
