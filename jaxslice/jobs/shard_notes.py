"""What each job shard has finished: a note with the leaves of its blocks, and what all come to.

A note is named by the scale and by the range of stored objects that it covers, so that a listing
says what is done. Parts of different arrays may overlap: then blocks are read and checked instead.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import Archive
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.json_text import parse_json
from jaxslice.jobs.encode_all import without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.resume import finished_blocks, stored_map
from jaxslice.storage.draft import Draft
from jaxslice.volumes.interface import MissingChunks

MOST_NAMED = 8
"""Blocks that a message names."""

_CHECKED_AT_ONCE = 4096
"""Stored objects that are checked at a time."""

_NAME = re.compile(r"part-(\d+)-(\d+)-(\d+)\.json")


def write_part(
    draft: Draft, scale: int, objects: range, stats: EncodeStats, missing: MissingChunks
) -> None:
    """Notes that a range of stored objects is complete.

    Args:
      draft: of the archive.
      scale: of the objects.
      objects: their numbers, in the order of the archive.
      stats: of their blocks, with the leaves.
      missing: chunks of the source that were not there.
    """
    if not objects:
        return
    document = {
        "stats": without_leaves(stats).to_json(),
        "leaves": [[*index, leaf.hex()] for index, leaf in sorted(stats.leaves)],
        "missing": sorted(missing.indices),
        "any_found": missing.any_found,
    }
    draft.note(_name(scale, objects), json.dumps(document).encode())


def _name(scale: int, objects: range) -> str:
    return f"part-{scale}-{objects.start:012d}-{objects.stop:012d}.json"


def noted_parts(draft: Draft, scale: int) -> list[range]:
    """The ranges of stored objects that are complete, in order; they may overlap."""
    names = (_NAME.fullmatch(name) for name in draft.notes_of(f"part-{scale}-"))
    found = (range(int(name[2]), int(name[3])) for name in names if name)
    return sorted(found, key=lambda part: (part.start, -part.stop))


def is_covered(parts: Sequence[range], num_objects: int) -> bool:
    """Whether parts, sorted by their start, cover all objects."""
    end = 0
    for part in parts:
        if part.start > end:
            return False
        end = max(end, part.stop)
    return end >= num_objects


@dataclasses.dataclass(frozen=True)
class Gathered:
    """What is there of a scale.

    Attributes:
      leaves: of all blocks that are there.
      stats: of these blocks, without the leaves.
      missing: chunks of the source.
      num_missing: blocks that are not there.
      missing_blocks: the first of them, x fastest.
    """

    leaves: Leaves
    stats: EncodeStats
    missing: MissingChunks
    num_missing: int
    missing_blocks: list[Triple]


def gather(draft: Draft, scale: int, made: Archive) -> Gathered:
    """Finds what is there of a scale: by the notes, and where there is none by reading.

    Memory holds a bit for each stored object, and the leaves of one part and of few layers.

    Raises:
      FormatError: a note is damaged.
      OSError: the storage fails.
    """
    stored, end = stored_map(made), 0
    noted = np.zeros_like(stored)
    leaves, stats, missing = Leaves(made.grid_shape), EncodeStats(), MissingChunks()
    for part in noted_parts(draft, scale):
        objects = slice(part.start, part.stop)
        if part.start < end or part.stop > len(stored) or not stored[objects].all():
            continue
        end = part.stop
        some, chunks, any_found = _read_part(draft, scale, part)
        leaves.add_all(some.leaves)
        stats += without_leaves(some)
        missing.add(chunks, any_found)
        noted[objects] = True
    # What no run of this process has encoded.
    stats = dataclasses.replace(stats, found_blocks=stats.blocks)
    checked, num_missing, missing_blocks = _check(made, np.flatnonzero(~noted), stored, leaves)
    return Gathered(leaves, stats + checked, missing, num_missing, missing_blocks)


def _check(
    made: Archive, positions: np.ndarray, stored: np.ndarray, leaves: Leaves
) -> tuple[EncodeStats, int, list[Triple]]:
    """Reads the blocks that no note tells of: what they come to, and those that are not there."""
    stats, num_missing, first = EncodeStats(), 0, []
    for start in range(0, len(positions), _CHECKED_AT_ONCE):
        some = [int(position) for position in positions[start : start + _CHECKED_AT_ONCE]]
        there = [made.object_at(position) for position in some if stored[position]]
        found = finished_blocks(made, there) if there else {}
        for each in found.values():
            leaves.add_all(each.leaves)
            stats += without_leaves(each)
        for block in (b for position in some for b in made.blocks_of(made.object_at(position))):
            if block not in found:
                num_missing += 1
                if len(first) < MOST_NAMED:
                    first.append(block)
    return stats, num_missing, first


def _read_part(draft: Draft, scale: int, part: range) -> tuple[EncodeStats, list[Triple], bool]:
    try:
        document: dict[str, Any] = parse_json(draft.read_note(_name(scale, part)) or b"")
        leaves = tuple(((z, y, x), bytes.fromhex(leaf)) for z, y, x, leaf in document["leaves"])
        missing: list[Triple] = [(z, y, x) for z, y, x in document["missing"]]
        stats = EncodeStats(**document["stats"], leaves=leaves)
        return stats, missing, bool(document["any_found"])
    except (ValueError, LookupError, TypeError) as error:
        raise FormatError(f"Got a damaged note of a job shard: {error}.") from None
