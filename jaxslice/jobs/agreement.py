"""What the processes of one compression agree on, through notes of the draft."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxslice.archive.configuration import CodecConfiguration
from jaxslice.archive.keys import KIND
from jaxslice.archive.shards import check_shards
from jaxslice.archive.store import Archive
from jaxslice.codec.limits import check_volume
from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.core.json_text import parse_json
from jaxslice.core.placement import Placement
from jaxslice.core.progress import Progress
from jaxslice.core.whole_numbers import three_whole
from jaxslice.jobs.base_network import BaseNetwork
from jaxslice.jobs.job_file import begin_or_resume, kept_network
from jaxslice.jobs.options import CompressOptions
from jaxslice.storage.draft import JOB, Draft, open_draft, unfinished_draft
from jaxslice.storage.location import parse_location
from jaxslice.storage.workspace import BusyError

POLL_SECONDS = 0.2
"""Between two looks at what another process does."""

MOST_POLL_SECONDS = 20.0
"""Between two looks of a process that has waited long: thousands of them share one storage."""

MOST_WAIT_SECONDS = 6 * 3600.0
"""That a process waits for the base network of another which is alive."""

_AGREED = "agreed.json"


def network_of_one(
    draft: Draft, scale: int, fit: Callable[[], BaseNetwork], progress: Progress
) -> BaseNetwork:
    """The base network that one of several processes fits while the others wait.

    Args:
      draft: that all of them write to.
      scale: index of the scale.
      fit: fits the network.
      progress: called while this process waits.

    Raises:
      TimeoutError: another process took too long.
    """
    end, pause = time.monotonic() + MOST_WAIT_SECONDS, POLL_SECONDS
    with draft.lease(f"network-{scale}") as lease:
        while True:
            kept = kept_network(draft, scale)
            if kept is not None:
                return kept
            if lease.try_acquire():
                # It may have been kept just before the lease was released.
                return kept_network(draft, scale) or fit()
            if time.monotonic() > end:
                raise TimeoutError(
                    f"Got no base network for {draft.place!r} from another process within "
                    f"{MOST_WAIT_SECONDS:g} seconds; `jaxslice plan` makes it beforehand."
                )
            progress("wait for the base network of another job shard", 0, 1)
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(1.3 * pause, MOST_POLL_SECONDS)


@dataclasses.dataclass(frozen=True)
class Agreed:
    """What finishing an archive needs beside its arrays, so that it needs no source.

    Attributes:
      options: of the compression.
      num_sources: scales that the source has.
      description: of the source.
    """

    options: CompressOptions
    num_sources: int
    description: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        model = self.options.model
        if model and os.path.exists(model):
            model = os.path.abspath(model)
        options = dataclasses.asdict(dataclasses.replace(self.options, model=model))
        options["bbox"] = str(self.options.bbox) if self.options.bbox else None
        return {**dataclasses.asdict(self), "options": options}

    @classmethod
    def from_json(cls, value: Any) -> Agreed:
        """Reads the JSON object."""
        known = {field.name for field in dataclasses.fields(CompressOptions)}
        options: dict[str, Any] = {
            name: tuple(option) if isinstance(option, list) else option
            for name, option in value["options"].items()
            if name in known
        }
        if options["bbox"]:
            options["bbox"] = Box.parse(str(options["bbox"]))
        return cls(CompressOptions(**options), value["num_sources"], value["description"])


def begin(place: str, job: dict[str, Any], agreed: Agreed, progress: Progress) -> None:
    """Begins a job at a place, or finds that another process has begun the same.

    Args:
      place: of the archive.
      job: from `job_file.job_of`.
      agreed: what the processes agree on.
      progress: called while this process waits.

    Raises:
      UsageError: the place has another job, or cannot be written.
    """
    options = agreed.options
    for _ in tries(place, progress):
        try:
            with open_draft(place, KIND, options.overwrite, shared=_is_remote(place)) as draft:
                if _begun(draft, job, agreed):
                    return
        except BusyError:
            # Who shares the lock has begun the job, and who does not may soon be ready.
            if unfinished_draft(place):
                return


def _begun(draft: Draft, job: dict[str, Any], agreed: Agreed) -> bool:
    """Begins a job unless another process is about to."""
    if draft.job is None or not agreed.options.resume:
        with draft.lease("begin") as lease:
            if not lease.try_acquire():
                return False
            if draft.in_place and draft.job is None and draft.read_note(JOB) is None:
                # What another draft left could be taken for ours.
                draft.restart()
            begin_or_resume(draft, job, agreed.options.resume)
    else:
        begin_or_resume(draft, job, resume=True)
    draft.note(_AGREED, json.dumps(agreed.to_json()).encode())
    draft.kept = True
    return True


def tries(place: str, progress: Progress) -> Iterator[None]:
    """Waits between tries, and gives up after a while."""
    end = time.monotonic() + MOST_WAIT_SECONDS
    while time.monotonic() < end:
        yield
        progress(f"wait for another process at {place!r}", 0, 1)
        time.sleep(POLL_SECONDS)
    raise BusyError(
        f"Got {place!r}, which another process is writing, expected a place of its own."
    )


def _is_remote(place: str) -> bool:
    return not isinstance(parse_location(place), Path)


def agreed_of(draft: Draft) -> Agreed:
    """What the processes that write a draft have agreed on.

    Raises:
      UsageError: nothing, because a plain run began it.
    """
    note = draft.read_note(_AGREED)
    if note is None:
        raise UsageError(
            f"Got an unfinished archive at {draft.place!r} that no job shard began, expected one "
            "from `jaxslice plan` or --num_shards; the command that began it goes on with it."
        )
    try:
        return Agreed.from_json(parse_json(note))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise FormatError(f"Got a damaged note of an unfinished archive: {error}.") from None


def agreed_array(draft: Draft, scale: int, made: Archive | None = None) -> Archive | None:
    """The array of a scale, as the first process made it.

    Args:
      draft: that all processes write to.
      scale: its index.
      made: to be noted unless there is one; None to look only.

    Raises:
      FormatError: the note is damaged.
    """
    name = f"array-{scale}.json"
    note = draft.read_note(name)
    if note is None:
        if made is None:
            return None
        note = draft.note(name, json.dumps(_array_json(made)).encode())
    try:
        return _array(draft, parse_json(note))
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise FormatError(f"Got a damaged note of an unfinished archive: {error}.") from None


def _array_json(made: Archive) -> dict[str, Any]:
    return {
        "shape": made.shape,
        "block_shape": made.block_shape,
        "shard_shape": made.shard_shape,
        "configuration": made.configuration.to_json(),
        "voxel_size_nm": made.placement.voxel_size_nm,
        "offset_voxels": made.placement.offset_voxels,
        "provenance": made.provenance,
        "data_type": made.data_type,
        "path": made.path,
    }


_ARRAY_PATH = re.compile(r"\d+(?:-[0-9a-f]{16}(?:-\d+)?)?")
"""Where arrays are made: what is written there must not leave the archive."""


def _array(draft: Draft, value: Any) -> Archive:
    shape, block_shape, offset = (
        three_whole(value[name], name) for name in ("shape", "block_shape", "offset_voxels")
    )
    shard_shape = value["shard_shape"] and three_whole(value["shard_shape"], "shard_shape")
    configuration = CodecConfiguration.from_json(value["configuration"])
    check_volume(shape)
    configuration.check_blocks(block_shape)
    if shard_shape:
        check_shards(block_shape, shard_shape)
    if not _ARRAY_PATH.fullmatch(value["path"]):
        raise ValueError(f"Got the path {value['path']!r}, expected that of an array")
    z, y, x = map(float, value["voxel_size_nm"])
    return Archive(
        shape,
        block_shape,
        configuration,
        Placement((z, y, x), offset),
        value["provenance"],
        value["data_type"],
        None,
        draft.place,
        draft.folder,
        path=value["path"],
        shard_shape=shard_shape or None,
    )
