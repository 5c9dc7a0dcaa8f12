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

from jaxslice.config import Geometry
from jaxslice.types import Contexts, Sheared, Symbols

OUTSIDE = -1
"""Stands for a voxel that is not there."""


def shear(block: Symbols, geometry: Geometry) -> Sheared:
    """Lays a block out in the order of the march; steps at which a lane rests hold OUTSIDE."""
    depth, height, width = block.shape
    rows = jnp.pad(block, ((0, 0), (0, 0), (0, geometry.pitch - width)), constant_values=OUTSIDE)
    rows = rows.transpose(1, 0, 2).reshape(height, depth * geometry.pitch)
    # A row of `steps + 2` read as one of `steps` moves each lane two steps behind the one above.
    steps = rows.shape[1] + 2 * (height - 1)
    rows = jnp.pad(rows, ((0, 0), (0, 2 * height)), constant_values=OUTSIDE)
    lanes = rows.reshape(-1)[: height * steps].reshape(height, steps)
    return lanes[:, : geometry.num_steps].T


def unshear(sheared: Sheared, geometry: Geometry) -> Symbols:
    """The inverse of `shear`."""
    depth, height, width = geometry.block_shape
    steps = depth * geometry.pitch + 2 * (height - 1)
    lanes = jnp.pad(sheared.T, ((0, 0), (0, steps - geometry.num_steps)))
    rows = jnp.pad(lanes.reshape(-1), (0, 2 * height)).reshape(height, steps + 2)
    rows = rows[:, : depth * geometry.pitch].reshape(height, depth, geometry.pitch)
    return rows.transpose(1, 0, 2)[:, :, :width]


def with_borders(sheared: Sheared, geometry: Geometry) -> Sheared:
    """Adds the rows and lanes of OUTSIDE that contexts at the block's borders reach into."""
    borders = ((geometry.lead, 0), (geometry.margin, geometry.margin))
    return jnp.pad(sheared, borders, constant_values=OUTSIDE)


def contexts_of(history: Sheared, steps: int, geometry: Geometry, which: slice) -> Contexts:
    """Contexts of the voxels of the `steps` time steps that begin `lead` rows into `history`.

    Args:
      history: int16 [lead + ..., margin + lane + margin]: rows before the first of the steps, and
        as many after it as the lags reach.
      steps: how many time steps.
      geometry: of the block.
      which: part of the context to gather.

    Returns:
      float32 [step, c, lane]: symbols, or OUTSIDE.
    """
    lanes = geometry.block_shape[1]
    rows = [
        jax.lax.slice(
            history,
            (geometry.lead + lag, geometry.margin + dy),
            (geometry.lead + lag + steps, geometry.margin + dy + lanes),
        )
        for lag, (_, dy, _) in zip(geometry.lags[which], geometry.context[which], strict=True)
    ]
    if not rows:
        return jnp.zeros((steps, 0, lanes), jnp.float32)
    return jnp.stack(rows, axis=1).astype(jnp.float32)
