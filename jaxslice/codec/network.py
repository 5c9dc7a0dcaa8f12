"""The integer network: the border between floats and integers. Needs no JAX.

Float weights come in, and only integers go on. `mixture.mixture_of` evaluates the network on
integers in float32 carriers: products and sums stay below 2**24 in size, where float32 holds every
integer, so no order of summation, fused multiply-add or matrix unit can change a result. `prove`
derives those bounds from the weights themselves and refuses a network that could exceed them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.core.errors import FormatError

if TYPE_CHECKING:
    import jax

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

MEAN_OFFSET_HIGH = (1 << 15) - 1


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


def quantise(kernels: Sequence[Any], biases: Sequence[Any]) -> IntegerNetwork:
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
