"""The prediction of a network for a slice, and its confidence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec import intervals, levels
from jaxslice.codec.curve import TOTAL, WEIGHT_TOTAL
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import Model
from jaxslice.core.errors import UsageError
from jaxslice.core.types import Volume


def explain_slice(block: Volume, z: int, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Predicts one slice of a block from its context, as coding the block would.

    Args:
      block: uint8 [z, y, x].
      z: which slice.
      model: whose network predicts.

    Returns:
      float [y, x], the mean of the predicted distribution in grey levels, and float [y, x], its
      entropy in bits: what the voxel is expected to cost. Few bits mean confidence.

    Raises:
      UsageError: the block has no such slice.
    """
    if not 0 <= z < len(block):
        raise UsageError(f"Got slice {z}, expected 0 to {len(block) - 1}.")
    tables = levels.choose(block)
    symbols = levels.symbols_of(block, tables)
    reach = np.abs(np.array(model.architecture.context)).max(axis=0)
    padded = np.pad(symbols, [(n, n) for n in reach], constant_values=OUTSIDE)
    _, height, width = block.shape
    contexts = np.stack(
        [
            padded[
                z + reach[0] + dz,
                reach[1] + dy : reach[1] + dy + height,
                reach[2] + dx : reach[2] + dx + width,
            ].ravel()
            for dz, dy, dx in model.architecture.context
        ]
    )
    size = int(levels.sizes(tables)[z])
    mixture, entropy = _predict(model, jnp.asarray(contexts, jnp.float32), size)
    mean = np.sum(np.asarray(mixture.mean) * np.asarray(mixture.weight), axis=0)
    grey = np.interp(
        mean / (16 * WEIGHT_TOTAL),
        np.arange(size),
        np.flatnonzero(tables[z]),
    )
    return grey.reshape(height, width), np.asarray(entropy, np.float64).reshape(height, width)


def _predict(model: Model, contexts: jax.Array, size: int) -> tuple[intervals.Mixture, jax.Array]:
    @jax.jit
    def run(network, contexts):
        mixture = mixture_of(network, contexts, model.architecture)
        limit = jnp.full(contexts.shape[1], size, jnp.int32)

        def add_symbol(symbol, entropy):
            _, freq = intervals.interval_of(mixture, jnp.full_like(limit, symbol), limit)
            share = freq.astype(jnp.float32) / TOTAL
            return entropy - share * jnp.log2(share)

        none = jnp.zeros(contexts.shape[1], jnp.float32)
        return mixture, jax.lax.fori_loop(0, size, add_symbol, none)

    return run(model.network, contexts)
