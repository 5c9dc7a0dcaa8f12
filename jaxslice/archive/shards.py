"""Shards: objects that hold many blocks, in the format of Zarr's codec `sharding_indexed`.

    payloads, one after the other | index: offset and length of each | CRC32C of the index

The index lists all blocks of the shard, x fastest. Reading a block takes one read of the index and
one of the payload.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from jaxslice.codec.limits import MAX_SHARD_BLOCKS
from jaxslice.core.box import Triple
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError
from jaxslice.core.shorten import short_repr

SHARDING = "sharding_indexed"
"""Name of Zarr's codec."""

INDEX_CODECS: list[dict[str, Any]] = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "crc32c"},
]


def sharding_codec(block_shape: Triple, codec: dict[str, Any]) -> dict[str, Any]:
    """Zarr's codec for shards of blocks that `codec` codes, as a JSON object."""
    sharding = {
        "chunk_shape": list(block_shape),
        "codecs": [codec],
        "index_codecs": INDEX_CODECS,
        "index_location": "end",
    }
    return {"name": SHARDING, "configuration": sharding}


def check_sharding(sharding: dict[str, Any], block_shape: Triple, shard_shape: Triple) -> None:
    """Refuses shards of another layout than ours (FormatError).

    Args:
      sharding: configuration of Zarr's codec.
      block_shape: that it says.
      shard_shape: of the array's objects.
    """
    codecs, location = sharding["index_codecs"], sharding.get("index_location", "end")
    names = [codec["name"] for codec in codecs]
    known = names == [codec["name"] for codec in INDEX_CODECS] and location == "end"
    if not known or codecs[0]["configuration"]["endian"] != "little":
        raise FormatError(
            f"Got shards with the index {short_repr((codecs, location))}, expected {INDEX_CODECS}, "
            "at the end."
        )
    check_shards(block_shape, shard_shape)


def check_shards(block_shape: Triple, shard_shape: Triple) -> None:
    """Refuses shards that are not made of whole blocks, or of too many (FormatError)."""
    sizes = list(zip(shard_shape, block_shape, strict=True))
    whole = all(block > 0 and shard > 0 and shard % block == 0 for shard, block in sizes)
    if not whole or math.prod(s // b for s, b in sizes) > MAX_SHARD_BLOCKS:
        raise FormatError(
            f"Got shards of {short_repr(shard_shape)} and blocks of {short_repr(block_shape)}, "
            f"expected whole blocks, at most {MAX_SHARD_BLOCKS}."
        )


Index: TypeAlias = np.ndarray
"""uint64 [block, 2]: offset and length of each payload; ABSENT for one that is not there."""

ABSENT = 2**64 - 1

_LARGEST_OBJECT = 2**63 - 1
"""Bytes of an object: storage counts them with a sign."""

_KEPT_INDICES = 64


def index_bytes(blocks: Triple) -> int:
    """Size of the index of a shard, with its checksum.

    Args:
      blocks: of a shard along z, y and x.
    """
    return 16 * math.prod(blocks) + 4


def place_in_shard(index: Triple, blocks: Triple) -> tuple[Triple, int]:
    """The shard that holds a block, and the number of the block in it.

    Args:
      index: of the block.
      blocks: of a shard along z, y and x.
    """
    z, y, x = (i // n for i, n in zip(index, blocks, strict=True))
    local = [i % n for i, n in zip(index, blocks, strict=True)]
    return (z, y, x), (local[0] * blocks[1] + local[1]) * blocks[2] + local[2]


def pack_shard(payloads: Mapping[Triple, bytes], blocks: Triple) -> bytes:
    """The bytes of a shard.

    Args:
      payloads: of its blocks, by their indices; in the shard they are in order.
      blocks: of a shard along z, y and x.
    """
    index = np.full((math.prod(blocks), 2), ABSENT, "<u8")
    offset, parts = 0, []
    for block in sorted(payloads):
        payload = payloads[block]
        index[place_in_shard(block, blocks)[1]] = offset, len(payload)
        parts.append(payload)
        offset += len(payload)
    packed = index.tobytes()
    return b"".join([*parts, packed, crc32c(packed).to_bytes(4, "little")])


def unpack_index(data: bytes, blocks: Triple) -> Index:
    """Reads the index at the end of a shard.

    Args:
      data: the last `index_bytes` of the shard.
      blocks: of a shard along z, y and x.

    Raises:
      ChecksumError: it is damaged.
      FormatError: the shard is shorter than an index.
    """
    if len(data) != index_bytes(blocks):
        raise FormatError(
            f"Got a shard of {len(data)} bytes, expected at least {index_bytes(blocks)}: truncated?"
        )
    if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise ChecksumError("Got a shard whose index does not match its CRC32C: damaged.")
    return np.frombuffer(data, "<u8", offset=0, count=2 * math.prod(blocks)).reshape(-1, 2)


def part_of(index: Index, number: int) -> slice | None:
    """Where the payload of a block lies in its shard; None if it is not there.

    Raises:
      FormatError: where no object has bytes.
    """
    offset, length = (int(value) for value in index[number])
    if offset == ABSENT:
        return None
    if offset + length > _LARGEST_OBJECT:
        raise FormatError(f"Got a payload of {length} bytes at {offset}, beyond any shard.")
    return slice(offset, offset + length)


class IndexCache:
    """Keeps the indices of the shards that were read last. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Triple, Index] = OrderedDict()

    def forget(self) -> None:
        """Keeps none any more."""
        with self._lock:
            self._kept.clear()

    def get(self, shard: Triple, read: Callable[[], Index | None]) -> Index | None:
        """The index of a shard, read unless it is kept; None if there is no such shard."""
        with self._lock:
            if shard in self._kept:
                self._kept.move_to_end(shard)
                return self._kept[shard]
        found = read()
        if found is not None:
            with self._lock:
                self._kept[shard] = found
                while len(self._kept) > _KEPT_INDICES:
                    self._kept.popitem(last=False)
        return found
