"""Random batches of voxels with their features, in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.march import OUTSIDE
from jaxslice.codec.numpy_features import NumpyFeatures, numpy_features_of
from jaxslice.core.machine import num_cores
from jaxslice.training.training_set import TrainingSet, num_voxels, reach_of, row_length

T = TypeVar("T")

BATCH_VOXELS = 1 << 13
"""Voxels of a batch: few enough for its arrays to stay in a core's cache."""

MOST_DRAWS = 4
"""How often each voxel is drawn, on average, at most. More would tell next to nothing new."""


class Batch(NamedTuple):
    """Some voxels to fit a network to.

    Attributes:
      features: of the n voxels.
      symbols: int32 [n].
      limits: int32 [n], alphabet size of each voxel.
    """

    features: NumpyFeatures
    symbols: np.ndarray
    limits: np.ndarray


def over_batches(
    function: Callable[[Batch], T],
    data: TrainingSet,
    architecture: Architecture,
    seed: Sequence[int],
    voxels: int,
    batch_voxels: int = BATCH_VOXELS,
) -> Iterator[T]:
    """Results of a function for random batches, in order, computed on all cores.

    Whatever the number of cores, the same seed and data give the same batches.

    Args:
      function: of a batch.
      data: training set to draw from.
      architecture: architecture of the network.
      seed: random seed of the batches.
      voxels: in all batches, at most MOST_DRAWS times those of the training set; rounded down to
        whole batches, at least one.
      batch_voxels: voxels of a batch.
    """
    data = TrainingSet(*map(np.asarray, data))
    voxels = min(voxels, MOST_DRAWS * num_voxels(data))

    def result(number: int) -> T:
        generator = np.random.default_rng([*seed, number])
        return function(draw(generator, data, architecture, batch_voxels))

    return _threads().map(result, range(max(voxels // batch_voxels, 1)))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_cores(), "jaxslice-fit")


def draw(
    generator: np.random.Generator, data: TrainingSet, architecture: Architecture, count: int
) -> Batch:
    """Draws a batch of voxels in rows, at places that are distributed as in `training_set.sample`.

    Args:
      generator: source of random numbers.
      data: training set to draw from, of NumPy arrays.
      architecture: architecture of the network.
      count: voxels, rounded down to whole rows, at least one row. Voxels beyond the extent of
        their block are left out of the batch.
    """
    _, depth, height, width = data.symbols.shape
    reach, length = reach_of(architecture), row_length(data, architecture)
    rows = max(count // length, 1)
    ends = np.cumsum(np.prod(data.extents.astype(np.int64), axis=1))
    block = np.searchsorted(ends, generator.integers(0, max(ends[-1], 1), rows), side="right")
    block = np.minimum(block, len(ends) - 1)
    extent = np.maximum(data.extents[block], 1)
    z = generator.integers(0, extent[:, 0]) + reach[0]
    y = generator.integers(0, extent[:, 1]) + reach[1]
    x = generator.integers(0, extent[:, 2]) - length // 2
    x = np.clip(x, 0, np.maximum(extent[:, 2] - length, 0)) + reach[2]
    place = ((block * depth + z) * height + y) * width + x
    offsets = np.array(architecture.context)
    steps = (offsets[:, 0] * height + offsets[:, 1]) * width + offsets[:, 2]
    row_at = np.lib.stride_tricks.sliding_window_view(data.symbols.reshape(-1), length)
    contexts = row_at[place + steps[:, None]].reshape(len(offsets), rows * length)
    symbols = row_at[place].reshape(-1).astype(np.int32)
    limits = np.repeat(data.limits[block, z], length)
    inside = symbols != OUTSIDE
    if not inside.all():
        contexts, symbols, limits = contexts[:, inside], symbols[inside], limits[inside]
    return Batch(numpy_features_of(contexts, architecture, limits), symbols, limits)
