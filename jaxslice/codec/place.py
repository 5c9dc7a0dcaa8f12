"""The place of a block: which array it belongs to and where it is, and the digest of both.

A payload says its place, so that a block that was swapped, copied or left over is noticed.
"""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
import xxhash

from jaxslice.core.box import Triple

IDENTITY_BYTES = 8
_UNKNOWN: Triple = (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
_RECORD = struct.Struct("<8s3I3IB")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a block belongs.

    Attributes:
      identity: of its array, 8 bytes; zeros if it belongs to none.
      index: of the block in the chunk grid (z, y, x); None if it was written without knowledge of
        its index, as through zarr.
    """

    identity: bytes = bytes(IDENTITY_BYTES)
    index: Triple | None = None

    def __post_init__(self):
        """Checks the values, which are ours."""
        assert len(self.identity) == IDENTITY_BYTES
        assert self.index is None or all(0 <= i <= _UNKNOWN[0] for i in self.index)

    @property
    def packed_index(self) -> Triple:
        """The index as it is written: 2**32 - 1 along each axis where it is not known."""
        return _UNKNOWN if self.index is None else self.index

    @classmethod
    def unpack(cls, identity: bytes, packed_index: Triple) -> Place:
        """The place that a payload says."""
        return cls(identity, None if packed_index == _UNKNOWN else packed_index)


NOWHERE = Place()
"""The place of blocks that are encoded in memory and belong to no archive."""


def digest_of(block: np.ndarray, place: Place) -> int:
    """XXH3-64 of the place record and the voxels of a block.

    Args:
      block: uint8 or uint16 [z, y, x].
      place: of the block.
    """
    voxels = np.ascontiguousarray(block, block.dtype.newbyteorder("<"))
    digest = xxhash.xxh3_64(
        _RECORD.pack(place.identity, *place.packed_index, *block.shape, block.dtype.itemsize)
    )
    digest.update(voxels.reshape(-1).view(np.uint8).data)
    return digest.intdigest()
