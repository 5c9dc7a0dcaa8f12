"""The sheared march: the order [time, lane] of coding in which contexts are constant lags.

    lane y = 0:  0 1 2 3 4 . . 0 1 2 3 4      (x of slice 0, a gap, x of slice 1)
    lane y = 1:  . . 0 1 2 3 4 . . 0 1 2 3 4
    lane y = 2:  . . . . 0 1 2 3 4 . . 0 1 2 3 4
                 time ->

Each lane codes one voxel at each time step. The drawing has a shear of 2: when lane y codes x, lane
y - 1 has coded x + 1, so the neighbours to the upper left, above and to the upper right are known.
With a shear of s, lane y - 1 is s - 1 voxels ahead, and more voxels to the upper right are known.
"""

import numpy as np

from jaxslice.codec.geometry import Geometry
from jaxslice.core.types import Extents, Sheared

OUTSIDE = -1
"""Symbol of voxels outside the block's extent."""


def shear(blocks: np.ndarray, extents: Extents, geometry: Geometry, dtype: np.dtype) -> Sheared:
    """Arranges the symbols of blocks in the order of the march.

    Args:
      blocks: [block, z, y, x], with the shape in `geometry`; beyond the extents anything.
      extents: of the blocks.
      geometry: geometry of the blocks.
      dtype: int16 or int32, which has OUTSIDE.

    Returns:
      [t, block, place] of that dtype, `geometry.num_rows` rows of the history, OUTSIDE where a lane
      is idle, beyond the extents and in the margins.
    """
    shape = (geometry.num_rows, geometry.blocks, geometry.lane_pitch)
    sheared = np.full(shape, OUTSIDE, dtype)
    voxels = voxels_of(sheared[:, :, geometry.margin :], geometry)
    for block, (depth, height, width) in enumerate(extents):
        inside = (block, slice(depth), slice(height), slice(width))
        voxels[inside] = blocks[inside]
    return sheared


def unshear(sheared: Sheared, geometry: Geometry) -> np.ndarray:
    """The inverse of `shear`: from lanes [t, block, lane] to blocks [block, z, y, x]."""
    return np.ascontiguousarray(voxels_of(sheared, geometry))


def voxels_of(sheared: Sheared, geometry: Geometry) -> np.ndarray:
    """A view of lanes [t, block, lane] as voxels [block, z, y, x]; writes go to `sheared`."""
    step, block, lane = sheared.strides
    depth, height, width = geometry.block_shape
    return np.lib.stride_tricks.as_strided(
        sheared,
        (geometry.blocks, depth, height, width),
        (block, geometry.pitch * step, geometry.shear * step + lane, step),
    )
