"""Which of several linear predictors suits each slice of a block. Needs no JAX.

The sections of a volume differ in focus and noise. Some rows of each slice are predicted by all
predictors, and the one that leaves the smallest residuals is chosen.
"""

from __future__ import annotations

import numpy as np

from jaxslice.codec.linear import LinearArchitecture, LinearNumbers

TRIED_VOXELS, LEAST_ROWS = 1000, 2
"""So many voxels of a slice are tried, about, in at least so many rows."""

_LEAST_RESIDUAL = 1e-3

_LEAST_GAIN = 0.002
"""Bits per voxel by which another predictor than the previous slice's must be better: where all
slices have the same predictor, coding is faster."""


def choose(
    symbols: np.ndarray, numbers: LinearNumbers, architecture: LinearArchitecture
) -> np.ndarray:
    """Chooses a predictor for each slice.

    Args:
      symbols: int [z, y, x] of a block's extent.
      numbers: of the predictors.
      architecture: of these.

    Returns:
      uint8 [z].
    """
    depth, height, width = symbols.shape
    _, dy, dx = (int(n) for n in np.abs(np.array(architecture.context)).max(axis=0))
    chosen = np.zeros(depth, np.uint8)
    if architecture.predictors == 1 or height <= 2 * dy or width <= 2 * dx:
        return chosen
    count = max(LEAST_ROWS, -(-TRIED_VOXELS // (width - 2 * dx)))
    rows = np.unique(np.linspace(dy, height - dy - 1, count + 2)[1:-1].astype(int))
    bits = _bits(symbols, rows, dx, numbers, architecture)
    for z in range(depth):
        before = chosen[max(z - 1, 0)]
        best = bits[:, z].argmin()
        chosen[z] = best if bits[best, z] < bits[before, z] - _LEAST_GAIN or z == 0 else before
    return chosen


def _bits(
    symbols: np.ndarray,
    rows: np.ndarray,
    margin: int,
    numbers: LinearNumbers,
    architecture: LinearArchitecture,
) -> np.ndarray:
    """Bits per voxel of some rows of each slice by each predictor, float [predictor, z].

    They are less than they would be by the same number for all predictors: log2 of the mean size of
    residuals, since residuals of twice the size take a bit more.

    Columns at either end are left out, so that the context is inside. What is before the first
    slice counts as if it had no difference.
    """
    depth, _, width = symbols.shape
    shape = (len(architecture.context), depth, len(rows), width - 2 * margin)
    context = np.empty(shape, np.float32)
    for c, (dz, dy, dx) in enumerate(architecture.context):
        first = min(-dz, depth)
        context[c, :first] = 0
        context[c, first:] = symbols[: depth - first, rows + dy, margin + dx : width - margin + dx]
    reference = np.floor((3 * context[0] + 3 * context[1] + context[2] + context[3]) / 8)
    context -= reference
    for c, (dz, _, _) in enumerate(architecture.context):
        context[c, : min(-dz, depth)] = 0
    wanted = (symbols[:, rows, margin : width - margin] - reference).ravel()
    exponents = numbers.scalars[:, :1].astype(np.float32)
    weights = numbers.weights.astype(np.float32) / np.exp2(exponents)
    residuals = np.abs(wanted - weights @ context.reshape(len(context), -1))
    means = residuals.reshape(len(weights), depth, -1).mean(axis=2)
    return np.log2(np.maximum(means, _LEAST_RESIDUAL))
