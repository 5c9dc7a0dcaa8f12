"""Training sets: blocks in one array, from which random batches are sampled.

A batch consists of short rows of voxels at random places, with the context of each voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxslice.codec import level_tables
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.march import OUTSIDE
from jaxslice.core.errors import UsageError
from jaxslice.core.types import Volume

if TYPE_CHECKING:
    import jax

ROW_VOXELS = 32
"""Voxels along x in one row. Reading rows is faster than reading single voxels."""


class TrainingSet(NamedTuple):
    """Blocks to train on.

    Attributes:
      symbols: int16, of 16-bit voxels int32 [block, z, y, x]. Each block has a border of OUTSIDE
        as wide as the context reaches: before the block along z, on both sides along y and x.
        Slices that serve only as context replace part of the border along z.
      limits: int32 [block, z], alphabet size of each slice, 1 in the border.
      extents: int32 [block, 3], voxels along z, y and x of the part that is sampled. It begins
        where the border ends.
    """

    symbols: np.ndarray | jax.Array
    limits: np.ndarray | jax.Array
    extents: np.ndarray | jax.Array


def prepare(
    blocks: Sequence[Volume],
    architecture: Architecture,
    leads: Sequence[int] | None = None,
    shape: Sequence[int] | None = None,
) -> TrainingSet:
    """Builds a training set from blocks, on the host.

    Args:
      blocks: [z, y, x] each, of any shapes and the architecture's dtype.
      architecture: architecture whose context determines the border.
      leads: for each block the number of slices at its start that serve only as context, at most
        the reach of the context along z. If not given, 0 for each block.
      shape: (z, y, x) to which every block is padded, without the slices of `leads`. If not given,
        the largest size along each axis.

    Raises:
      UsageError: there are no blocks.
    """
    if not blocks:
        raise UsageError("Got no blocks to train on, expected at least one.")
    reach = reach_of(architecture)
    leads = leads or [0] * len(blocks)
    sizes = np.array([block.shape for block in blocks]) - np.array([[n, 0, 0] for n in leads])
    depth, height, width = sizes.max(axis=0) if shape is None else np.array(shape)
    whole = (depth + reach[0], height + 2 * reach[1], max(width, 1) + 2 * reach[2])
    levels = level_tables.of(architecture.dtype)
    symbols = np.full((len(blocks), *whole), OUTSIDE, architecture.symbol_dtype)
    limits = np.ones((len(blocks), whole[0]), np.int32)
    for index, (block, lead) in enumerate(zip(blocks, leads, strict=True)):
        tables = levels.choose(block)
        first = np.array([reach[0] - lead, reach[1], reach[2]])
        inside = tuple(slice(a, a + n) for a, n in zip(first, block.shape, strict=True))
        symbols[(index, *inside)] = levels.symbols_of(block, tables)
        limits[index, inside[0]] = levels.sizes(tables)
    return TrainingSet(symbols, limits, sizes.astype(np.int32))


def num_voxels(data: TrainingSet) -> int:
    """Voxels that are sampled: all but borders and slices that serve only as context."""
    return int(np.prod(np.asarray(data.extents).astype(np.int64), axis=1).sum())


def row_length(data: TrainingSet, architecture: Architecture) -> int:
    """Voxels in a row of `sample`: ROW_VOXELS, or the width of the blocks if that is smaller."""
    return min(ROW_VOXELS, data.symbols.shape[3] - 2 * reach_of(architecture)[2])


def sample(
    key: jax.Array,
    data: TrainingSet,
    architecture: Architecture,
    count: int,
    row_blocks: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Samples a batch of voxels, in rows of `row_length`.

    The random start of a row may lie up to half a row outside the block; the row is then moved
    inside. So the first and last voxels of a block are sampled nearly as often as the others.

    Args:
      key: random key.
      data: training set to sample from.
      architecture: architecture of the network (static).
      count: voxels, rounded down to whole rows, at least one row (static).
      row_blocks: int32 [row], the block of each row. If not given, the probability of a block is
        proportional to its number of voxels.

    Returns:
      (contexts, symbols, limits): float32 [c, n], int32 [n], int32 [n] for n sampled voxels.
      Symbols are OUTSIDE where a row reaches beyond the extent of its block.
    """
    import jax
    import jax.numpy as jnp

    blocks, depth, height, width = data.symbols.shape
    reach = reach_of(architecture)
    length = row_length(data, architecture)
    rows = max(count // length, 1)
    keys = jax.random.split(key, 4)
    if row_blocks is None:
        ends = jnp.cumsum(jnp.prod(data.extents.astype(jnp.float32), axis=1))
        drawn = jax.random.uniform(keys[0], (rows,)) * ends[-1]
        row_blocks = jnp.minimum(jnp.searchsorted(ends, drawn, side="right"), blocks - 1)
    extent = jnp.maximum(data.extents[row_blocks], 1)
    z = jax.random.randint(keys[1], (rows,), 0, extent[:, 0]) + reach[0]
    y = jax.random.randint(keys[2], (rows,), 0, extent[:, 1]) + reach[1]
    x = jax.random.randint(keys[3], (rows,), 0, extent[:, 2]) - length // 2
    x = jnp.clip(x, 0, jnp.maximum(extent[:, 2] - length, 0)) + reach[2]
    place = ((row_blocks * depth + z) * height + y) * width + x
    offsets = np.array(architecture.context)
    steps = (offsets[:, 0] * height + offsets[:, 1]) * width + offsets[:, 2]
    flat = data.symbols.reshape(-1)
    row_at = jax.vmap(lambda start: jax.lax.dynamic_slice(flat, (start,), (length,)))
    starts = place[None] + jnp.asarray(steps, jnp.int32)[:, None]
    contexts = row_at(starts.reshape(-1)).reshape(len(offsets), rows * length)
    symbol = row_at(place).reshape(-1).astype(jnp.int32)
    limit = jnp.repeat(data.limits[row_blocks, z], length)
    return contexts.astype(jnp.float32), symbol, limit


def reach_of(architecture: Architecture) -> tuple[int, int, int]:
    """Largest distance of a context voxel along z, y and x."""
    z, y, x = np.abs(np.array(architecture.context)).max(axis=0)
    return int(z), int(y), int(x)
