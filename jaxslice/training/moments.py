"""Second moments of a network's inputs and target, for least squares and preconditioning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.numpy_features import shifted
from jaxslice.training.batch import Batch, over_batches
from jaxslice.training.training_set import TrainingSet


def moments(
    data: TrainingSet, seed: Sequence[int], architecture: Architecture, count: int
) -> np.ndarray:
    """Sums over sampled voxels of the products of all pairs of inputs and target.

    Voxels with a constant neighbourhood are skipped, since they hold no information about the
    coefficients. The moments of several sets of voxels add up.

    Args:
      data: training set to sample from.
      seed: random seed of the samples.
      architecture: architecture of the network.
      count: voxels to sample, rounded down to a multiple of 8192, at least 8192.

    Returns:
      float64 [c + 4, c + 4] for a context of c voxels. The rows and columns are the c differences
      and the target, both multiplied by gain / 64, the two extras, and the constant 1, in the order
      differences, extras, 1, target.
    """

    def products(batch: Batch) -> np.ndarray:
        features, symbols, _ = batch
        scale = features.gain / 64
        target = symbols.astype(np.float32) - features.reference
        if architecture.is_wide:
            target = shifted(target, features.shift)
        target *= scale
        rows = np.concatenate([
            features.differences * scale, features.extras, np.ones_like(target)[None], target[None]
        ])  # fmt: skip
        lively = (features.activity > architecture.activity_offset) | (features.shift > 0)
        rows = rows[:, lively].astype(np.float64)
        return rows @ rows.T

    return sum(over_batches(products, data, architecture, seed, count), np.zeros(()))
