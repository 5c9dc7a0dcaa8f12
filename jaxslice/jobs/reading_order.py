"""In which order blocks are encoded, so that the source's chunks are fetched once.

A chunk that lies across the border of blocks is kept until the last of them was read. How many are
kept at a time depends on the order: along its slowest axis they make a whole plane of the volume.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from jaxslice.core.box import Box, Triple
from jaxslice.volumes.chunk_cache import Chunking

ALIGNED_ABOVE_BYTES = 2**30
"""Memory for chunks across the borders of blocks from which on blocks are aligned."""

MOST_FILLING = 1.25
"""Voxels that aligned blocks may have, as a multiple of those of the usual ones."""

_ALONG = (0, 1, 2)


def best_order(box: Box, block_shape: Triple, chunking: Chunking) -> tuple[Triple, int]:
    """The order of the axes that keeps the fewest chunks, and the bytes of these.

    Args:
      box: of the voxels, in global coordinates; blocks begin at its start.
      block_shape: of the blocks.
      chunking: of the source.

    Returns:
      The axes, the slowest first, and the bytes. What is fetched ahead is not counted.
    """
    orders: list[Triple] = [(a, b, c) for a, b, c in itertools.permutations(_ALONG)]
    needed = {order: _kept_bytes(order, box, block_shape, chunking) for order in orders}
    # z, y, x where others are no better.
    best = min(orders, key=lambda order: (needed[order], order))
    return best, needed[best]


def in_order(indices: Iterable[Triple], order: Triple) -> list[Triple]:
    """Indices of blocks, sorted along the axes of an order, the slowest first."""
    return sorted(indices, key=lambda index: [index[axis] for axis in order])


def ahead_bytes(block_shape: Triple, chunking: Chunking, blocks: int) -> int:
    """Bytes of the chunks of some blocks that are being read."""
    sizes = [
        n + (0 if n % c == 0 else 2 * c) for n, c in zip(block_shape, chunking.shape, strict=True)
    ]
    return blocks * math.prod(sizes) * chunking.itemsize


def _kept_bytes(order: Triple, box: Box, block_shape: Triple, chunking: Chunking) -> int:
    """Bytes of the chunks that wait for a later block."""
    slowest, middle, fastest = order
    thick = [
        chunking.shape[axis] if _straddles(axis, box, block_shape, chunking) else 0
        for axis in _ALONG
    ]
    # What is fetched of a volume along an axis, and of a row of blocks.
    whole = [n + 2 * c for n, c in zip(box.shape, thick, strict=True)]
    row = [min(b, n) + 2 * c for b, n, c in zip(block_shape, box.shape, thick, strict=True)]
    voxels = thick[slowest] * whole[middle] * whole[fastest]
    voxels += row[slowest] * thick[middle] * whole[fastest]
    voxels += row[slowest] * row[middle] * thick[fastest]
    return voxels * chunking.itemsize


def _straddles(axis: int, box: Box, block_shape: Triple, chunking: Chunking) -> bool:
    """Whether chunks lie across the borders of blocks along an axis."""
    block, chunk = block_shape[axis], chunking.shape[axis]
    first = box.start[axis] + block
    borders = range(first, box.stop[axis], block)
    return any((border - chunking.origin[axis]) % chunk for border in borders[:chunk])


def aligned_block_shape(block_shape: Triple, box: Box, chunking: Chunking) -> Triple:
    """Blocks whose borders are borders of chunks, where that saves fetching.

    It does where chunks across borders take so much memory that they may not all be kept, unless
    many more voxels than there are would be coded, which fill up the last blocks.

    Args:
      block_shape: usual for the volume.
      box: of its voxels, in global coordinates.
      chunking: of the source.
    """
    needed = best_order(box, block_shape, chunking)[1]
    if needed <= ALIGNED_ABOVE_BYTES:
        return block_shape
    z, y, x = (
        _aligned(block_shape[axis], box.shape[axis], chunking.shape[axis])
        if _straddles(axis, box, block_shape, chunking)
        else block_shape[axis]
        for axis in _ALONG
    )
    saves = best_order(box, (z, y, x), chunking)[1] < needed
    fills = _coded_voxels((z, y, x), box) <= MOST_FILLING * _coded_voxels(block_shape, box)
    return (z, y, x) if saves and fills else block_shape


def _aligned(block: int, size: int, chunk: int) -> int:
    """The multiple of a chunk that is closest to the length of a block."""
    return min(max(chunk, round(block / chunk) * chunk), size)


def _coded_voxels(block_shape: Triple, box: Box) -> int:
    return math.prod(-(-n // b) * b for n, b in zip(box.shape, block_shape, strict=True))
