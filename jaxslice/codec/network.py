"""The border between floats and integers: float weights come in, and only integers go on.

Coding evaluates `mixture_of`, whose every operation is exact. Matrix products take integers in
float32 carriers: products and sums stay below 2**24 in size, where float32 holds every integer, so
no order of summation, fused multiply-add or matrix unit can change a result. `prove` derives those
bounds from the weights themselves and refuses a network that could exceed them.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxslice.codec import intervals
from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.features import exp2_sixteenths, features_of
from jaxslice.core.errors import FormatError
from jaxslice.core.types import Contexts, Integers

WEIGHT_ONE = 1 << 6
"""The integer that stands for a weight of 1.0; also for an activation of 1.0."""

BIAS_ONE = WEIGHT_ONE * WEIGHT_ONE
WEIGHT_HIGH = 127
ACTIVATION_HIGH = 255
DIFFERENCE_HIGH = 255
SUM_LIMIT = 1 << 23
"""What a matrix product may reach: with a bias and the extras it stays below 2**24."""

SUM_HIGH = (1 << 17) - 1
"""The first layer's sum is clipped to this before the gain multiplies it: 17 bits by the gain's 6
are exact, and 2**17 times the largest gain, over 64, stays below 2**23."""

BIAS_HIGH = (1 << 22) - 1

MEAN_HIGH = (1 << 15) - 1


class IntegerNetwork(NamedTuple):
    """Weights as they are stored.

    Attributes:
      weights: of each layer, int8 [outputs, inputs] within [-127, 127], 1.0 being 64.
      biases: of each layer, int32 [outputs], 1.0 being 4096.
    """

    weights: tuple[jax.Array | np.ndarray, ...]
    biases: tuple[jax.Array | np.ndarray, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network and its architecture: with the block's shape, all that decoding needs."""

    architecture: Architecture
    network: IntegerNetwork


def quantise(kernels: list[np.ndarray], biases: list[np.ndarray]) -> IntegerNetwork:
    """Rounds float weights (of each layer [outputs, inputs] and [outputs]) to integers, once."""
    weights = [np.rint(np.asarray(k, np.float64) * WEIGHT_ONE) for k in kernels]
    offsets = [np.rint(np.asarray(b, np.float64) * BIAS_ONE) for b in biases]
    return IntegerNetwork(
        tuple(np.clip(w, -WEIGHT_HIGH, WEIGHT_HIGH).astype(np.int8) for w in weights),
        tuple(np.clip(b, -BIAS_HIGH, BIAS_HIGH).astype(np.int32) for b in offsets),
    )


def blank(architecture: Architecture) -> IntegerNetwork:
    """A network of zeros, where only its shape matters."""
    return IntegerNetwork(
        tuple(np.zeros(shape, np.int8) for shape in architecture.layer_shapes),
        tuple(np.zeros(outputs, np.int32) for outputs, _ in architecture.layer_shapes),
    )


def prove(network: IntegerNetwork, architecture: Architecture) -> None:
    """Proves that no input makes `mixture_of` leave the range in which it is exact.

    Raises:
      FormatError: a layer's shape differs from the architecture's, or its sums could overflow.
    """
    shapes = tuple(np.shape(weights) for weights in network.weights)
    lengths = tuple(np.shape(biases) for biases in network.biases)
    expected = architecture.layer_shapes
    if shapes != expected or lengths != tuple((outputs,) for outputs, _ in expected):
        raise FormatError(f"Got layers {shapes} with biases {lengths}, expected {expected}.")
    for layer, (weights, biases) in enumerate(zip(*network, strict=True)):
        size = np.abs(np.asarray(weights, np.int64))
        weight = int(size.max())
        if layer == 0:
            size = size[:, :-NUM_FEATURES]
        inputs = DIFFERENCE_HIGH if layer == 0 else ACTIVATION_HIGH
        largest = int(size.sum(axis=1).max()) * inputs
        bias = int(np.abs(np.asarray(biases, np.int64)).max())
        if largest > SUM_LIMIT or bias > BIAS_HIGH or weight > WEIGHT_HIGH:
            raise FormatError(
                f"Got a network whose layer {layer} can reach {largest} with a bias of {bias}, "
                f"expected at most {SUM_LIMIT} and {BIAS_HIGH} for exact arithmetic."
            )


def mixture_of(
    network: IntegerNetwork, contexts: Contexts, architecture: Architecture
) -> intervals.Mixture:
    """Predicts a mixture for every voxel from its context. The one function of encode and decode.

    Args:
      network: proven by `prove`.
      contexts: [c, n], symbols or OUTSIDE, of any type that holds them.
      architecture: static.

    Returns:
      A mixture over symbols for each of the n voxels.
    """
    features = features_of(contexts, architecture)
    first = _carried(network.weights[0])
    sums = _product(first[:, :-NUM_FEATURES], features.differences)
    sums = scaled(sums, features.gain)
    for column, extra in zip(first[:, -NUM_FEATURES:].T, features.extras, strict=True):
        sums += column[:, None] * extra
    sums += _carried(network.biases[0])[:, None]
    for weights, biases in zip(network.weights[1:], network.biases[1:], strict=True):
        hidden = activation(sums)
        sums = _product(_carried(weights), hidden) + _carried(biases)[:, None]
    sums = sums.astype(jnp.int32)
    means, scales, weights = jnp.split(sums, 3)

    mean = mean_of(means, features.reference, features.activity)
    inverse_scale = inverse_scale_of(scales, features.gain)
    share = share_of(weights)
    shares = jnp.broadcast_to(share.sum(axis=0, dtype=jnp.int32), share[:-1].shape)
    weight = jax.lax.div(share[:-1] * intervals.WEIGHT_TOTAL, shares)
    last = intervals.WEIGHT_TOTAL - weight.sum(axis=0, keepdims=True, dtype=jnp.int32)
    return intervals.Mixture(mean, inverse_scale, jnp.concatenate([weight, last]))


def scaled(sums: jax.Array, gain: jax.Array) -> jax.Array:
    """The first layer's sums over the differences, float32 [..., n], in units of the activity."""
    return jnp.floor(jnp.clip(sums, -SUM_HIGH, SUM_HIGH) * gain * (1 / 64))


def activation(sums: jax.Array) -> jax.Array:
    """What a hidden layer passes on: float32 of integers within [0, ACTIVATION_HIGH]."""
    return jnp.clip(jnp.floor(sums * (1 / WEIGHT_ONE)), 0, ACTIVATION_HIGH)


def mean_of(means: jax.Array, reference: Integers, activity: Integers) -> jax.Array:
    """Components' means, int32 [..., n], from the last layer's sums for them."""
    offset = (jnp.clip(means >> 4, -MEAN_HIGH, MEAN_HIGH) * activity) >> 8
    return jnp.clip(16 * reference + offset, intervals.MEAN_LOW, intervals.MEAN_HIGH)


def inverse_scale_of(scales: jax.Array, gain: jax.Array) -> jax.Array:
    """Components' inverse scales, int32 [..., n], from the last layer's sums for them."""
    gain = gain.astype(jnp.int32)
    sharpness = (exp2_sixteenths(jnp.clip((scales >> 7) + 64, 0, 127)) * gain) >> 5
    return jnp.clip(sharpness, 1, intervals.INVERSE_SCALE_HIGH)


def share_of(weights: jax.Array) -> jax.Array:
    """Components' shares, int32 [..., n], to be divided by their sum."""
    return exp2_sixteenths(jnp.clip((weights >> 7) + 64, 0, 127))


def _carried(integers: jax.Array | np.ndarray) -> jax.Array:
    return jnp.asarray(integers).astype(jnp.float32)


def _product(weights: jax.Array, inputs: jax.Array) -> jax.Array:
    return jnp.dot(weights, inputs, precision=jax.lax.Precision.HIGHEST)
