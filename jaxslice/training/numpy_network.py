"""The network in NumPy: bits of voxels, and their slopes, for fitting without JAX.

The same function as `float_network`, with its straight-through gradients. It differs from the
coder's integers only in that the cumulative distribution of a component is not rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxslice.codec.architecture import NUM_FEATURES, Architecture
from jaxslice.codec.curve import INVERSE_SCALE_HIGH, WEIGHT_TOTAL
from jaxslice.codec.network import (
    ACTIVATION_HIGH,
    MEAN_OFFSET_HIGH,
    SUM_HIGH,
    WEIGHT_ONE,
    IntegerNetwork,
)
from jaxslice.codec.numpy_features import NumpyFeatures
from jaxslice.training.batch import Batch
from jaxslice.training.target import Target, target_of

_CODE_ONE, _CODE_ZERO, _CODE_HIGH = 128, 64, 127
"""A code of a scale or a weight is the last layer's sum / 128 + 64, clipped to 0..127."""

_CODE_SLOPE = np.float32(math.log(2) / 16 / _CODE_ONE)
"""Change of the logarithm of a scale or a weight, for a change of 1 in the last layer's sum."""

_TAIL_LINEAR, _TAIL_SQUARE, _TAIL_END = np.float32(0.1), np.float32(20 / 1024), np.float32(6)
_DEVIATION = np.float32(1 / (1 << 18))


class Layers(NamedTuple):
    """A network whose parameters are float32, in units of the integer network.

    Attributes:
      weights: for each layer [outputs, inputs].
      biases: for each layer [outputs].
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]


class Slopes(NamedTuple):
    """First derivatives of the nats of n voxels.

    Attributes:
      bits: float32 [n], the bits of each voxel.
      sums: for each layer float32 [outputs, n], derivatives by the layer's sums.
      inputs: for each layer float32 [inputs + 1, n], derivatives of the sums by the weights and, in
        the last row, by the bias.
    """

    bits: np.ndarray
    sums: list[np.ndarray]
    inputs: list[np.ndarray]


def layers_of(network: IntegerNetwork) -> Layers:
    """The layers of an integer network."""
    weights, biases = ([np.asarray(p, np.float32) for p in parts] for parts in network)
    return Layers(weights, biases)


def bits_of_batch(layers: Layers, batch: Batch, architecture: Architecture) -> np.ndarray:
    """Bits that a network spends on each voxel, float32 [n].

    Args:
      layers: parameters that are integers.
      batch: voxels.
      architecture: architecture of the network.
    """
    sums, _ = _forward(layers, batch.features)
    target = target_of(batch, architecture)
    mixture = _mixture_of(sums, batch.features, target, architecture.components)
    return _interval_of(mixture, target)[0]


def slopes_of_batch(layers: Layers, batch: Batch, architecture: Architecture) -> Slopes:
    """Bits of each voxel, and what the gradient of their sum is made of.

    The gradient of a layer's weights and biases is `sums @ inputs.T`.

    Args:
      layers: parameters that are integers. The slopes treat their rounding as the identity.
      batch: voxels.
      architecture: architecture of the network.
    """
    features = batch.features
    sums, hidden = _forward(layers, features)
    target = target_of(batch, architecture)
    mixture = _mixture_of(sums, features, target, architecture.components)
    bits, *slopes = _interval_of(mixture, target)
    slope = _through_mixture(sums, mixture, features, *slopes)
    one = np.ones((1, batch.symbols.size), np.float32)
    inputs = [
        np.concatenate([features.differences * (features.gain / 64), features.extras, one]),
        *(np.concatenate([values, one]) for values in hidden),
    ]
    found = [slope]
    for weights, values in zip(layers.weights[:0:-1], reversed(hidden), strict=True):
        slope = weights.T @ slope
        slope *= ((values > 0) & (values < ACTIVATION_HIGH)) * np.float32(1 / WEIGHT_ONE)
        found.insert(0, slope)
    return Slopes(bits, found, inputs)


def _forward(layers: Layers, features: NumpyFeatures) -> tuple[np.ndarray, list[np.ndarray]]:
    """The last layer's sums, and the inputs of each layer after the first."""
    first, bias = layers.weights[0], layers.biases[0]
    sums = first[:, :-NUM_FEATURES] @ features.differences
    np.clip(sums, -SUM_HIGH, SUM_HIGH, out=sums)
    sums *= features.gain * np.float32(1 / 64)
    np.floor(sums, out=sums)
    sums += first[:, -NUM_FEATURES:] @ features.extras
    sums += bias[:, None]
    hidden = []
    for weights, bias in zip(layers.weights[1:], layers.biases[1:], strict=True):
        values = np.floor(sums * np.float32(1 / WEIGHT_ONE))
        np.clip(values, 0, ACTIVATION_HIGH, out=values)
        hidden.append(values)
        sums = weights @ values + bias[:, None]
    return sums, hidden


class _Mixture(NamedTuple):
    """`intervals.Mixture` as float32 [k, n], but with means relative to the reference, and with
    `share`: the weights before their rounding.
    """

    mean: np.ndarray
    inverse_scale: np.ndarray
    weight: np.ndarray
    share: np.ndarray


def _mixture_of(
    sums: np.ndarray, features: NumpyFeatures, target: Target, components: int
) -> _Mixture:
    means, scales, weights = np.split(sums, [components, 2 * components])
    offset = np.clip(np.floor(means / 16), -MEAN_OFFSET_HIGH, MEAN_OFFSET_HIGH)
    offset = np.floor(offset * features.activity / 256)
    mean = np.clip(offset, target.mean_low, target.mean_high)
    sharpness = np.floor(_power(scales) * np.floor(features.gain) / 32)
    share = _power(weights)
    total = share.sum(axis=0)
    weight = np.floor(share * WEIGHT_TOTAL / total)
    weight[-1] = WEIGHT_TOTAL - weight[:-1].sum(axis=0)
    return _Mixture(mean, np.clip(sharpness, 1, INVERSE_SCALE_HIGH), weight, share / total)


def _power(sums: np.ndarray) -> np.ndarray:
    """`features.exp2_sixteenths` of the codes of the last layer's sums, float32."""
    code = np.clip(np.floor(sums / _CODE_ONE) + _CODE_ZERO, 0, _CODE_HIGH).astype(np.int32)
    return ((16 + (code & 15)) << (code >> 4)).astype(np.float32)


def _interval_of(mixture: _Mixture, target: Target) -> tuple[np.ndarray, ...]:
    """Bits [n], and the derivatives [k, n] of their nats by the mean, the logarithm of the inverse
    scale, and the weight as a fraction.
    """
    first, last = target.is_first, target.is_last
    low, low_density, low_deviation = _curve(mixture, target.low)
    high, high_density, high_deviation = _curve(mixture, target.high)
    low[:, first], low_density[:, first] = 0, 0
    high[:, last], high_density[:, last] = 0, 0
    weight = mixture.weight * np.float32(1 / WEIGHT_TOTAL)
    around = ((low_deviation < 0) | first) & ((high_deviation >= 0) | last)
    inside = high - low + around
    share = (weight * inside).sum(axis=0) * target.kept
    # Each level has a width of its own; the last one has what the levels above it do not use.
    share += np.where(last, 1 - target.kept - target.number * target.width, target.width)
    share = np.where(first & last, 1, np.maximum(share, target.width))
    slope = np.where(share > target.width, -target.kept / share, 0)
    free = (mixture.mean > target.mean_low) & (mixture.mean < target.mean_high)
    by_mean = weight * (low_density - high_density) * mixture.inverse_scale * (_DEVIATION * slope)
    by_scale = weight * (high_density * high_deviation - low_density * low_deviation) * slope
    return target.plain_bits - np.log2(share), by_mean * free, by_scale, inside * slope


def _curve(mixture: _Mixture, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The components' cumulative distribution at an edge, less 1 above the mean, where a float
    would not resolve it; its density; and the edge's distance from the mean, in standard
    deviations. float32 [k, n] each.
    """
    deviation = (edge - mixture.mean) * mixture.inverse_scale
    deviation *= _DEVIATION
    size = np.minimum(np.abs(deviation), _TAIL_END)
    root = np.maximum(1 - size * (_TAIL_LINEAR + _TAIL_SQUARE * size), 0)
    square = root * root
    fourth = square * square
    tail = np.float32(0.5) * fourth * fourth
    density = 4 * fourth * square * root * (_TAIL_LINEAR + 2 * _TAIL_SQUARE * size)
    return np.where(deviation < 0, tail, -tail), density, deviation


def _through_mixture(
    sums: np.ndarray,
    mixture: _Mixture,
    features: NumpyFeatures,
    by_mean: np.ndarray,
    by_scale: np.ndarray,
    by_weight: np.ndarray,
) -> np.ndarray:
    """Derivatives by the last layer's sums, from those by the mixture."""
    means, scales, weights = np.split(sums, 3)
    means = by_mean * (features.activity / 4096) * (np.abs(means) < 16 * MEAN_OFFSET_HIGH)
    by_share = mixture.share * (by_weight - (mixture.share * by_weight).sum(axis=0))
    low, high = -_CODE_ZERO * _CODE_ONE, (_CODE_HIGH - _CODE_ZERO) * _CODE_ONE
    scales = by_scale * _CODE_SLOPE * ((scales > low) & (scales < high))
    weights = by_share * _CODE_SLOPE * ((weights > low) & (weights < high))
    return np.concatenate([means, scales, weights])


def rounded(parameters: Sequence[np.ndarray], unit: float, high: float) -> list[np.ndarray]:
    """Parameters rounded to multiples of a unit within +-high, float32."""
    return [
        np.clip(np.rint(part / unit) * unit, -high, high).astype(np.float32) for part in parameters
    ]
