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

import numpy as np

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import BIAS_HIGH, WEIGHT_HIGH, IntegerNetwork
from jaxslice.codec.network_bytes import CODED_BIAS_UNIT
from jaxslice.training.batch import BATCH_VOXELS, Batch, batches
from jaxslice.training.numpy_network import Layers, layers_of, rounded, slopes_of_batch
from jaxslice.training.training_set import TrainingSet

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
      steps: of BATCH_VOXELS samples each.
      seed: random seed of the samples.
      on_progress: called with the steps done and the bits per voxel of the last one's samples.

    Returns:
      The last network, and the average of the last ones. Neither needs to be better than `start`.
    """
    layers = layers_of(start)
    curvature = _Curvature(len(layers.weights))
    averaged = 0, [np.zeros(part.shape) for part in (*layers.weights, *layers.biases)]
    drawn = batches(seed, data, architecture, steps * BATCH_VOXELS)
    for step, batch in enumerate(drawn):
        if not batch.symbols.size:
            break
        left = (1 - step / steps) ** 0.7
        layers, bits = _stepped(layers, batch, curvature, STEP_SIZE * left, architecture)
        if step >= steps - max(round(AVERAGED * steps), 1):
            count, sums = averaged
            pairs = zip(sums, (*layers.weights, *layers.biases), strict=True)
            averaged = count + 1, [total + part for total, part in pairs]
        if on_progress:
            on_progress(step + 1, bits)
    count, sums = averaged
    if not count:
        return [start]
    means, depth = [total / count for total in sums], len(layers.weights)
    return [_integers(layers), _integers(Layers(means[:depth], means[depth:]))]


class _Curvature:
    """The two factors of each layer's Fisher information, averaged over the last steps."""

    def __init__(self, depth: int):
        self._inputs: list[np.ndarray] = [np.zeros(())] * depth
        self._sums: list[np.ndarray] = [np.zeros(())] * depth
        self._weight = 0.0

    def add(self, inputs: list[np.ndarray], sums: list[np.ndarray]) -> None:
        """Takes the samples of a step into account."""
        count = inputs[0].shape[1]
        self._weight = MEMORY * self._weight + 1
        self._inputs = [
            MEMORY * before + (rows @ rows.T).astype(np.float64) / count
            for before, rows in zip(self._inputs, inputs, strict=True)
        ]
        self._sums = [
            MEMORY * before + (rows @ rows.T).astype(np.float64) / count
            for before, rows in zip(self._sums, sums, strict=True)
        ]

    def solve(self, layer: int, gradient: np.ndarray) -> np.ndarray:
        """The gradient of a layer, float64 [outputs, inputs + 1], times the inverse curvature."""
        inputs = _damped(self._inputs[layer] / self._weight, INPUT_FLOOR)
        sums = _damped(self._sums[layer] / self._weight, SUM_FLOOR)
        return np.linalg.solve(sums, np.linalg.solve(inputs, gradient.T).T)


def _damped(matrix: np.ndarray, floor: float) -> np.ndarray:
    diagonal = np.diag(matrix)
    # A matrix of zeros must not be singular either.
    return matrix + np.diag(DAMPING * diagonal + floor * diagonal.mean() + 1e-30)


def _stepped(
    layers: Layers, batch: Batch, curvature: _Curvature, size: float, architecture: Architecture
) -> tuple[Layers, float]:
    """The parameters after a step, and the bits per voxel before it."""
    slopes = slopes_of_batch(_rounded(layers), batch, architecture)
    curvature.add(slopes.inputs, slopes.sums)
    gradients = [
        (sums @ inputs.T).astype(np.float64) / batch.symbols.size
        for sums, inputs in zip(slopes.sums, slopes.inputs, strict=True)
    ]
    steps = [curvature.solve(layer, gradient) for layer, gradient in enumerate(gradients)]
    square = sum(float((a * b).sum()) for a, b in zip(steps, gradients, strict=True))
    size = min(size, math.sqrt(LARGEST_CHANGE / max(square, 1e-12)))
    moved = Layers(
        [
            np.clip(weights - size * step[:, :-1], -WEIGHT_HIGH, WEIGHT_HIGH).astype(np.float32)
            for weights, step in zip(layers.weights, steps, strict=True)
        ],
        [
            np.clip(biases - size * step[:, -1], -BIAS_HIGH, BIAS_HIGH).astype(np.float32)
            for biases, step in zip(layers.biases, steps, strict=True)
        ],
    )
    return moved, float(slopes.bits.mean())


def _rounded(layers: Layers) -> Layers:
    """The parameters as an archive can hold them."""
    return Layers(
        rounded(layers.weights, 1, WEIGHT_HIGH),
        rounded(layers.biases, CODED_BIAS_UNIT, 127 * CODED_BIAS_UNIT),
    )


def _integers(layers: Layers) -> IntegerNetwork:
    weights, biases = _rounded(layers)
    return IntegerNetwork(
        tuple(part.astype(np.int8) for part in weights),
        tuple(part.astype(np.int32) for part in biases),
    )
