"""How a network follows a volume's traits: stored with a model, used by `training.closed_form`."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

NEAREST = 8
"""Context voxels whose coefficients are traits, beside the fallback's."""


NUM_TRAITS = NEAREST + 2


class Adaptation(NamedTuple):
    """How a network's biases follow a volume's traits.

    Attributes:
      center: float32 [NUM_TRAITS], the traits for which the network's own biases are right.
      maps: for each hidden layer float32 [units, NUM_TRAITS].
    """

    center: np.ndarray | jax.Array
    maps: tuple[np.ndarray | jax.Array, ...]
