"""The prediction of a network for a slice, its confidence, and the bits that are spent."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec import intervals, levels
from jaxslice.codec.architecture import Architecture
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
      UsageError: the block has no such slice, or the model is a linear predictor.
    """
    if not 0 <= z < len(block):
        raise UsageError(f"Got slice {z}, expected 0 to {len(block) - 1}.")
    tables = levels.choose(block)
    contexts = _contexts(levels.symbols_of(block, tables), z, model)
    _, height, width = block.shape
    size = int(levels.sizes(tables)[z])
    mixture, entropy = _predict(model, jnp.asarray(contexts, jnp.float32), size)
    mean = np.sum(np.asarray(mixture.mean) * np.asarray(mixture.weight), axis=0)
    grey = np.interp(
        mean / (16 * WEIGHT_TOTAL),
        np.arange(size),
        np.flatnonzero(tables[z]),
    )
    return grey.reshape(height, width), np.asarray(entropy, np.float64).reshape(height, width)


def spent_bits(block: Volume, z: int, model: Model) -> np.ndarray:
    """The bits that coding one slice of a block spends on each voxel.

    Args:
      block: uint8 [z, y, x].
      z: which slice.
      model: whose network predicts; networks of single blocks are not looked at.

    Returns:
      float32 [y, x]; 0 for a slice that is constant or equal to the one before, which is not coded.
    """
    architecture = _architecture_of(model)
    _, height, width = block.shape
    if (z and np.array_equal(block[z], block[z - 1])) or np.ptp(block[z]) == 0:
        return np.zeros((height, width), np.float32)
    tables = levels.choose(block)
    symbols = levels.symbols_of(block, tables)
    contexts = _contexts(symbols, z, model)
    limit, wanted = int(levels.sizes(tables)[z]), symbols[z].ravel()
    spent = np.empty(wanted.size, np.float32)
    for start in range(0, wanted.size, _COLUMNS):
        part = slice(start, start + _COLUMNS)
        # One shape for all parts, so that one program is compiled.
        missing = max(0, start + _COLUMNS - wanted.size)
        padded = np.pad(contexts[:, part].astype(np.float32), [(0, 0), (0, missing)])
        symbol = np.pad(wanted[part].astype(np.int32), [(0, missing)])
        limits = np.full(_COLUMNS, limit, np.int32)
        bits = _spent(model.network, padded, symbol, limits, architecture)
        spent[part] = np.asarray(bits)[: _COLUMNS - missing]
    return spent.reshape(height, width)


_COLUMNS = 2**14
"""Voxels in one call of a compiled program."""


@functools.partial(jax.jit, static_argnums=4)
def _spent(network, contexts, symbol, limit, architecture):
    mixture = mixture_of(network, contexts, architecture)
    _, freq = intervals.interval_of(mixture, symbol, limit)
    return -jnp.log2(freq.astype(jnp.float32) / TOTAL)


def can_explain(model: Model) -> bool:
    """Whether the predictions of a model can be shown: those of networks for 8 bits can."""
    return isinstance(model.architecture, Architecture) and not model.architecture.is_wide


def _architecture_of(model: Model) -> Architecture:
    if not isinstance(model.architecture, Architecture):
        raise UsageError("Got a linear predictor, expected a network.")
    return model.architecture


def _contexts(symbols: np.ndarray, z: int, model: Model) -> np.ndarray:
    """The context of each voxel of a slice, [c, y * x]."""
    reach = np.abs(np.array(model.architecture.context)).max(axis=0)
    border = [(n, n) for n in reach]
    padded = np.pad(symbols.astype(np.int16), border, constant_values=OUTSIDE)
    _, height, width = symbols.shape
    return np.stack(
        [
            padded[
                z + reach[0] + dz,
                reach[1] + dy : reach[1] + dy + height,
                reach[2] + dx : reach[2] + dx + width,
            ].ravel()
            for dz, dy, dx in model.architecture.context
        ]
    )


def _predict(model: Model, contexts: jax.Array, size: int) -> tuple[intervals.Mixture, jax.Array]:
    architecture = _architecture_of(model)

    @jax.jit
    def run(network, contexts):
        mixture = mixture_of(network, contexts, architecture)
        limit = jnp.full(contexts.shape[1], size, jnp.int32)

        def add_symbol(symbol, entropy):
            _, freq = intervals.interval_of(mixture, jnp.full_like(limit, symbol), limit)
            share = freq.astype(jnp.float32) / TOTAL
            return entropy - share * jnp.log2(share)

        none = jnp.zeros(contexts.shape[1], jnp.float32)
        return mixture, jax.lax.fori_loop(0, size, add_symbol, none)

    return run(model.network, contexts)
