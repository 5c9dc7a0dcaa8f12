"""Adaptation of a network to a volume in closed form, without training.

Volumes differ most in how their noise is correlated, which depends on the detector, the alignment
and the reconstruction. The best linear predictor of a volume captures these correlations. It is the
solution of the normal equations of least squares over a sample of the volume's voxels:

- Two units of the first hidden layer get its coefficients and their negatives. A unit's output is
  never negative, so one unit holds the positive predictions and the other the negative ones.
- A linear map of the volume's traits is added to the biases of all hidden layers. The traits are
  the coefficients of the nearest voxels and the logarithm of the mean square prediction error.

The other weights and the maps are trained once on many volumes; see `adaptive`. The result of the
adaptation is an ordinary network and is stored as one, so the format does not depend on it. Least
squares prediction in lossless coding: Wu, Barthel & Zhang, "Piecewise 2D Autoregression for
Predictive Image Coding" (1998).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.network import IntegerNetwork
from jaxslice.models.adaptation import NEAREST, NUM_TRAITS, Adaptation
from jaxslice.training.moments import moments
from jaxslice.training.parameters import Params, to_integers, to_params
from jaxslice.training.training_set import TrainingSet

if TYPE_CHECKING:
    import jax

LINEAR_UNITS = 2
"""Units at the end of the first hidden layer: the linear prediction, and its negative."""

LARGEST_WEIGHT = 127 / 64
"""Largest weight of an integer network."""

FITTED_VOXELS = 1 << 18
"""Voxels sampled from a volume to fit its linear predictor."""

_TYPICAL_LOG_ERROR = 12.0
"""Subtracted from log2 of the mean square prediction error, so that this trait is near 0."""


class LinearFit(NamedTuple):
    """The best linear predictor of a volume.

    Attributes:
      weights: float32 [c + 2], coefficients of the network's inputs (the differences times the
        gain, then the extras) in the units of the first layer's weights.
      bias: float32 scalar, in the units of the first layer's biases.
      traits: float32 [NUM_TRAITS], each within [-4, 4]; see the module's docstring.
    """

    weights: np.ndarray | jax.Array
    bias: np.ndarray | jax.Array | np.floating
    traits: np.ndarray | jax.Array


def can_adapt(architecture: Architecture) -> bool:
    """Whether the first hidden layer and the context are large enough for an adaptation."""
    return architecture.hidden[0] > LINEAR_UNITS and len(architecture.context) >= NEAREST


def no_adaptation(architecture: Architecture) -> Adaptation:
    """The initial adaptation of training, whose maps are zero; without maps if it cannot adapt."""
    hidden = architecture.hidden if can_adapt(architecture) else ()
    maps = tuple(np.zeros((units, NUM_TRAITS), np.float32) for units in hidden)
    return Adaptation(np.zeros(NUM_TRAITS, np.float32), maps)


def linear_fit(sums: np.ndarray, architecture: Architecture) -> LinearFit:
    """Solves the normal equations, with a ridge term that keeps them regular.

    Args:
      sums: [c + 4, c + 4], from `moments.moments`.
      architecture: architecture of the network.
    """
    context = len(architecture.context)
    sums = np.asarray(sums, np.float64)
    inputs, target = sums[:-1, :-1], sums[:-1, -1]
    count = max(inputs[-1, -1], 1.0)
    spread = np.trace(inputs[:context, :context]) / context
    pull = np.r_[np.full(context, 2e-4 * spread), np.full(NUM_FEATURES, count), 1e-2 * count] + 1
    found = np.linalg.solve(inputs + np.diag(pull), target)
    error = (sums[-1, -1] - 2 * found @ target + found @ inputs @ found) / count
    described = [*range(min(NEAREST, context)), architecture.fallback]
    traits = np.append(2 * found[described], np.log2(max(error, 1e-3)) - _TYPICAL_LOG_ERROR)
    return LinearFit(
        np.clip(found[:-1], -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.float32),
        np.float32(found[-1] / 64),
        np.clip(traits, -4, 4).astype(np.float32),
    )


def adapt(
    network: IntegerNetwork,
    adaptation: Adaptation,
    data: TrainingSet,
    architecture: Architecture,
    seed: int = 0,
) -> IntegerNetwork:
    """Adapts a network to a volume.

    Args:
      network: a network for typical volumes.
      adaptation: the adaptation that was trained with the network.
      data: samples of the volume, from `training_set.prepare`.
      architecture: architecture of the network.
      seed: random seed of the voxels to fit.

    Returns:
      The adapted network, rounded to integers.
    """
    fit = linear_fit(moments(data, [seed], architecture, FITTED_VOXELS), architecture)
    return to_integers(adapted(to_params(network), adaptation, fit), architecture)


def adapted(params: Params, adaptation: Adaptation, fit: LinearFit, numpy: Any = np) -> Params:
    """Parameters adapted to a volume: a pure function, differentiable in the first two arguments.

    Args:
      params: parameters of the network for typical volumes.
      adaptation: center and maps. If there are no maps, `params` is returned unchanged.
      fit: the linear predictor of the volume.
      numpy: what computes: NumPy, or `jax.numpy`.
    """
    if not adaptation.maps:
        return params
    tree = dict(params["params"])
    weights, bias = (numpy.stack([part, -part]) for part in (fit.weights, fit.bias))
    for index, mapping in enumerate(adaptation.maps):
        name = f"bias_{index}"
        tree[name] = tree[name] + mapping @ (fit.traits - adaptation.center)
    tree["kernel_0"] = numpy.concatenate([tree["kernel_0"][:-LINEAR_UNITS], weights])
    tree["bias_0"] = numpy.concatenate([tree["bias_0"][:-LINEAR_UNITS], bias])
    return {"params": tree}
