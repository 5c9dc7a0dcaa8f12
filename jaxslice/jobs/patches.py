"""Which parts of a volume a network is trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxslice.codec import slices
from jaxslice.core.box import Box, Triple
from jaxslice.core.types import Volume
from jaxslice.volumes.source import Source

PATCH_DEPTH = 16
"""Most slices of a patch: fewer than a block has, so that patches of more blocks fit into
memory."""

TRIES = 24
"""Most places that are looked at for each patch that is wanted."""

LEAST_FILLED = 1 / 16
"""Part of a patch that must be something, while there are such patches."""

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

    Patches come from where there is something: of a volume that is mostly black, masked or
    saturated, the network is to learn the rest, since black costs nothing anyway.

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
    patches: list[Patch] = []
    sparse: list[tuple[float, Box, int]] = []
    for flat in _drawn(places, count, seed):
        if len(patches) == count:
            return patches
        index = np.unravel_index(flat, (*grid, *parts))
        block = Box.of_shape(block_shape, _place(volume.box.start, index[:3], block_shape))
        patch = Box.of_shape(shape, _place(block.start, index[3:], shape))
        patch = patch.intersect(block).intersect(volume.box)
        if not patch.size:
            continue
        z, y, x = patch.start
        lead = min(reach, z - block.start[0])
        whole = Box((z - lead, y, x), patch.stop)
        filled = filled_part(volume, patch)
        if filled < LEAST_FILLED:
            sparse.append((filled, whole, lead))
        else:
            patches.append(without_repeats(Patch(volume.read(whole), lead)))
    # The fullest of the others, where some have anything; one at least.
    sparse.sort(key=lambda item: -item[0])
    for filled, whole, lead in sparse[: count - len(patches)]:
        if filled > 0 or not patches:
            patches.append(without_repeats(Patch(volume.read(whole), lead)))
    return patches


def _drawn(places: int, count: int, seed: int) -> Iterator[int]:
    """Places, none twice: some lie outside a volume whose last blocks are not full.

    If they do not suffice, because nothing is there, many more follow.
    """
    generator = np.random.default_rng(seed)
    first = generator.choice(places, min(places, 4 * count), replace=False)
    yield from first
    more = generator.choice(places, min(places, TRIES * count), replace=False)
    yield from more[~np.isin(more, first)]


def filled_part(volume: Source, patch: Box) -> float:
    """The part of a patch's middle slice that is not just the slice's most common level."""
    (z0, y0, x0), (z1, y1, x1) = patch.start, patch.stop
    middle = (z0 + z1 - 1) // 2
    levels = volume.read(Box((middle, y0, x0), (middle + 1, y1, x1))).ravel()
    return 1 - np.bincount(levels).max() / levels.size


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
