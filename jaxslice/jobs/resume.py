"""Blocks that an interrupted run finished: found, checked, and not encoded again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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
    present = sorted(_present(archive))
    with ThreadPoolExecutor(_READS, "jaxslice-resume") as pool:
        found = pool.map(lambda index: _checked(archive, index), present)
        return {
            index: stats for index, stats in zip(present, found, strict=True) if stats is not None
        }


def _present(archive: Archive) -> Iterator[Triple]:
    """Indices of the objects that are there."""
    prefix = f"{archive.path}/c/"
    limits = archive.grid_shape
    for key in archive.folder.list_keys(prefix):
        parts = key.removeprefix(prefix).split("/")
        if len(parts) == 3 and all(part.isdecimal() for part in parts):
            z, y, x = map(int, parts)
            if all(i < n for i, n in zip((z, y, x), limits, strict=True)):
                yield (z, y, x)


def _checked(archive: Archive, index: Triple) -> EncodeStats | None:
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
    )


def missing_blocks(archive: Archive, finished: dict[Triple, EncodeStats]) -> list[Triple]:
    """Indices of the blocks that are still to be encoded, x fastest."""
    missing = [index for index in archive.blocks() if index not in finished]
    assert len(missing) + len(finished) == math.prod(archive.grid_shape)
    return missing
