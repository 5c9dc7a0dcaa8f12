"""Blocks that an interrupted run finished: found, checked, and not encoded again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxslice.archive.seal import leaf_of
from jaxslice.archive.store import Archive
from jaxslice.codec import body, payload
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.jobs.encoding import EncodeStats

_READS = 16
"""Payloads that are read and checked at once."""


def finished_blocks(
    archive: Archive, wanted: Sequence[Triple] | None = None
) -> dict[Triple, EncodeStats]:
    """The blocks of an unfinished archive that need not be encoded again.

    Each payload is read, and its checksum and place compared. What fails is no finished block.

    Args:
      archive: in a draft.
      wanted: indices of the stored objects to look at; all if None.

    Raises:
      OSError: the storage fails.
    """
    stored, found = stored_objects(archive, wanted), {}
    objects = [archive.blocks_of(index) for index in sorted(stored)]
    with ThreadPoolExecutor(_READS, "jaxslice-resume") as pool:
        checks = pool.map(
            lambda blocks: [checked_block(archive, index) for index in blocks], objects
        )
        for blocks, stats in zip(objects, checks, strict=True):
            # A shard is written as a whole, or not at all.
            if None not in stats:
                found |= dict(zip(blocks, stats, strict=True))
    return found


def stored_objects(archive: Archive, wanted: Sequence[Triple] | None = None) -> set[Triple]:
    """Indices of the objects of an unfinished archive that are there, complete or not.

    Args:
      archive: in a draft.
      wanted: only these; only their layers are listed.

    Raises:
      OSError: the storage fails.
    """
    if wanted is None:
        return set(_listed(archive))
    chosen = set(wanted)
    layers = sorted({index[0] for index in chosen})
    return {index for layer in layers for index in _listed(archive, layer)} & chosen


def _listed(archive: Archive, layer: int | None = None) -> Iterator[Triple]:
    """Indices of the objects that are there, or of those of one layer."""
    prefix = f"{archive.path}/c/"
    for key in archive.folder.list_keys(prefix if layer is None else f"{prefix}{layer}/"):
        parts = key.removeprefix(prefix).split("/")
        if len(parts) == 3 and all(part.isdecimal() for part in parts):
            z, y, x = map(int, parts)
            yield z, y, x


def stored_map(archive: Archive) -> np.ndarray:
    """Whether each object of an unfinished archive is there, complete or not.

    Returns:
      bool, in the order of the archive's objects. One layer at a time is listed.

    Raises:
      OSError: the storage fails.
    """
    last = archive.object_at(archive.num_objects - 1)
    depth, height, width = (n + 1 for n in last)
    found = np.zeros((depth, height, width), bool)
    for layer in range(depth):
        for z, y, x in _listed(archive, layer):
            if y < height and x < width:
                found[z, y, x] = True
    return found.ravel()


def checked_block(archive: Archive, index: Triple) -> EncodeStats | None:
    """What a stored block is; None if it is missing, damaged or belongs elsewhere."""
    try:
        data = archive.read_payload(index)
        unpacked = payload.unpack(data, archive.block_shape, archive.dtype)
        if unpacked.place != archive.place_of(index):
            return None
        own = None
        if unpacked.block_network:
            own = body.split_coded_body(unpacked, archive.dtype).difference
    except FormatError:
        return None
    return EncodeStats(
        blocks=1,
        payload_bytes=len(data),
        block_networks=int(own is not None),
        block_networks_bytes=len(own or b""),
        found_blocks=1,
        leaves=((index, leaf_of(data)),),
    )


def missing_blocks(archive: Archive, finished: dict[Triple, EncodeStats]) -> list[Triple]:
    """Indices of the blocks that are still to be encoded, x fastest."""
    missing = [index for index in archive.blocks() if index not in finished]
    assert len(missing) + len(finished) == math.prod(archive.grid_shape)
    return missing
