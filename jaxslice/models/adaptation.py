"""The adaptation of a network to volumes: stored in model files, used by `training.closed_form`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import jax

NEAREST = 8
"""Number of nearest context voxels whose linear coefficients are traits."""

NUM_TRAITS = NEAREST + 2
"""Traits of a volume: coefficients of the nearest voxels and of the fallback voxel, and the
logarithm of the mean square prediction error."""


class Adaptation(NamedTuple):
    """Linear maps from a volume's traits to changes of a network's biases.

    Attributes:
      center: float32 [NUM_TRAITS], the traits for which the biases do not change.
      maps: for each hidden layer float32 [units, NUM_TRAITS], multiplied by traits - center.
    """

    center: np.ndarray | jax.Array
    maps: tuple[np.ndarray | jax.Array, ...]
