"""Blocks that an interrupted run finished: found, checked, and not encoded again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from jaxslice.archive.seal import leaf_of
from jaxslice.archive.store import Archive
from jaxslice.codec import body, payload
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.jobs.encoding import EncodeStats

_READS = 16
"""Payloads that are read and checked at once."""


def finished_blocks(archive: Archive) -> dict[Triple, EncodeStats]:
    """The blocks of an unfinished archive that need not be encoded again.

    Each payload is read, and its checksum and place compared. What fails is no finished block.

    Args:
      archive: in a draft.

    Raises:
      OSError: the storage fails.
    """
    stored, found = set(_stored(archive)), {}
    objects = [blocks for index, blocks in archive.shards() if index in stored]
    with ThreadPoolExecutor(_READS, "jaxslice-resume") as pool:
        checks = pool.map(
            lambda blocks: [checked_block(archive, index) for index in blocks], objects
        )
        for blocks, stats in zip(objects, checks, strict=True):
            # A shard is written as a whole, or not at all.
            if None not in stats:
                found |= dict(zip(blocks, stats, strict=True))
    return found


def _stored(archive: Archive) -> Iterator[Triple]:
    """Indices of the objects that are there."""
    prefix = f"{archive.path}/c/"
    for key in archive.folder.list_keys(prefix):
        parts = key.removeprefix(prefix).split("/")
        if len(parts) == 3 and all(part.isdecimal() for part in parts):
            z, y, x = map(int, parts)
            yield (z, y, x)


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
