"""Which of several linear predictors suits each slice of a block. Needs no JAX.

The sections of a volume differ in focus and noise. Some rows of each slice are predicted by all
predictors, and the one that takes the fewest bits is chosen.
"""

from __future__ import annotations

import functools

import numpy as np

from jaxslice.codec import linear_bits
from jaxslice.codec.network import Model

ROWS_APART = 64
"""Every so manieth row of a slice is tried."""

_LEAST_GAIN = 0.002
"""Bits per voxel by which another predictor than the previous slice's must be better: where all
slices have the same predictor, coding is faster."""


def choose(symbols: np.ndarray, level_counts: np.ndarray, model: Model) -> np.ndarray:
    """Chooses a predictor for each slice.

    Args:
      symbols: int [z, y, x] of a block's extent.
      level_counts: int [z], levels of each slice.
      model: whose `network` holds the predictors.

    Returns:
      uint8 [z].
    """
    architecture = model.architecture
    depth, height, width = symbols.shape
    _, dy, dx = (int(n) for n in np.abs(np.array(architecture.context)).max(axis=0))
    rows = np.arange(min(ROWS_APART // 2 + dy, height - dy - 1), height - dy, ROWS_APART)
    chosen = np.zeros(depth, np.uint8)
    if architecture.predictors == 1 or height <= 2 * dy or width <= 2 * dx:
        return chosen
    bits = _bits(symbols, level_counts, rows, dx, model)
    for z in range(depth):
        before = chosen[max(z - 1, 0)]
        best = bits[:, z].argmin()
        chosen[z] = best if bits[best, z] < bits[before, z] - _LEAST_GAIN or z == 0 else before
    return chosen


def _bits(
    symbols: np.ndarray, level_counts: np.ndarray, rows: np.ndarray, margin: int, model: Model
) -> np.ndarray:
    """Bits per voxel of some rows of each slice by each predictor, float [predictor, z].

    Columns at either end are left out, so that the context is inside. What is before the first
    slice counts as if it had no difference.
    """
    architecture, numbers = model.architecture, model.network
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
    differences, reference = context.reshape(len(context), -1), reference.ravel()
    own = symbols[:, rows, margin : width - margin].ravel()
    limits = np.repeat(level_counts, shape[2] * shape[3]).astype(np.float32)
    found = []
    for which, cost in enumerate(
        _costs(numbers.curves.tobytes(), numbers.curves.shape, architecture.phases)
    ):
        prediction = linear_bits.predicted(
            reference, differences, limits, numbers, architecture, which
        )
        index = linear_bits.table_index(own, prediction, architecture)
        found.append(cost[index].reshape(depth, -1).mean(axis=1))
    return np.array(found)


@functools.lru_cache(maxsize=4)
def _costs(curves: bytes, shape: tuple[int, ...], phases: int) -> list[np.ndarray]:
    """For each predictor the bits of residuals, flat as `linear_bits.table_index` counts."""
    table = np.frombuffer(curves, np.uint8).reshape(shape)
    return [cost.ravel() for cost in linear_bits.costs(table, phases)]
