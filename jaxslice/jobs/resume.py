"""Blocks that an interrupted run finished: found, checked, and not encoded again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor

from jaxslice.archive.seal import leaf_of
from jaxslice.archive.store import Archive
from jaxslice.codec import body, payload
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.jobs.encoding import EncodeStats

_READS = 16
"""Payloads that are read and checked at once."""


def finished_blocks(archive: Archive, numbers: range | None = None) -> dict[Triple, EncodeStats]:
    """The blocks of an unfinished archive that need not be encoded again.

    Each payload is read, and its checksum and place compared. What fails is no finished block.

    Args:
      archive: in a draft.
      numbers: of the objects to look at, see `Archive.shards`; all if None.

    Raises:
      OSError: the storage fails.
    """
    stored, found = set(_stored(archive, numbers)), {}
    objects = [blocks for index, blocks in archive.shards(numbers) if index in stored]
    with ThreadPoolExecutor(_READS, "jaxslice-resume") as pool:
        checks = pool.map(
            lambda blocks: [checked_block(archive, index) for index in blocks], objects
        )
        for blocks, stats in zip(objects, checks, strict=True):
            # A shard is written as a whole, or not at all.
            if None not in stats:
                found |= dict(zip(blocks, stats, strict=True))
    return found


def _stored(archive: Archive, numbers: range | None) -> Iterator[Triple]:
    """Indices of the objects that are there; of some, only in the layers that hold them."""
    layer = math.prod(archive.shard_grid[1:])
    layers = [""]
    if numbers is not None:
        layers = [f"{z}/" for z in range(numbers.start // layer, -(-numbers.stop // layer))]
    for prefix in layers:
        for key in archive.folder.list_keys(f"{archive.path}/c/{prefix}"):
            parts = key.removeprefix(f"{archive.path}/c/").split("/")
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


def missing_blocks(
    archive: Archive, finished: Container[Triple], numbers: range | None = None
) -> list[Triple]:
    """Indices of the blocks that are still to be encoded, those of an object together."""
    blocks = itertools.chain.from_iterable(some for _, some in archive.shards(numbers))
    return [index for index in blocks if index not in finished]
