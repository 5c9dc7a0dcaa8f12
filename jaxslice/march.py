"""The sheared march: a block as an array [time, lane] in which the causal context is a set of lags.

    lane y = 0:  0 1 2 3 4 . . 0 1 2 3 4      (x of slice 0, a gap, x of slice 1)
    lane y = 1:  . . 0 1 2 3 4 . . 0 1 2 3 4
    lane y = 2:  . . . . 0 1 2 3 4 . . 0 1 2 3 4
                 time ->

All lanes code one voxel at each time step. When lane y is at x, lane y - 1 has just finished x + 1,
so the neighbours to the upper left, above and to the upper right are known.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.config import Geometry
from jaxslice.types import Sheared

OUTSIDE = -1
"""Stands for a voxel that is not there."""


def shear(blocks: np.ndarray, geometry: Geometry) -> Sheared:
    """Lays blocks out in the order of the march, side by side.

    Args:
      blocks: int16 [block, z, y, x], as many and of the shape that `geometry` says.
      geometry: of the blocks.

    Returns:
      int16 [t, place], `geometry.num_rows` rows of `geometry.row_width`; OUTSIDE where a lane rests
      and in the places beside the lanes.
    """
    sheared = np.full((geometry.num_rows, geometry.row_width), OUTSIDE, np.int16)
    voxels_of(sheared, geometry)[...] = blocks
    return sheared


def unshear(sheared: Sheared, geometry: Geometry) -> np.ndarray:
    """The inverse of `shear`."""
    return np.ascontiguousarray(voxels_of(sheared, geometry))


def voxels_of(sheared: Sheared, geometry: Geometry) -> np.ndarray:
    """The sheared voxels seen as [block, z, y, x]: no copy, writing there writes to `sheared`."""
    step, place = sheared.strides
    depth, height, width = geometry.block_shape
    return np.lib.stride_tricks.as_strided(
        sheared,
        (geometry.blocks, depth, height, width),
        (geometry.lane_pitch * place, geometry.pitch * step, 2 * step + place, step),
    )


def contexts_of(
    room: jax.Array,
    history: jax.Array,
    start: jax.Array | int,
    steps: int,
    geometry: Geometry,
    which: slice,
) -> jax.Array:
    """Contexts of the voxels of some time steps.

    In a history without gaps between its rows, what one context voxel is for all lanes and all of
    the steps lies in one piece. The places beside the lanes keep lanes from reading each other
    across the block's border; a lane below 0 reads those of the row before.

    The pieces are written into one array, one after the other. Concatenated they would be as many
    independent kernels, of which XLA's CPU backend hands half to another thread at every step.

    Args:
      room: int16 [c, n], of which only the shape counts. A loop passes on what it got back, so that
        the array stays where it is.
      history: int16 [place], rows of `geometry.row_width`.
      start: row of the first of the time steps.
      steps: how many time steps; every row that their lags reach must be in `history`, and the
        row before it.
      geometry: of the block.
      which: part of the context to gather.

    Returns:
      int16 [c, n], n = steps * row_width: symbols, or OUTSIDE; below the c that were gathered, what
      `room` holds.
    """
    width = geometry.row_width
    first = jnp.asarray(start, jnp.int32) * width
    row = 0
    for offset, together in _pieces(geometry, which, join=steps == 1):
        size = together * steps * width
        piece = jax.lax.dynamic_slice(history, (first + offset,), (size,))
        place = (jnp.int32(row), jnp.int32(0))
        room = jax.lax.dynamic_update_slice(room, piece.reshape(together, -1), place)
        row += together
    return room


def _pieces(geometry: Geometry, which: slice, join: bool) -> list[tuple[int, int]]:
    """(distance in the history, context voxels) of what can be taken from it in one piece."""
    pieces: list[tuple[int, int]] = []
    for lag, (_, dy, _) in zip(geometry.lags[which], geometry.context[which], strict=True):
        offset = lag * geometry.row_width + dy
        if join and pieces and offset == pieces[-1][0] + pieces[-1][1] * geometry.row_width:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + 1)
        else:
            pieces.append((offset, 1))
    return pieces
