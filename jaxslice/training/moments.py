"""Second moments of a network's inputs and target, for least squares and preconditioning."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.features import features_of
from jaxslice.codec.march import OUTSIDE
from jaxslice.training.training_set import TrainingSet, sample

_BATCH_VOXELS = 1 << 13


@functools.partial(jax.jit, static_argnames=("architecture", "count"))
def moments(data: TrainingSet, key: jax.Array, architecture: Architecture, count: int) -> jax.Array:
    """Sums over sampled voxels of the products of all pairs of inputs and target.

    Voxels with a constant neighbourhood are skipped, since they hold no information about the
    coefficients. The moments of several sets of voxels add up.

    Args:
      data: training set to sample from.
      key: random key of the samples.
      architecture: architecture of the network (static).
      count: voxels to sample, rounded down to a multiple of 8192, at least 8192 (static).

    Returns:
      float32 [c + 4, c + 4] for a context of c voxels. The rows and columns are the c differences
      and the target, both multiplied by gain / 64, the two extras, and the constant 1, in the order
      differences, extras, 1, target.
    """

    def add(index, total):
        contexts, symbol, limit = sample(
            jax.random.fold_in(key, index), data, architecture, _BATCH_VOXELS
        )
        features = features_of(contexts, architecture, limit)
        scale = features.gain / 64
        target = features.difference_of(symbol) * scale
        rows = jnp.concatenate(
            [features.differences * scale[None], features.extras, jnp.ones_like(target)[None],
             target[None]]
        )  # fmt: skip
        counted = (symbol != OUTSIDE) & features.is_lively(architecture)
        return total + (rows * counted.astype(jnp.float32)[None]) @ rows.T

    size = len(architecture.context) + NUM_FEATURES + 2
    return jax.lax.fori_loop(0, max(count // _BATCH_VOXELS, 1), add, jnp.zeros((size, size)))
