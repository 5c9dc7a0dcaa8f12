"""Networks that adapt to a volume without training, in closed form from a few of its voxels.

What differs most between volumes is how their noise is correlated: by the detector, by alignment,
by reconstruction. The best linear prediction of a volume's voxels knows that, and costs no
training: it solves the normal equations of least squares. So

- two units of the first hidden layer are given its coefficients and their negatives (a unit's
  output is never negative, so that one carries what the other cannot), and
- the biases of all hidden layers are moved by a linear map of the volume's traits: the coefficients
  of the nearest voxels and how much the prediction leaves.

The other weights and that map are trained once, on many volumes in many styles, each with its own
coefficients in place. What comes out is an ordinary network, and stored as such: nothing of this is
part of the format. Prediction by least squares in lossless coding: Wu, Barthel & Zhang, "Piecewise
2D Autoregression for Predictive Image Coding" (1998).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.network import IntegerNetwork
from jaxslice.models.adaptation import NEAREST, NUM_TRAITS, Adaptation
from jaxslice.training.moments import moments
from jaxslice.training.parameters import Params, to_integers, to_params
from jaxslice.training.training_set import TrainingSet

LINEAR_UNITS = 2
"""The last units of the first hidden layer carry the linear prediction, and its negative."""


LARGEST_WEIGHT = 127 / 64
"""Of what an integer network can hold."""

FITTED_VOXELS = 1 << 18
"""Drawn from a volume's samples for its fit."""

_TYPICAL_LOG_ERROR = 12.0
"""Subtracted from the logarithm of the prediction's mean square error, which is about 11 to 14."""


class LinearFit(NamedTuple):
    """The best linear prediction of a volume.

    Attributes:
      weights: float32 [c + 2], of the network's inputs: the differences times the gain, and the
        extras; in the units of the first layer's weights.
      bias: float32, likewise.
      traits: float32 [NUM_TRAITS], each within [-4, 4].
    """

    weights: np.ndarray | jax.Array
    bias: np.ndarray | jax.Array | np.floating
    traits: np.ndarray | jax.Array


def can_adapt(architecture: Architecture) -> bool:
    """Whether the first hidden layer has units to spare, and the context voxels to describe."""
    return architecture.hidden[0] > LINEAR_UNITS and len(architecture.context) >= NEAREST


def no_adaptation(architecture: Architecture) -> Adaptation:
    """The adaptation that moves nothing, where training begins."""
    hidden = architecture.hidden if can_adapt(architecture) else ()
    maps = tuple(jnp.zeros((units, NUM_TRAITS), jnp.float32) for units in hidden)
    return Adaptation(jnp.zeros(NUM_TRAITS, jnp.float32), maps)


def linear_fit(sums: np.ndarray, architecture: Architecture) -> LinearFit:
    """Solves the normal equations, with a slight pull to 0 so that they always can be.

    Args:
      sums: as `moments` gives them.
      architecture: of the network.
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
    """The network for the volume that `data` are samples of.

    Args:
      network: right for a typical volume.
      adaptation: that was trained with it.
      data: samples.
      architecture: of the network.
      seed: of the draws.
    """
    sums = moments(jax.device_put(data), jax.random.key(seed), architecture, FITTED_VOXELS)
    fit = linear_fit(np.asarray(sums), architecture)
    return to_integers(jax.jit(adapted)(to_params(network), adaptation, fit), architecture)


def adapted(params: Params, adaptation: Adaptation, fit: LinearFit) -> Params:
    """The network for a volume. A pure function of JAX arrays, differentiable in the first two.

    An adaptation without maps, of an architecture that cannot adapt, leaves it as it is.
    """
    if not adaptation.maps:
        return params
    tree = dict(params["params"])
    weights, bias = (jnp.stack([part, -part]) for part in (fit.weights, fit.bias))
    for index, mapping in enumerate(adaptation.maps):
        name = f"bias_{index}"
        tree[name] = tree[name] + mapping @ (fit.traits - adaptation.center)
    tree["kernel_0"] = jnp.concatenate([tree["kernel_0"][:-LINEAR_UNITS], weights])
    tree["bias_0"] = jnp.concatenate([tree["bias_0"][:-LINEAR_UNITS], bias])
    return {"params": tree}
