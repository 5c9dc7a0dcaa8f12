"""The predicted mixture of each voxel, by the same function for encoding and decoding.

All operations of `mixture_of` are exact for a network that `network.prove` accepts. Matrix products
are computed on integers stored as float32.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.bins import offset_mean
from jaxslice.codec.curve import INVERSE_SCALE_HIGH, MEAN_HIGH, MEAN_LOW, WEIGHT_TOTAL
from jaxslice.codec.features import exp2_sixteenths, features_of
from jaxslice.codec.intervals import AnyMixture, Mixture, WideMixture
from jaxslice.codec.network import (
    ACTIVATION_HIGH,
    MEAN_OFFSET_HIGH,
    SUM_HIGH,
    WEIGHT_ONE,
    IntegerNetwork,
)
from jaxslice.core.jax_types import Contexts, Integers


def mixture_of(
    network: IntegerNetwork,
    contexts: Contexts,
    architecture: Architecture,
    limit: Integers | None = None,
) -> AnyMixture:
    """Predicts a mixture for each voxel from its context.

    Args:
      network: a network that `network.prove` accepts.
      contexts: [c, n], symbols or OUTSIDE, of an integer or float dtype.
      architecture: architecture of the network (static).
      limit: int32 [n], alphabet size of each voxel; needed for 16-bit voxels only.

    Returns:
      A mixture over symbols for each of the n voxels.
    """
    features = features_of(contexts, architecture, limit)
    first = _carried(network.weights[0])
    sums = _product(first[:, :-NUM_FEATURES], features.differences)
    sums = scaled(sums, features.gain[None])
    for column, extra in zip(first[:, -NUM_FEATURES:].T, features.extras, strict=True):
        sums += column[:, None] * extra[None]
    sums += _carried(network.biases[0])[:, None]
    for weights, biases in zip(network.weights[1:], network.biases[1:], strict=True):
        hidden = activation(sums)
        sums = _product(_carried(weights), hidden) + _carried(biases)[:, None]
    sums = sums.astype(jnp.int32)
    means, scales, weights = jnp.split(sums, 3)

    activity = features.activity[None]
    if features.bins is None:
        mean = mean_of(means, features.reference[None], activity)
    else:
        mean = offset_mean(mean_offset(means, activity))
    inverse_scale = inverse_scale_of(scales, features.gain[None])
    share = share_of(weights)
    shares = jnp.broadcast_to(share.sum(axis=0, dtype=jnp.int32), share[:-1].shape)
    weight = jax.lax.div(share[:-1] * WEIGHT_TOTAL, shares)
    last = WEIGHT_TOTAL - weight.sum(axis=0, keepdims=True, dtype=jnp.int32)
    weight = jnp.concatenate([weight, last])
    if features.bins is None:
        return Mixture(mean, inverse_scale, weight)
    return WideMixture(mean, inverse_scale, weight, features.bins)


def scaled(sums: jax.Array, gain: jax.Array) -> jax.Array:
    """The first layer's sums over the differences, multiplied by gain / 64 and rounded down.

    The arguments of this function and of those below have the same rank.
    """
    return jnp.floor(jnp.clip(sums, -SUM_HIGH, SUM_HIGH) * gain * (1 / 64))


def activation(sums: jax.Array) -> jax.Array:
    """Activations of a hidden layer: integers within [0, ACTIVATION_HIGH], as float32."""
    return jnp.clip(jnp.floor(sums * (1 / WEIGHT_ONE)), 0, ACTIVATION_HIGH)


def mean_of(means: jax.Array, reference: jax.Array, activity: jax.Array) -> jax.Array:
    """Means of the components, int32, from the last layer's sums."""
    return jnp.clip(16 * reference + mean_offset(means, activity), MEAN_LOW, MEAN_HIGH)


def mean_offset(means: jax.Array, activity: jax.Array) -> jax.Array:
    """Means of the components less the reference, int32, from the last layer's sums."""
    return (jnp.clip(means >> 4, -MEAN_OFFSET_HIGH, MEAN_OFFSET_HIGH) * activity) >> 8


def inverse_scale_of(scales: jax.Array, gain: jax.Array) -> jax.Array:
    """Inverse scales of the components, int32, from the last layer's sums."""
    gain = gain.astype(jnp.int32)
    sharpness = (exp2_sixteenths(jnp.clip((scales >> 7) + 64, 0, 127)) * gain) >> 5
    return jnp.clip(sharpness, 1, INVERSE_SCALE_HIGH)


def share_of(weights: jax.Array) -> jax.Array:
    """Weights of the components before normalisation, int32, from the last layer's sums."""
    return exp2_sixteenths(jnp.clip((weights >> 7) + 64, 0, 127))


def _carried(integers: jax.Array | np.ndarray) -> jax.Array:
    return jnp.asarray(integers).astype(jnp.float32)


def _product(weights: jax.Array, inputs: jax.Array) -> jax.Array:
    return jnp.dot(weights, inputs, precision=jax.lax.Precision.HIGHEST)
