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

from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import Archive
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.json_text import parse_json
from jaxslice.jobs.encode_all import without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.resume import finished_blocks, stored_objects
from jaxslice.storage.draft import Draft
from jaxslice.volumes.interface import MissingChunks

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
      missing_blocks: that are not there, x fastest.
    """

    leaves: Leaves
    stats: EncodeStats
    missing: MissingChunks
    missing_blocks: list[Triple]


def gather(draft: Draft, scale: int, made: Archive) -> Gathered:
    """Finds what is there of a scale: by the notes, and where there is none by reading.

    Raises:
      FormatError: a note is damaged.
      OSError: the storage fails.
    """
    objects = [index for index, _ in made.shards()]
    stored, end = stored_objects(made), 0
    noted: set[Triple] = set()
    leaves, stats, missing = Leaves(made.grid_shape), EncodeStats(), MissingChunks()
    for part in noted_parts(draft, scale):
        indices = objects[part.start : part.stop]
        if part.start < end or len(indices) < len(part) or not stored.issuperset(indices):
            continue
        end = part.stop
        some, chunks, any_found = _read_part(draft, scale, part)
        leaves.add_all(some.leaves)
        stats += without_leaves(some)
        missing.add(chunks, any_found)
        noted.update(indices)
    # What no run of this process has encoded.
    stats = dataclasses.replace(stats, found_blocks=stats.blocks)
    checked = finished_blocks(made, [index for index in objects if index not in noted])
    for found in checked.values():
        leaves.add_all(found.leaves)
        stats += without_leaves(found)
    missing_blocks = [
        block
        for index in objects
        if index not in noted
        for block in made.blocks_of(index)
        if block not in checked
    ]
    return Gathered(leaves, stats, missing, missing_blocks)


def _read_part(draft: Draft, scale: int, part: range) -> tuple[EncodeStats, list[Triple], bool]:
    try:
        document: dict[str, Any] = parse_json(draft.read_note(_name(scale, part)) or b"")
        leaves = tuple(((z, y, x), bytes.fromhex(leaf)) for z, y, x, leaf in document["leaves"])
        missing: list[Triple] = [(z, y, x) for z, y, x in document["missing"]]
        stats = EncodeStats(**document["stats"], leaves=leaves)
        return stats, missing, bool(document["any_found"])
    except (ValueError, LookupError, TypeError) as error:
        raise FormatError(f"Got a damaged note of a job shard: {error}.") from None
