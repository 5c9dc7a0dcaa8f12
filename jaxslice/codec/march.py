"""The sheared march: a block as an array [time, lane] in which the causal context is a set of lags.

    lane y = 0:  0 1 2 3 4 . . 0 1 2 3 4      (x of slice 0, a gap, x of slice 1)
    lane y = 1:  . . 0 1 2 3 4 . . 0 1 2 3 4
    lane y = 2:  . . . . 0 1 2 3 4 . . 0 1 2 3 4
                 time ->

All lanes code one voxel at each time step. When lane y is at x, lane y - 1 has just finished x + 1,
so the neighbours to the upper left, above and to the upper right are known. That is a shear of 2;
with one of s, lane y - 1 is s - 1 ahead, and more is known to the upper right.
"""

import numpy as np

from jaxslice.codec.geometry import Geometry
from jaxslice.core.types import Sheared

OUTSIDE = -1
"""Stands for a voxel that is not there."""


def shear(blocks: np.ndarray, geometry: Geometry) -> Sheared:
    """Lays blocks out in the order of the march, side by side.

    Args:
      blocks: int16 [block, z, y, x], as many and of the shape that `geometry` says.
      geometry: of the blocks.

    Returns:
      int16 [t, block, place], `geometry.num_rows` rows as the history has them: OUTSIDE where a
      lane rests and in the margins.
    """
    shape = (geometry.num_rows, geometry.blocks, geometry.lane_pitch)
    sheared = np.full(shape, OUTSIDE, np.int16)
    voxels_of(sheared[:, :, geometry.margin :], geometry)[...] = blocks
    return sheared


def unshear(sheared: Sheared, geometry: Geometry) -> np.ndarray:
    """The blocks int16 [block, z, y, x] of lanes [t, block, lane]."""
    return np.ascontiguousarray(voxels_of(sheared, geometry))


def voxels_of(sheared: Sheared, geometry: Geometry) -> np.ndarray:
    """Lanes [t, block, lane] seen as voxels [block, z, y, x]: writing there writes to `sheared`."""
    step, block, lane = sheared.strides
    depth, height, width = geometry.block_shape
    return np.lib.stride_tricks.as_strided(
        sheared,
        (geometry.blocks, depth, height, width),
        (block, geometry.pitch * step, geometry.shear * step + lane, step),
    )
