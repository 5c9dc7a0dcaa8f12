"""The history of coded symbols, from which a march gathers its contexts.

Rows [block, place], one for each time step: a block's lanes between two margins that stay OUTSIDE.
"""

import jax
import jax.numpy as jnp

from jaxslice.codec.geometry import Geometry
from jaxslice.codec.march import OUTSIDE


def rows_of(lanes: jax.Array, geometry: Geometry) -> jax.Array:
    """Symbols [..., block, lane] as rows of the history [..., block, place]."""
    beside = [(0, 0)] * (lanes.ndim - 1) + [(geometry.margin, geometry.margin)]
    return jnp.pad(lanes, beside, constant_values=OUTSIDE)


def contexts_of(
    room: jax.Array,
    history: jax.Array,
    start: jax.Array | int,
    steps: int,
    geometry: Geometry,
    which: slice,
) -> jax.Array:
    """Contexts of the voxels of some time steps.

    What one context voxel is for all lanes and all of the steps lies in one piece of the history.
    The pieces are written into one array, one after the other. Concatenated they would be as many
    independent kernels, of which XLA's CPU backend hands half to another thread at every step.

    Args:
      room: int16 [c, t, block, lane], of which only the shape counts. A loop passes on what it got
        back, so that the array stays where it is.
      history: int16 [t, block, place].
      start: row of the first of the time steps.
      steps: how many time steps; every row that their lags reach must be in `history`.
      geometry: of the block.
      which: part of the context to gather.

    Returns:
      int16 [c, t, block, lane]: symbols, or OUTSIDE; below those gathered, what `room` holds.
    """
    first = jnp.asarray(start, jnp.int32)
    none, row = jnp.int32(0), 0
    for lag, dy, together in _pieces(geometry, which, join=steps == 1):
        piece = jax.lax.dynamic_slice(
            history,
            (first + lag, none, jnp.int32(geometry.margin + dy)),
            (together + steps - 1, geometry.blocks, geometry.lanes),
        )
        piece = piece.reshape(together, steps, geometry.blocks, geometry.lanes)
        room = jax.lax.dynamic_update_slice(room, piece, (jnp.int32(row), none, none, none))
        row += together
    return room


def _pieces(geometry: Geometry, which: slice, join: bool) -> list[tuple[int, int, int]]:
    """(lag of the first, dy, context voxels) of what can be taken from the history in one piece."""
    pieces: list[tuple[int, int, int]] = []
    for lag, (_, dy, _) in zip(geometry.lags[which], geometry.context[which], strict=True):
        if join and pieces and (lag, dy) == (pieces[-1][0] + pieces[-1][2], pieces[-1][1]):
            pieces[-1] = (*pieces[-1][:2], pieces[-1][2] + 1)
        else:
            pieces.append((lag, dy, 1))
    return pieces
