"""Exact evaluation and comparison of integer networks on sampled voxels."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxslice.codec import bins, intervals
from jaxslice.codec.architecture import Architecture
from jaxslice.codec.curve import PRECISION
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.mixture import mixture_of
from jaxslice.codec.network import IntegerNetwork
from jaxslice.core.jax_types import Contexts, Integers
from jaxslice.training.training_set import TrainingSet, sample

COMPARED_VOXELS = 1 << 18
"""Voxels sampled to evaluate a network. Networks are compared on the same voxels."""

_BATCH_VOXELS = 1 << 13


class Better(NamedTuple):
    """The better of two networks.

    Attributes:
      network: the network that needs fewer bits.
      bits: bits per voxel of `network`.
      gain: bits per voxel saved compared with the first network; 0 if `network` is the first.
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
    """Returns the network that needs fewer bits on the same sampled voxels; the first if equal.

    Args:
      first: a network.
      other: another network of the same architecture.
      data: training set to sample from.
      architecture: architecture of both.
      seed: random seed of the voxels.
    """
    before, after = (exact_bits(network, data, architecture, seed) for network in (first, other))
    return Better(other, after, before - after) if after < before else Better(first, before, 0.0)


def exact_bits(
    network: IntegerNetwork, data: TrainingSet, architecture: Architecture, seed: int = 0
) -> float:
    """Mean bits per voxel that the coder spends on sampled voxels, from exact intervals.

    Args:
      network: the network to evaluate.
      data: training set to sample from.
      architecture: architecture of the network.
      seed: random seed of the voxels. The same seed and data give the same voxels.

    Returns:
      Bits per voxel; 0.0 if the training set holds no voxels.
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
    """Bits that an integer network spends on each of n voxels, float32 [n].

    Args:
      network: a network that `network.prove` accepts.
      contexts: [c, n], symbols or OUTSIDE.
      symbol: int32 [n].
      limit: int32 [n], alphabet size of each voxel.
      architecture: architecture of the network.
    """
    mixture = mixture_of(network, contexts, architecture, limit)
    if not isinstance(mixture, intervals.WideMixture):
        _, freq = intervals.interval_of(mixture, symbol, limit)
        return PRECISION - jnp.log2(freq.astype(jnp.float32))
    low_bits = bins.low_bits_of(mixture.bins)
    count = bins.count_of(mixture.bins, limit)
    _, freq = intervals.interval_of(mixture, symbol >> low_bits, count)
    return PRECISION + low_bits.astype(jnp.float32) - jnp.log2(freq.astype(jnp.float32))


@functools.partial(jax.jit, static_argnames=("architecture",))
def _total_bits(network, data, key, architecture):
    def add(index, total):
        batch_key = jax.random.fold_in(key, index)
        contexts, symbol, limit = sample(batch_key, data, architecture, _BATCH_VOXELS)
        bits = bits_of_each(network, contexts, jnp.maximum(symbol, 0), limit, architecture)
        hit = symbol != OUTSIDE
        return total[0] + jnp.where(hit, bits, 0).sum(), total[1] + hit.sum(dtype=jnp.int32)

    rounds = COMPARED_VOXELS // _BATCH_VOXELS
    return jax.lax.fori_loop(0, rounds, add, (jnp.float32(0), jnp.int32(0)))
