"""Natural gradient descent: fits all parameters to samples of a volume, in some hundred steps.

The linear predictor of `closed_form` adapts the predicted means; these steps adapt everything. The
bits of a sample are the negative logarithm of a likelihood. Its expected curvature is the Fisher
information. A step with its inverse takes all parameters about as far as they have to go, whatever
their scales and correlations (Amari, "Natural Gradient Works Efficiently in Learning", 1998).

The Fisher information of a layer is approximated by the Kronecker product of two small matrices:
the second moments of the layer's inputs, and those of the derivatives by its sums (Martens and
Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", 2015). Each step
draws new samples. Its length is limited by how much it changes the predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import BIAS_HIGH, WEIGHT_HIGH, IntegerNetwork
from jaxslice.codec.network_bytes import CODED_BIAS_UNIT
from jaxslice.core.finite import check_finite
from jaxslice.training.batch import Batch, over_batches
from jaxslice.training.numpy_network import Layers, layers_of, rounded, slopes_of_batch
from jaxslice.training.training_set import TrainingSet

STEP_VOXELS, STEP_PARTS = 1 << 13, 4
"""Samples of a step, and the parts in which cores share them."""

STEP_SIZE = 0.3
"""Largest share of the step to the minimum, in the first step. It falls to 0."""

LARGEST_CHANGE = 0.01
"""Largest square of a step, in nats per voxel: twice what predictions may differ by."""

MEMORY = 0.9
"""Share of the curvature that is kept from step to step."""

DAMPING, SUM_FLOOR, INPUT_FLOOR = 0.1, 1e-3, 1e-6
"""Fraction of its diagonal that is added to each matrix, and of its mean diagonal."""

AVERAGED = 0.25
"""Share of the steps, at the end, whose parameters are averaged."""


def descend(
    start: IntegerNetwork,
    data: TrainingSet,
    architecture: Architecture,
    steps: int,
    seed: int = 0,
    on_progress: Callable[[int, float], None] | None = None,
) -> list[IntegerNetwork]:
    """Fits all weights and biases to samples.

    Args:
      start: the initial network.
      data: samples of the volume, from `training_set.prepare`.
      architecture: architecture of the network.
      steps: of STEP_VOXELS samples each.
      seed: random seed of the samples.
      on_progress: called with the steps done and the bits per voxel of the last one's samples.

    Returns:
      The last network, and the average of the last ones. Neither needs to be better than `start`.
    """
    layers = layers_of(start)
    curvature = _Curvature()
    count, sums = 0, [np.zeros(part.shape) for part in (*layers.weights, *layers.biases)]
    for step in range(steps):
        slopes = _slopes(_rounded(layers), data, architecture, (seed, step))
        if not slopes.voxels:
            return [start]
        layers = _moved(layers, slopes, curvature, STEP_SIZE * (1 - step / steps) ** 0.7)
        if step >= steps - max(round(AVERAGED * steps), 1):
            pairs = zip(sums, (*layers.weights, *layers.biases), strict=True)
            count, sums = count + 1, [total + part for total, part in pairs]
        if on_progress:
            on_progress(step + 1, slopes.bits / slopes.voxels)
    means, depth = [total / count for total in sums], len(layers.weights)
    return [_integers(layers), _integers(Layers(means[:depth], means[depth:]))]


class _Slopes(NamedTuple):
    """Sums over the samples of a step, float64.

    Attributes:
      voxels: number of samples.
      bits: of all samples.
      gradients: for each layer [outputs, inputs + 1], of the nats.
      inputs: for each layer [inputs + 1, inputs + 1], second moments.
      sums: for each layer [outputs, outputs], second moments of the derivatives by the sums.
    """

    voxels: int
    bits: float
    gradients: list[np.ndarray]
    inputs: list[np.ndarray]
    sums: list[np.ndarray]


def _slopes(
    layers: Layers, data: TrainingSet, architecture: Architecture, seed: tuple[int, int]
) -> _Slopes:
    """Draws the samples of a step."""

    def part(batch: Batch) -> _Slopes:
        bits, sums, inputs = slopes_of_batch(layers, batch, architecture)
        return _Slopes(
            batch.symbols.size,
            float(bits.sum(dtype=float)),
            [(a @ b.T).astype(np.float64) for a, b in zip(sums, inputs, strict=True)],
            [(rows @ rows.T).astype(np.float64) for rows in inputs],
            [(rows @ rows.T).astype(np.float64) for rows in sums],
        )

    parts = over_batches(part, data, architecture, seed, STEP_VOXELS, STEP_VOXELS // STEP_PARTS)
    counts, bits, *matrices = zip(*parts, strict=True)
    added = ([sum(each, np.zeros(())) for each in zip(*kind, strict=True)] for kind in matrices)
    return _Slopes(sum(counts), sum(bits), *added)


class _Curvature:
    """The two factors of each layer's Fisher information, averaged over the last steps."""

    def __init__(self):
        self._inputs: list[np.ndarray] = []
        self._sums: list[np.ndarray] = []
        self._weight = 0.0

    def add(self, slopes: _Slopes) -> None:
        """Takes the samples of a step into account."""
        self._weight = MEMORY * self._weight + 1
        self._inputs = _faded(self._inputs, slopes.inputs, slopes.voxels)
        self._sums = _faded(self._sums, slopes.sums, slopes.voxels)

    def solve(self, layer: int, gradient: np.ndarray) -> np.ndarray:
        """The gradient of a layer, float64 [outputs, inputs + 1], times the inverse curvature."""
        inputs = _damped(self._inputs[layer] / self._weight, INPUT_FLOOR)
        sums = _damped(self._sums[layer] / self._weight, SUM_FLOOR)
        return np.linalg.solve(sums, np.linalg.solve(inputs, gradient.T).T)


def _faded(before: list[np.ndarray], now: list[np.ndarray], count: int) -> list[np.ndarray]:
    before = before or [np.zeros(())] * len(now)
    return [MEMORY * old + new / count for old, new in zip(before, now, strict=True)]


def _damped(matrix: np.ndarray, floor: float) -> np.ndarray:
    diagonal = np.diag(matrix)
    # A matrix of zeros must not be singular either.
    return matrix + np.diag(DAMPING * diagonal + floor * diagonal.mean() + 1e-30)


def _moved(layers: Layers, slopes: _Slopes, curvature: _Curvature, size: float) -> Layers:
    """The parameters after a step of at most this size."""
    curvature.add(slopes)
    gradients = [gradient / slopes.voxels for gradient in slopes.gradients]
    steps = [curvature.solve(layer, gradient) for layer, gradient in enumerate(gradients)]
    square = sum(float((a * b).sum()) for a, b in zip(steps, gradients, strict=True))
    size = min(size, math.sqrt(LARGEST_CHANGE / max(square, 1e-12)))
    return Layers(
        [
            np.clip(weights - size * step[:, :-1], -WEIGHT_HIGH, WEIGHT_HIGH).astype(np.float32)
            for weights, step in zip(layers.weights, steps, strict=True)
        ],
        [
            np.clip(biases - size * step[:, -1], -BIAS_HIGH, BIAS_HIGH).astype(np.float32)
            for biases, step in zip(layers.biases, steps, strict=True)
        ],
    )


def _rounded(layers: Layers) -> Layers:
    """The parameters as an archive can hold them."""
    return Layers(
        rounded(layers.weights, 1, WEIGHT_HIGH),
        rounded(layers.biases, CODED_BIAS_UNIT, 127 * CODED_BIAS_UNIT),
    )


def _integers(layers: Layers) -> IntegerNetwork:
    weights, biases = _rounded(layers)
    check_finite([*weights, *biases])
    return IntegerNetwork(
        tuple(part.astype(np.int8) for part in weights),
        tuple(part.astype(np.int32) for part in biases),
    )
