"""Which of two networks predicts some voxels in fewer bits, from the integers themselves."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxslice.codec import intervals
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.curve import PRECISION
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.jax_types import Contexts, Integers
from jaxslice.training.training_set import TrainingSet, sample

COMPARED_VOXELS = 1 << 18
"""Voxels on which two networks are compared; both see the same ones, so that few suffice."""

_AT_ONCE = 1 << 13


class Better(NamedTuple):
    """The better of two networks.

    Attributes:
      network: the one that takes fewer bits.
      bits: bits per voxel that it takes.
      gain: bits per voxel that it saves against the first; 0 if it is the first.
    """

    network: IntegerNetwork
    bits: float
    gain: float


def better_of(
    first: IntegerNetwork,
    other: IntegerNetwork,
    data: TrainingSet,
    architecture: Architecture,
    seed: int = 0,
) -> Better:
    """The other network if it takes fewer bits than the first on the same drawn voxels.

    Args:
      first: a network.
      other: another of the same architecture.
      data: to draw from.
      architecture: of both.
      seed: of the draws.
    """
    before, after = (exact_bits(network, data, architecture, seed) for network in (first, other))
    return Better(other, after, before - after) if after < before else Better(first, before, 0.0)


def exact_bits(
    network: IntegerNetwork, data: TrainingSet, architecture: Architecture, seed: int = 0
) -> float:
    """Bits per voxel that the coder will spend on drawn voxels, from the integers themselves.

    Args:
      network: to be measured.
      data: to draw from; 0.0 is returned where there is nothing to draw.
      architecture: of the network.
      seed: of the draws: the same seed and data give the same voxels.
    """
    bits, hits = _total_bits(network, jax.device_put(data), jax.random.key(seed), architecture)
    return float(bits) / max(int(hits), 1)


def bits_of_each(
    network: IntegerNetwork,
    contexts: Contexts,
    symbol: Integers,
    limit: Integers,
    architecture: Architecture,
) -> jax.Array:
    """Bits that the integers of a network spend on each of n voxels, float32 [n].

    Args:
      network: proven by `integer.prove`.
      contexts: [c, n].
      symbol: int32 [n].
      limit: int32 [n], sizes of their alphabets.
      architecture: of the network.
    """
    mixture = mixture_of(network, contexts, architecture)
    _, freq = intervals.interval_of(mixture, symbol, limit)
    return PRECISION - jnp.log2(freq.astype(jnp.float32))


@functools.partial(jax.jit, static_argnames=("architecture",))
def _total_bits(network, data, key, architecture):
    def add(index, total):
        batch_key = jax.random.fold_in(key, index)
        contexts, symbol, limit = sample(batch_key, data, architecture, _AT_ONCE)
        bits = bits_of_each(network, contexts, jnp.maximum(symbol, 0), limit, architecture)
        hit = symbol != OUTSIDE
        return total[0] + jnp.where(hit, bits, 0).sum(), total[1] + hit.sum(dtype=jnp.int32)

    rounds = COMPARED_VOXELS // _AT_ONCE
    return jax.lax.fori_loop(0, rounds, add, (jnp.float32(0), jnp.int32(0)))
