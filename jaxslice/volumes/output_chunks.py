"""The chunks of a volume that is written block by block: each block is made of whole ones."""

from __future__ import annotations

import math

from jaxslice.core.box import Triple

_MOST = 64
_FEWEST_VOXELS = 1 << 15
_MOST_HALVINGS = 3


def chunks_of_block(block_shape: Triple) -> Triple:
    """Chunks of at most 64 along each axis that divide the block; the block where none do."""
    z, y, x = (
        next(n for n in range(min(_MOST, size), 0, -1) if size % n == 0) for size in block_shape
    )
    return (z, y, x) if min(z, y, x) >= 8 else block_shape


def sharded_chunks(block_shape: Triple, shape: Triple) -> tuple[Triple, Triple]:
    """Chunks, and shards that hold the chunks of one block each.

    A block is halved equally often along each axis, as the chunks of a precomputed shard must be,
    and not so often that its chunks become small.

    Args:
      block_shape: what is written at once.
      shape: of the volume.

    Returns:
      The shape of a chunk, and that of a shard.
    """
    for halvings in range(_MOST_HALVINGS, 0, -1):
        parts = 1 << halvings
        even = all(
            block % parts == 0 or block >= size
            for block, size in zip(block_shape, shape, strict=True)
        )
        z, y, x = (-(-block // parts) for block in block_shape)
        if even and math.prod((z, y, x)) >= _FEWEST_VOXELS:
            return (z, y, x), (z * parts, y * parts, x * parts)
    return block_shape, block_shape
