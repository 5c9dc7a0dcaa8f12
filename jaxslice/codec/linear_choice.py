"""Which of several linear predictors suits each slice of a block. Needs no JAX.

The sections of a volume differ in focus and noise. Some rows of each slice are predicted by all
predictors, and the one that leaves the smallest residuals is chosen.
"""

from __future__ import annotations

import numpy as np

from jaxslice.codec.engines.native_tasks import linear_task
from jaxslice.codec.linear import LinearArchitecture, LinearNumbers
from jaxslice.codec.network import Model
from jaxslice.native import library

TRIED_VOXELS, LEAST_ROWS = 1000, 2
"""So many voxels of a slice are tried, about, in at least so many rows."""

_LEAST_RESIDUAL = 1e-3

_LEAST_GAIN = 0.002
"""Bits per voxel by which another predictor than the previous slice's must be better: where all
slices have the same predictor, coding is faster."""


def choose(symbols: np.ndarray, model: Model) -> np.ndarray:
    """Chooses a predictor for each slice.

    Args:
      symbols: uint8 [z, y, x] of a block's extent.
      model: of linear predictors.

    Returns:
      uint8 [z].
    """
    depth, height, width = symbols.shape
    _, dy, dx = (int(n) for n in np.abs(np.array(model.architecture.context)).max(axis=0))
    chosen = np.zeros(depth, np.uint8)
    if model.architecture.predictors == 1 or height <= 2 * dy or width <= 2 * dx:
        return chosen
    count = max(LEAST_ROWS, -(-TRIED_VOXELS // (width - 2 * dx)))
    rows = np.unique(np.linspace(dy, height - dy - 1, count + 2)[1:-1].astype(np.int32))
    bits = _bits(symbols, rows, dx, model)
    for z in range(depth):
        before = chosen[max(z - 1, 0)]
        best = bits[:, z].argmin()
        chosen[z] = best if bits[best, z] < bits[before, z] - _LEAST_GAIN or z == 0 else before
    return chosen


def _bits(symbols: np.ndarray, rows: np.ndarray, margin: int, model: Model) -> np.ndarray:
    """Bits per voxel of some rows of each slice by each predictor, float [predictor, z].

    They are less than they would be by the same number for all predictors: log2 of the mean size of
    residuals, since residuals of twice the size take a bit more.

    Columns at either end are left out, so that the context is inside.
    """
    if library.instruction_sets():
        counts = np.full(len(symbols), 256, np.int32)
        task, arrays = linear_task(model, symbols.shape, symbols.shape, counts, None)
        sums = library.linear_residuals(task, np.ascontiguousarray(symbols), rows, margin)
        del arrays
    else:
        sums = _residuals(symbols, rows, margin, model.network, model.architecture)
    voxels = len(rows) * (symbols.shape[2] - 2 * margin)
    units = np.exp2(model.network.scalars[:, :1].astype(np.float64))
    return np.log2(np.maximum(sums / units / voxels, _LEAST_RESIDUAL))


def _residuals(
    symbols: np.ndarray,
    rows: np.ndarray,
    margin: int,
    numbers: LinearNumbers,
    architecture: LinearArchitecture,
) -> np.ndarray:
    """What `library.linear_residuals` gives, where there is no library."""
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
    units = np.exp2(numbers.scalars[:, :1].astype(np.float32))
    # All sums are integers below 2**24, which float32 has.
    rests = wanted * units - numbers.weights.astype(np.float32) @ context.reshape(shape[0], -1)
    return np.abs(rests).reshape(len(units), depth, -1).sum(axis=2, dtype=np.float64).astype(int)
