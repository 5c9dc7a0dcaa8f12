"""The integer network: quantisation of float weights, and the proof of exactness. Needs no JAX.

`mixture.mixture_of` evaluates the network on integers stored as float32. All products and sums stay
below 2**24 in absolute value, where float32 represents every integer. So the order of summation,
fused multiply-adds and matrix units cannot change a result. `prove` derives these bounds from the
weights and raises an error for a network that could exceed them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from jaxslice.codec import linear
from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.linear import LinearArchitecture, LinearNumbers
from jaxslice.core.errors import FormatError
from jaxslice.core.finite import check_finite

if TYPE_CHECKING:
    import jax

WEIGHT_ONE = 1 << 6
"""The integer that represents 1.0 in a weight or an activation."""

BIAS_ONE = WEIGHT_ONE * WEIGHT_ONE
WEIGHT_HIGH = 127
ACTIVATION_HIGH = 255
DIFFERENCE_HIGH = 255
SUM_LIMIT = 1 << 23
"""Bound of a matrix product. With a bias and the extras, sums stay below 2**24."""

SUM_HIGH = (1 << 17) - 1
"""Bound to which the first layer's sum is clipped before it is multiplied by the gain. The product
of 17 bits and the gain's 6 bits is exact, and 2**17 times the largest gain / 64 is below 2**23."""

BIAS_HIGH = (1 << 22) - 1

MEAN_OFFSET_HIGH = (1 << 15) - 1


class IntegerNetwork(NamedTuple):
    """Weights and biases in integers.

    Attributes:
      weights: for each layer int8 [outputs, inputs] within [-127, 127]; 64 represents 1.0.
      biases: for each layer int32 [outputs]; 4096 represents 1.0.
    """

    weights: tuple[jax.Array | np.ndarray, ...]
    biases: tuple[jax.Array | np.ndarray, ...]


AnyNetwork: TypeAlias = IntegerNetwork | LinearNumbers
AnyArchitecture: TypeAlias = Architecture | LinearArchitecture


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network or linear predictors, and their architecture: what decoding needs beside shapes."""

    # Any stands for AnyArchitecture and AnyNetwork: what takes one kind alone says so itself.
    architecture: Any
    network: Any

    def of_voxels(self, dtype: np.dtype | type) -> Model:
        """The same network for voxels of another dtype, uint8 or uint16."""
        return Model(self.architecture.of_voxels(dtype), self.network)


def quantise(kernels: Sequence[Any], biases: Sequence[Any]) -> IntegerNetwork:
    """Rounds and clips float weights and biases to integers.

    Args:
      kernels: for each layer float [outputs, inputs].
      biases: for each layer float [outputs].

    Raises:
      TrainingError: a weight or a bias is not finite.
    """
    check_finite([*kernels, *biases])
    weights = [np.rint(np.asarray(k, np.float64) * WEIGHT_ONE) for k in kernels]
    offsets = [np.rint(np.asarray(b, np.float64) * BIAS_ONE) for b in biases]
    return IntegerNetwork(
        tuple(np.clip(w, -WEIGHT_HIGH, WEIGHT_HIGH).astype(np.int8) for w in weights),
        tuple(np.clip(b, -BIAS_HIGH, BIAS_HIGH).astype(np.int32) for b in offsets),
    )


def blank(architecture: AnyArchitecture) -> Any:
    """A network of zeros, or a linear predictor that predicts the reference."""
    if isinstance(architecture, LinearArchitecture):
        return linear.blank(architecture)
    return IntegerNetwork(
        tuple(np.zeros(shape, np.int8) for shape in architecture.layer_shapes),
        tuple(np.zeros(outputs, np.int32) for outputs, _ in architecture.layer_shapes),
    )


def prove(network: IntegerNetwork, architecture: Architecture) -> None:
    """Proves that `mixture_of` stays in its exact range for every input.

    Raises:
      FormatError: a layer's shape does not fit the architecture, or its sums could overflow.
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
