"""Which parts of a volume a network is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxslice.codec import slices
from jaxslice.core.box import Box, Triple
from jaxslice.core.types import Volume
from jaxslice.volumes.source import Source

PATCH_DEPTH = 16
"""Most slices of a patch: fewer than a block has, so that patches of more blocks fit into
memory."""

LARGEST_SIDE = 512
"""Most voxels of a patch along y and along x."""


class Patch(NamedTuple):
    """Voxels to train on, with the context that they have in their block.

    Attributes:
      voxels: uint8 [z, y, x].
      lead: how many of the first slices only serve as context for the rest.
    """

    voxels: Volume
    lead: int


def sample_patches(
    volume: Source, block_shape: Triple, count: int, reach: int, seed: int
) -> list[Patch]:
    """Draws patches from the blocks of a volume, none twice.

    Blocks are cut along z. A patch that is not the first of its block brings the slices before it
    that its context reads, but nothing of neighbouring blocks: a block is coded without them.

    Args:
      volume: to read from.
      block_shape: of its blocks.
      count: of patches; fewer where the volume has no more.
      reach: slices that the context reaches back.
      seed: of the draw.

    Raises:
      SourceDataError: voxels that cannot be read.
    """
    depth, height, width = (
        -(-size // -(-size // most))
        for size, most in zip(block_shape, (PATCH_DEPTH, LARGEST_SIDE, LARGEST_SIDE), strict=True)
    )
    shape = (depth, height, width)
    grid = [-(-n // b) for n, b in zip(volume.shape, block_shape, strict=True)]
    parts = [-(-b // p) for b, p in zip(block_shape, shape, strict=True)]
    places = math.prod(grid) * math.prod(parts)
    # Some places lie outside a volume whose last blocks are not full, so more are drawn.
    drawn = np.random.default_rng(seed).choice(places, min(places, 4 * count), replace=False)
    patches: list[Patch] = []
    for flat in drawn:
        index = np.unravel_index(flat, (*grid, *parts))
        block = Box.of_shape(block_shape, _place(volume.box.start, index[:3], block_shape))
        patch = Box.of_shape(shape, _place(block.start, index[3:], shape))
        patch = patch.intersect(block).intersect(volume.box)
        if patch.size and len(patches) < count:
            z, y, x = patch.start
            lead = min(reach, z - block.start[0])
            voxels = volume.read(Box((z - lead, y, x), patch.stop))
            patches.append(without_repeats(Patch(voxels, lead)))
    return patches


def without_repeats(patch: Patch) -> Patch:
    """The patch without slices that an encoder leaves out, unless it leaves out all."""
    table = slices.find(patch.voxels)
    if table is None or table.coded.max(initial=-1) < patch.lead:
        return patch
    lead = int(np.count_nonzero(table.coded < patch.lead))
    return Patch(patch.voxels[table.coded], lead)


def _place(origin: Triple, index: Sequence[np.integer], shape: Triple) -> Triple:
    """Where the box of a grid begins that has `index`."""
    z, y, x = (o + int(i) * n for o, i, n in zip(origin, index, shape, strict=True))
    return (z, y, x)
