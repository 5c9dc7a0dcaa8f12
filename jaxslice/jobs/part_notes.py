"""What the parts of a job leave in its draft, so that another process can complete the archive.

For each scale there is a note of its array, which whoever comes first writes, and a note of each
finished part: the leaves of its blocks and their statistics. Parts need not be of equal size, and
may overlap: what no note covers is looked up among the blocks themselves.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

from jaxslice.archive.create import new_array, recorded
from jaxslice.archive.seal import Leaves
from jaxslice.archive.store import Archive
from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.placement import Placement
from jaxslice.jobs.encode_all import without_leaves
from jaxslice.jobs.encoding import EncodeStats
from jaxslice.jobs.job_file import kept_network
from jaxslice.jobs.resume import finished_blocks
from jaxslice.storage.draft import Draft
from jaxslice.volumes.interface import MissingChunks

_PART = re.compile(r"part-(\d+)-(\d+)-(\d+)\.json")


@dataclasses.dataclass(frozen=True)
class ScaleDone:
    """What is known of a scale, some or all of whose blocks are there.

    Attributes:
      made: its array.
      leaves: of the blocks that are there.
      stats: of these blocks.
      missing_chunks: of the source, that the parts found missing.
      missing: blocks that are not there.
    """

    made: Archive
    leaves: Leaves
    stats: EncodeStats
    missing_chunks: MissingChunks
    missing: list[Triple]


def keep_array(draft: Draft, made: Archive, num_scales: int, downsample: int) -> Archive:
    """Keeps what describes an array with a draft.

    Args:
      draft: that the array belongs to.
      made: the array.
      num_scales: of the archive, as far as the source has them.
      downsample: how many further ones are asked for.

    Returns:
      The array that counts: as another process described it if that was first.
    """
    document = {
        "box": [made.box.start, made.box.stop],
        "block_shape": made.block_shape,
        "shard_shape": made.shard_shape,
        "placement": dataclasses.asdict(made.placement),
        "data_type": made.data_type,
        "provenance": recorded(made).provenance,
        "num_scales": num_scales,
        "downsample": downsample,
    }
    scale = int(made.path.partition("-")[0])
    draft.note(_array_note(scale), json.dumps(document).encode())
    kept = kept_array(draft, scale)
    assert kept is not None, "a note is never removed while its draft is used"
    return kept


def kept_array(draft: Draft, scale: int) -> Archive | None:
    """An array as `keep_array` described it, if that was done.

    Raises:
      FormatError: the note is damaged.
    """
    document, base = _read(draft, _array_note(scale)), kept_network(draft, scale)
    if document is None or base is None:
        return None
    try:
        placement = Placement(*(tuple(values) for values in document["placement"].values()))
        return new_array(
            draft, scale, Box(*map(_triple, document["box"])), _triple(document["block_shape"]),
            dataclasses.replace(base.configuration, sealed=True), placement,
            document["provenance"], document["data_type"],
            _triple(document["shard_shape"]) if document["shard_shape"] else None,
        )  # fmt: skip
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"Got a damaged note of an interrupted run: {error}.") from None


def expected_scales(draft: Draft) -> tuple[int, int]:
    """How many scales the source has, and how many more are asked for; 0, 0 if nothing began."""
    document = _read(draft, _array_note(0)) or {}
    return int(document.get("num_scales", 0)), int(document.get("downsample", 0))


def keep_part(
    draft: Draft,
    scale: int,
    numbers: range,
    leaves: Leaves,
    stats: EncodeStats,
    missing: MissingChunks,
) -> None:
    """Notes that a part is done.

    Args:
      draft: that it belongs to.
      scale: of the archive.
      numbers: of the stored objects that it has, as in `Archive.shards`.
      leaves: of their blocks.
      stats: of their blocks.
      missing: chunks that the source did not have.
    """
    document = {
        "stats": without_leaves(stats).to_json(),
        "layers": {z: layer.hex() for z, layer in leaves.complete().items()},
        "leaves": [[*index, leaf.hex()] for index, leaf in leaves.incomplete().items()],
        "missing_chunks": missing.indices,
        "any_chunk_found": missing.any_found,
    }
    draft.note(_part_note(scale, numbers), json.dumps(document).encode())


def has_part(draft: Draft, scale: int, numbers: range) -> bool:
    """Whether a part is done."""
    return draft.read_note(_part_note(scale, numbers)) is not None


def objects_done(draft: Draft, scale: int) -> int:
    """How many stored objects of a scale the notes of parts cover."""
    covered, end = 0, 0
    for numbers in _parts(draft, scale):
        covered += max(0, numbers.stop - max(end, numbers.start))
        end = max(end, numbers.stop)
    return covered


def scale_done(draft: Draft, scale: int, made: Archive) -> ScaleDone:
    """Collects what the notes of a scale's parts say; what none covers is looked up and checked.

    Raises:
      FormatError: a note is damaged.
      OSError: the storage fails.
    """
    leaves, missing = Leaves(made.grid_shape), MissingChunks()
    stats, absent, end = EncodeStats(), [], 0
    whole = math.prod(made.shard_grid)
    for numbers in [*_parts(draft, scale), range(whole, whole)]:
        if numbers.start < end:
            continue
        if numbers.start > end:
            gap = range(end, numbers.start)
            found = finished_blocks(made, gap)
            stats = sum((without_leaves(each) for each in found.values()), stats)
            for each in found.values():
                leaves.add_all(each.leaves)
            blocks = (block for _, some in made.shards(gap) for block in some)
            absent += [block for block in blocks if block not in found]
        if numbers:
            document = _read(draft, _part_note(scale, numbers)) or {}
            stats += _take(document, leaves, missing)
        end = numbers.stop
    return ScaleDone(made, leaves, stats, missing, absent)


def _take(document: dict[str, Any], leaves: Leaves, missing: MissingChunks) -> EncodeStats:
    try:
        for z, layer in document["layers"].items():
            leaves.add_layer(int(z), bytes.fromhex(layer))
        for z, y, x, leaf in document["leaves"]:
            leaves.add((z, y, x), bytes.fromhex(leaf))
        chunks = [_triple(index) for index in document["missing_chunks"]]
        missing.add(chunks, bool(document["any_chunk_found"]))
        return EncodeStats(**document["stats"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"Got a damaged note of a part: {error!r}.") from None


def _parts(draft: Draft, scale: int) -> list[range]:
    """The parts that are done, in their order, of those that begin alike the longest first."""
    found = []
    for name in draft.note_names(f"part-{scale}-"):
        if match := _PART.fullmatch(name):
            found.append(range(int(match[2]), int(match[3])))
    return sorted(found, key=lambda numbers: (numbers.start, -numbers.stop))


def _part_note(scale: int, numbers: range) -> str:
    return f"part-{scale}-{numbers.start}-{numbers.stop}.json"


def _array_note(scale: int) -> str:
    return f"array-{scale}.json"


def _read(draft: Draft, name: str) -> dict[str, Any] | None:
    note = draft.read_note(name)
    if note is None:
        return None
    try:
        document = json.loads(note)
    except ValueError as error:
        raise FormatError(f"Got a damaged note {name!r}: {error}.") from None
    if not isinstance(document, dict):
        raise FormatError(f"Got a damaged note {name!r}, expected an object.")
    return document


def _triple(values: Any) -> Triple:
    z, y, x = values
    return (z, y, x)
