"""One network tuned for an archive, and the choice between it and the one it started from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxslice import intervals
from jaxslice.config import Architecture
from jaxslice.integer import IntegerNetwork, mixture_of
from jaxslice.march import OUTSIDE
from jaxslice.train import TrainingConfig, train_network
from jaxslice.training_set import TrainingSet, sample

COMPARED_VOXELS = 1 << 18
"""Voxels on which two networks are compared; both see the same ones, so that few suffice."""

_AT_ONCE = 1 << 13


class Tuned(NamedTuple):
    """The better of two networks.

    Attributes:
      network: the tuned one if it takes fewer bits, else the one it started from.
      bits_before: bits per voxel of the one it started from, on drawn voxels.
      bits_after: bits per voxel of `network`, on the same ones.
    """

    network: IntegerNetwork
    bits_before: float
    bits_after: float

    @property
    def gain(self) -> float:
        """Bits per voxel that tuning saves; 0 if the tuned network is not used."""
        return self.bits_before - self.bits_after


def tune_network(
    data: TrainingSet,
    start: IntegerNetwork,
    architecture: Architecture,
    config: TrainingConfig,
    seed: int = 0,
    on_progress: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Trains a network on from where it is, and keeps it only if it became better.

    Args:
      data: to train on, and to compare on: as `train.prepare` makes it.
      start: the network to begin with.
      architecture: of both.
      config: of training.
      seed: of the draws.
      on_progress: as for `train.train_network`.
    """
    tuned = train_network(data, architecture, config, seed, on_progress, start=start)
    before, after = (exact_bits(network, data, architecture, seed) for network in (start, tuned))
    return Tuned(tuned, before, after) if after < before else Tuned(start, before, before)


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


@functools.partial(jax.jit, static_argnames=("architecture",))
def _total_bits(network, data, key, architecture):
    def add(index, total):
        batch_key = jax.random.fold_in(key, index)
        contexts, symbol, limit = sample(batch_key, data, architecture, _AT_ONCE)
        mixture = mixture_of(network, contexts, architecture)
        _, freq = intervals.interval_of(mixture, jnp.maximum(symbol, 0), limit)
        bits = intervals.PRECISION - jnp.log2(freq.astype(jnp.float32))
        hit = symbol != OUTSIDE
        return total[0] + jnp.where(hit, bits, 0).sum(), total[1] + hit.sum(dtype=jnp.int32)

    rounds = COMPARED_VOXELS // _AT_ONCE
    return jax.lax.fori_loop(0, rounds, add, (jnp.float32(0), jnp.int32(0)))
