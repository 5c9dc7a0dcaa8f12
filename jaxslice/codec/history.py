"""The history of coded symbols, from which contexts are gathered.

The history has one row [block, place] for each time step. A row holds the lanes of each block
between two margins, whose places are always OUTSIDE.
"""

import jax
import jax.numpy as jnp

from jaxslice.codec.geometry import Geometry
from jaxslice.codec.march import OUTSIDE


def rows_of(lanes: jax.Array, geometry: Geometry) -> jax.Array:
    """Adds margins to symbols [..., block, lane]: rows of the history [..., block, place]."""
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
    """Gathers the contexts of the voxels of several time steps.

    For one context voxel, the values of all lanes and time steps are one slice of the history. The
    slices are written into one array in sequence. A concatenation would compile to independent
    kernels, which XLA's CPU backend distributes over threads at every time step.

    Args:
      room: int16 [c, t, block, lane], the array to write to. A loop passes the result of the
        previous iteration, so that XLA reuses its memory.
      history: int16 [t, block, place].
      start: row of the first time step.
      steps: number of time steps. All rows that their lags reach must be in `history`.
      geometry: geometry of the blocks.
      which: part of the context to gather.

    Returns:
      int16 [c, t, block, lane]: symbols or OUTSIDE for the context voxels of `which`, followed by
      the values in `room`.
    """
    first = jnp.asarray(start, jnp.int32)
    none, row = jnp.int32(0), 0
    for lag, dy, together in _slices(geometry, which, join=steps == 1):
        part = jax.lax.dynamic_slice(
            history,
            (first + lag, none, jnp.int32(geometry.margin + dy)),
            (together + steps - 1, geometry.blocks, geometry.lanes),
        )
        part = part.reshape(together, steps, geometry.blocks, geometry.lanes)
        room = jax.lax.dynamic_update_slice(room, part, (jnp.int32(row), none, none, none))
        row += together
    return room


def _slices(geometry: Geometry, which: slice, join: bool) -> list[tuple[int, int, int]]:
    """The slices of the history to read: (first lag, dy, number of context voxels) of each.

    Args:
      geometry: geometry of the blocks.
      which: part of the context to gather.
      join: whether context voxels with the same dy and successive lags share a slice.
    """
    slices: list[tuple[int, int, int]] = []
    for lag, (_, dy, _) in zip(geometry.lags[which], geometry.context[which], strict=True):
        if join and slices and (lag, dy) == (slices[-1][0] + slices[-1][2], slices[-1][1]):
            slices[-1] = (*slices[-1][:2], slices[-1][2] + 1)
        else:
            slices.append((lag, dy, 1))
    return slices
