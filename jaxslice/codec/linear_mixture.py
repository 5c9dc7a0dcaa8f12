"""The predictions of a linear predictor as JAX functions, for encoding and decoding alike.

Residuals are coded with mixtures of two components about CENTRE, so that `intervals` serves them as
it serves symbols. All operations are exact: sums are integers below 2**24.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec.features import REFERENCE_SHARES, difference_to, nearest_of
from jaxslice.codec.intervals import Mixture
from jaxslice.codec.linear import (
    CENTRE,
    CURVE_NUMBERS,
    RESIDUALS,
    LinearArchitecture,
    LinearNumbers,
)
from jaxslice.core.jax_types import Contexts, Integers

CHOICE_UNIT = 1 << 9
"""Larger than any alphabet of 8-bit voxels: a limit holds a slice's predictor beside its size."""


class LinearPrediction(NamedTuple):
    """Predictions of n voxels.

    Attributes:
      residuals: mixtures over the indices of residuals, 0 to RESIDUALS - 1.
      whole: int32 [n], the predicted symbols.
    """

    residuals: Mixture
    whole: Integers

    def index_of(self, symbol: Integers) -> Integers:
        """Index of the residual of a symbol."""
        return (symbol - self.whole + CENTRE) & (RESIDUALS - 1)

    def symbol_of(self, index: Integers) -> Integers:
        """Symbol of the residual with an index. Of a damaged message it may be any."""
        return (self.whole + index - CENTRE) & (RESIDUALS - 1)


def linear_prediction(
    numbers: LinearNumbers, contexts: Contexts, architecture: LinearArchitecture, limit: Integers
) -> LinearPrediction:
    """Predicts voxels from their contexts.

    Args:
      numbers: of the predictors, which `linear.check` accepts.
      contexts: [c, n], symbols or OUTSIDE, of an integer or float dtype.
      architecture: of the predictors (static).
      limit: int32 [n], alphabet size of each voxel, and CHOICE_UNIT times the index of its
        predictor.
    """
    contexts = contexts.astype(jnp.float32)
    first, second, third, fourth = contexts[:4]
    fallback = contexts[architecture.fallback]
    nearest = jnp.stack(nearest_of(first, second, third, fourth, fallback))
    reference = jnp.floor(_product(jnp.array(REFERENCE_SHARES, jnp.float32)[None], nearest))[0]
    differences = difference_to(reference[None], contexts)
    which, levels = limit // CHOICE_UNIT, limit % CHOICE_UNIT
    # A damaged archive's choices are refused before; idle lanes have the first predictor.
    exponent, first, offset = jnp.asarray(numbers.scalars).astype(jnp.int32)[which].T
    sums = _chosen(_product(numbers.weights, differences), which)
    sums = sums + (reference.astype(jnp.int32) << exponent)
    activity = _chosen(_product(numbers.sizes, jnp.abs(differences)), which) + offset
    scale = jnp.clip(_scale_of(activity) - first, 0, architecture.scales - 1)
    phases = architecture.phases
    place = jnp.clip((sums * phases) >> exponent, 0, phases * levels - 1)
    centre = 16 * CENTRE + (16 * (place % phases) + 8) // phases
    curves = jnp.asarray(numbers.curves).reshape(-1, CURVE_NUMBERS)
    residuals = _residuals(curves, which * architecture.scales + scale, centre)
    return LinearPrediction(residuals, place // phases)


def _chosen(sums: jax.Array, which: Integers) -> Integers:
    """int32 [n]: of each voxel's sums [p, n] that of its predictor."""
    return jnp.take_along_axis(sums.astype(jnp.int32), which[None], axis=0)[0]


def _product(weights: jax.Array | np.ndarray, inputs: jax.Array) -> jax.Array:
    carried = jnp.asarray(weights).astype(jnp.float32)
    return jnp.dot(carried, inputs, precision=jax.lax.Precision.HIGHEST)


def _scale_of(activity: Integers) -> Integers:
    """4 log2(activity), linear between powers of two, floored: the upper bits of its float32."""
    bits = jax.lax.bitcast_convert_type(activity.astype(jnp.float32), jnp.int32)
    return (bits >> 21) - 4 * 127


def _residuals(curves: jax.Array, index: Integers, centre: Integers) -> Mixture:
    """The mixtures of the curves with an index, about the centres."""
    chosen = curves.astype(jnp.int32)[index].T
    mean = centre[None] + ((chosen[:2] + 128) & 255) - 128
    sharpness = chosen[2:4]
    inverse_scale = (16 + (sharpness & 15)) * (8 << (sharpness >> 4))
    return Mixture(mean, inverse_scale, jnp.stack([chosen[4], 256 - chosen[4]]))
