"""Scrubbing: an archive that lies for years is read now and then, to find damage while there is
still another copy.

Payloads are not decoded: their checksums and places are compared, and whole layers with the seal,
which covers every byte. So it takes no more than reading and hashing, and can stop at any block.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxslice.archive.seal import layer_of, leaf_of
from jaxslice.archive.store import Archive, open_scales
from jaxslice.codec import payload
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.jobs.scrub_state import ScrubState, load_state, save_state
from jaxslice.jobs.task import batches

DAMAGED, UNREADABLE, WHOLE, SO_FAR = "damaged", "unreadable", "whole", "whole so far"
"""Outcomes of a run: the last is of one that stopped before the end of the archive."""

_READ_AT_ONCE = 4
_MOST_UNREADABLE = 16
"""Blocks in a row that the storage refuses, after which it is taken to be away."""


@dataclasses.dataclass(frozen=True)
class ScrubLimits:
    """Where one run stops, and how fast it may read.

    Attributes:
      max_seconds: after which no further block is begun; None for no limit.
      max_blocks: that are read; None for no limit.
      max_mb_per_s: megabytes (10**6 bytes) a second on average; None for no limit.
    """

    max_seconds: float | None = None
    max_blocks: int | None = None
    max_mb_per_s: float | None = None


@dataclasses.dataclass
class _Run:
    """What one run has done. The clock never goes back, whatever happens to the time of day."""

    limits: ScrubLimits
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    blocks: int = 0
    read_bytes: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self.start = self.clock()

    def seconds(self) -> float:
        return self.clock() - self.start

    def room(self) -> int:
        """How many blocks may be read next; 0 at the end of the run."""
        limits = self.limits
        if limits.max_seconds is not None and self.seconds() >= limits.max_seconds:
            return 0
        if self.refused >= _MOST_UNREADABLE:
            return 0
        left = _READ_AT_ONCE if limits.max_blocks is None else limits.max_blocks - self.blocks
        return max(0, min(_READ_AT_ONCE, left))

    def slow_down(self) -> None:
        """Waits until the bytes that were read are no more than the limit allows."""
        if self.limits.max_mb_per_s is not None:
            due = self.read_bytes / (self.limits.max_mb_per_s * 1e6)
            self.sleep(max(0.0, due - self.seconds()))


def scrub(
    archive: str | os.PathLike[str],
    *,
    state: str | os.PathLike[str] | None = None,
    expect_root: str | None = None,
    limits: ScrubLimits = ScrubLimits(),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Reads an archive, or some more of it, and compares all checksums. Writes nothing to it.

    Args:
      archive: to read.
      state: a file that remembers how far earlier runs came, of any number of archives; None to
        begin at the first block.
      expect_root: the root that the seal must have, 64 hexadecimal digits or the first of them.
      limits: where to stop.
      clock: seconds from any start.
      sleep: waits for some seconds.

    Returns:
      A JSON object: "archive", "outcome", "root", "blocks" of the archive, "checked" of them since
      the pass began, "read_blocks" and "read_bytes" of this run, "seconds", "passes" that were
      completed, and "problems": objects with kind, and scale, block or layer, and message.

    Raises:
      UsageError: the state file is none, or cannot be written.

    >>> import jaxslice
    >>> jaxslice.scrub("volume.zarr")["outcome"]
    'whole'
    """
    place, run = os.fspath(archive), _Run(limits, clock, sleep)
    before = load_state(state, place)
    try:
        scales = open_scales(place)
    except FormatError as error:
        return _unopened(place, DAMAGED, "metadata", error)
    except (UsageError, OSError) as error:
        return _unopened(place, UNREADABLE, "unreadable", error)
    root = scales[0].root
    now, problems = before, []
    if before.root not in (None, root):
        problems.append(_problem("root", f"Got the root {root}, expected {before.root} as before."))
        # Until somebody removes the state, every run says so.
        now = ScrubState(root=before.root, passes=before.passes)
    if expect_root is not None and not root.startswith(expect_root):
        problems.append(_problem("root", f"Got the root {root}, expected {expect_root}."))
    now.root = now.root or root
    complete = _read_on(scales, now, run)
    found = [*problems, *now.problems]
    record = _record(place, scales, root, now, run, found, complete)
    if complete:
        now.begin_again()
    save_state(state, place, now)
    return record


def _unopened(place: str, outcome: str, kind: str, error: Exception) -> dict[str, Any]:
    return {
        "archive": place, "outcome": outcome, "root": None, "blocks": None, "checked": 0,
        "read_blocks": 0, "read_bytes": 0, "seconds": 0.0, "passes": 0,
        "problems": [_problem(kind, str(error))],
    }  # fmt: skip


def _record(
    place: str,
    scales: Sequence[Archive],
    root: str,
    state: ScrubState,
    run: _Run,
    problems: list[dict[str, Any]],
    complete: bool,
) -> dict[str, Any]:
    kinds = {problem["kind"] for problem in problems}
    outcome = WHOLE if complete else SO_FAR
    if kinds:
        outcome = UNREADABLE if kinds == {"unreadable"} else DAMAGED
    return {
        "archive": place,
        "outcome": outcome,
        "root": root,
        "blocks": sum(scale.num_blocks for scale in scales),
        "checked": state.checked,
        "read_blocks": run.blocks,
        "read_bytes": run.read_bytes,
        "seconds": round(run.seconds(), 3),
        "passes": state.passes + complete,
        "problems": problems,
    }


def _read_on(scales: Sequence[Archive], state: ScrubState, run: _Run) -> bool:
    """Reads from where the state says; True at the end of the archive."""
    with ThreadPoolExecutor(_READ_AT_ONCE, "jaxslice-scrub") as pool:
        remaining = _remaining(scales, state.checked)
        while room := run.room():
            some = next(batches(remaining, room), ())
            if not some:
                return True
            for (scale, index), found in zip(some, pool.map(_checked, some), strict=True):
                run.blocks += 1
                run.read_bytes += found.size
                run.refused = run.refused + 1 if found.kind == "unreadable" else 0
                _take(scale, index, found, state)
            run.slow_down()
        return state.checked == sum(scale.num_blocks for scale in scales)


def _remaining(scales: Sequence[Archive], done: int) -> Iterator[tuple[Archive, Triple]]:
    for scale in scales:
        if done >= scale.num_blocks:
            done -= scale.num_blocks
            continue
        _, height, width = scale.grid_shape
        for number in range(done, scale.num_blocks):
            layer, rest = divmod(number, height * width)
            yield scale, (layer, rest // width, rest % width)
        done = 0


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a block is: its leaf, or why there is none."""

    size: int = 0
    leaf: bytes | None = None
    kind: str | None = None
    message: str = ""


def _checked(item: tuple[Archive, Triple]) -> _Found:
    archive, index = item
    try:
        data = archive.read_payload(index)
    except FormatError as error:
        return _Found(kind="missing or damaged", message=str(error))
    except OSError as error:
        return _Found(kind="unreadable", message=str(error))
    problem = problem_of(archive, index, data)
    if problem is not None:
        return _Found(len(data), None, "missing or damaged", problem)
    return _Found(len(data), leaf_of(data))


def problem_of(archive: Archive, index: Triple, data: bytes) -> str | None:
    """What is wrong with a block's bytes, without decoding them; None if nothing is found."""
    try:
        item = payload.unpack(data, archive.block_shape, archive.dtype)
        if item.place is not None:
            placeless = not archive.configuration.sealed
            payload.check_place(item, archive.place_of(index), placeless)
    except FormatError as error:
        return str(error)
    return None


def _take(scale: Archive, index: Triple, found: _Found, state: ScrubState) -> None:
    """Adds a block to the state, and compares its layer if that is complete."""
    state.checked += 1
    if found.kind is not None:
        problem = _problem(found.kind, found.message, scale=scale.scale, block=list(index))
        state.problems.append(problem)
    if scale.seal is None:
        return
    state.leaves.append(found.leaf)
    _, height, width = scale.grid_shape
    if len(state.leaves) < height * width:
        return
    leaves, state.leaves = state.leaves, []
    whole = [leaf for leaf in leaves if leaf is not None]
    # A layer with damaged blocks is another one anyway; those were said.
    if len(whole) == len(leaves) and layer_of(whole) != scale.seal.layers[scale.scale][index[0]]:
        message = (
            "Got other blocks than were sealed, each of them whole: left over from an earlier run, "
            "or written since."
        )
        state.problems.append(_problem("layer", message, scale=scale.scale, layer=index[0]))


def _problem(kind: str, message: str, **where: Any) -> dict[str, Any]:
    return {"kind": kind, **where, "message": message}
