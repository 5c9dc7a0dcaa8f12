"""Evaluation and comparison of integer networks on sampled voxels, in NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork
from jaxslice.training.batch import Batch, over_batches
from jaxslice.training.numpy_network import bits_of_batch, layers_of
from jaxslice.training.training_set import TrainingSet

COMPARED_VOXELS = 1 << 18
"""Voxels sampled to evaluate a network. Networks are compared on the same voxels."""


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
    return best_of([first, other], data, architecture, seed)


def best_of(
    networks: list[IntegerNetwork], data: TrainingSet, architecture: Architecture, seed: int = 0
) -> Better:
    """Returns the network that needs the fewest bits on the same sampled voxels.

    Args:
      networks: networks of one architecture. Of equal ones the first is taken.
      data: training set to sample from.
      architecture: architecture of the networks.
      seed: random seed of the voxels.
    """
    bits = mean_bits(networks, data, architecture, seed)
    best = int(np.argmin(bits))
    return Better(networks[best], bits[best], bits[0] - bits[best])


def mean_bits(
    networks: list[IntegerNetwork], data: TrainingSet, architecture: Architecture, seed: int = 0
) -> list[float]:
    """Mean bits per voxel that the coder spends on sampled voxels with each network.

    They differ from the coder's by what it rounds in the cumulative distribution.

    Args:
      networks: networks of one architecture.
      data: training set to sample from.
      architecture: architecture of the networks.
      seed: random seed of the voxels. The same seed and data give the same voxels.

    Returns:
      For each network bits per voxel; 0.0 if the training set holds no voxels.
    """
    layers = [layers_of(network) for network in networks]

    def bits_and_count(batch: Batch) -> np.ndarray:
        bits = [bits_of_batch(each, batch, architecture).sum(dtype=float) for each in layers]
        return np.array([*bits, batch.symbols.size])

    found = over_batches(bits_and_count, data, architecture, [seed], COMPARED_VOXELS)
    *total, count = np.sum(list(found), axis=0)
    return [float(bits) / max(count, 1) for bits in total]
