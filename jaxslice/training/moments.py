"""Second moments of a network's inputs and target, which least squares and whitening need."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.features import features_of
from jaxslice.codec.march import OUTSIDE
from jaxslice.training.training_set import TrainingSet, sample

_AT_ONCE = 1 << 13


@functools.partial(jax.jit, static_argnames=("architecture", "count"))
def moments(data: TrainingSet, key: jax.Array, architecture: Architecture, count: int) -> jax.Array:
    """Sums of products of all pairs of inputs and target, over drawn voxels.

    Voxels whose surroundings are flat are left out: nothing is to be learnt from them.

    Args:
      data: to draw from.
      key: of the draws.
      architecture: static.
      count: voxels to draw, rounded down to whole rounds of 8192 (at least one).

    Returns:
      float32 [c + 4, c + 4]: the order is differences, extras, 1, target. Those of several sets
      of voxels add up to those of all.
    """

    def add(index, total):
        contexts, symbol, _ = sample(jax.random.fold_in(key, index), data, architecture, _AT_ONCE)
        features = features_of(contexts, architecture)
        scale = features.gain / 64
        target = (symbol - features.reference).astype(jnp.float32) * scale
        rows = jnp.concatenate(
            [features.differences * scale[None], features.extras, jnp.ones_like(target)[None],
             target[None]]
        )  # fmt: skip
        counted = (symbol != OUTSIDE) & (features.activity > architecture.activity_offset)
        return total + (rows * counted.astype(jnp.float32)[None]) @ rows.T

    size = len(architecture.context) + NUM_FEATURES + 2
    return jax.lax.fori_loop(0, max(count // _AT_ONCE, 1), add, jnp.zeros((size, size)))
