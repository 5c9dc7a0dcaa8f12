"""Which parts of a volume a network is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.types import Volume
from jaxslice.volumes.source import Source

PIECE_DEPTH = 16
"""Most slices of a piece: fewer than a block has, so that pieces of more blocks fit into memory."""

LARGEST_SIDE = 512
"""Most voxels of a piece along y and along x."""


class Piece(NamedTuple):
    """Voxels to train on, seen as the block that they are of will be coded.

    Attributes:
      voxels: uint8 [z, y, x].
      lead: how many of the first slices only serve as context for the rest.
    """

    voxels: Volume
    lead: int


def sample_pieces(
    volume: Source, block_shape: Triple, count: int, reach: int, seed: int
) -> list[Piece]:
    """Draws pieces from the blocks of a volume, none twice.

    Blocks are cut along z. A piece that is not the first of its block brings the slices before it
    that its context reads, but nothing of neighbouring blocks: a block is coded without them.

    Args:
      volume: to read from.
      block_shape: of its blocks.
      count: of pieces; fewer where the volume has no more.
      reach: slices that the context reaches back.
      seed: of the draw.

    Raises:
      SourceDataError: voxels that cannot be read.
    """
    depth, height, width = (
        -(-size // -(-size // most))
        for size, most in zip(block_shape, (PIECE_DEPTH, LARGEST_SIDE, LARGEST_SIDE), strict=True)
    )
    shape = (depth, height, width)
    grid = [-(-n // b) for n, b in zip(volume.shape, block_shape, strict=True)]
    parts = [-(-b // p) for b, p in zip(block_shape, shape, strict=True)]
    places = math.prod(grid) * math.prod(parts)
    # Some places lie outside a volume whose last blocks are not full, so more are drawn.
    drawn = np.random.default_rng(seed).choice(places, min(places, 4 * count), replace=False)
    pieces: list[Piece] = []
    for flat in drawn:
        index = np.unravel_index(flat, (*grid, *parts))
        block = Box.of_shape(block_shape, _place(volume.box.start, index[:3], block_shape))
        piece = Box.of_shape(shape, _place(block.start, index[3:], shape))
        piece = piece.intersect(block).intersect(volume.box)
        if piece.size and len(pieces) < count:
            z, y, x = piece.start
            lead = min(reach, z - block.start[0])
            pieces.append(Piece(volume.read(Box((z - lead, y, x), piece.stop)), lead))
    return pieces


def _place(origin: Triple, index: Sequence[np.integer], shape: Triple) -> Triple:
    """Where the box of a grid begins that has `index`."""
    z, y, x = (o + int(i) * n for o, i, n in zip(origin, index, shape, strict=True))
    return (z, y, x)
