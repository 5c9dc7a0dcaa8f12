"""The weights of a linear predictor, by least squares, as integers. Needs no JAX."""

from __future__ import annotations

import numpy as np

from jaxslice.codec import linear
from jaxslice.core.finite import check_finite

_LEAST_SCALE = 0.25
"""In symbols: what a voxel's scale is at least taken for."""

_RIDGE = 1e-5

_SCALE_VOXELS = 1 << 14
"""At most as many voxels determine the scale, which needs less precision than the weights."""


def fit_weights(
    differences: np.ndarray, target: np.ndarray, scale: np.ndarray
) -> tuple[int, np.ndarray]:
    """The exponent and the integer weights (float64) of weighted least squares."""
    weighted = differences / np.square(scale)
    squares = (weighted @ differences.T).astype(np.float64)
    products = (weighted @ target).astype(np.float64)
    spread = max(float(np.trace(squares)) / len(squares), 1e-12)
    squares[np.diag_indices_from(squares)] += _RIDGE * spread
    exact = np.linalg.solve(squares, products)
    check_finite([exact])
    largest = max(float(np.abs(exact).max()), 1e-9)
    exponent = int(np.floor(np.log2(linear.WEIGHT_HIGH / largest)))
    exponent = min(max(exponent, linear.EXPONENT_LOW), linear.EXPONENT_HIGH)
    return exponent, _rounded(exact * 2.0**exponent, squares)


def _rounded(exact: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Integer weights: one after the other is rounded, and the others make up for the error.

    After Frantar & Alistarh, "Optimal Brain Compression" (2022).

    Args:
      exact: float64 [c], that minimise a square form.
      squares: float64 [c, c], the form's matrix.
    """
    left, weights = exact.copy(), np.zeros_like(exact)
    inverse = np.linalg.inv(squares)
    for c in range(len(exact)):
        weights[c] = np.clip(np.rint(left[c]), -linear.WEIGHT_HIGH, linear.WEIGHT_HIGH)
        column = inverse[:, c] / inverse[c, c]
        left -= column * (left[c] - weights[c])
        inverse -= np.outer(column, inverse[c])
        inverse[:, c] = inverse[c] = 0
        inverse[c, c] = 1
    return weights


def fit_scale(
    sizes: np.ndarray, residual: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, int, np.ndarray]:
    """Integer weights of sizes, offset of the activity, and each voxel's scale in symbols.

    Weights are never negative: those that would be are left out, and the rest fitted again.
    """
    few = slice(None, None, -(-len(residual) // _SCALE_VOXELS))
    inputs = np.concatenate([sizes[:, few], np.ones_like(sizes[:1, few])])
    target, guess = residual[few], scale[few]
    kept, found = np.arange(len(inputs)), np.zeros(len(inputs))
    for _ in range(3):
        weighted = inputs / np.square(guess)
        squares = (weighted @ inputs.T).astype(np.float64)[np.ix_(kept, kept)]
        products = (weighted @ target).astype(np.float64)[kept]
        spread = max(float(np.trace(squares)) / len(squares), 1e-12)
        squares[np.diag_indices_from(squares)] += _RIDGE * spread
        found[:] = 0
        found[kept] = np.maximum(np.linalg.solve(squares, products), 0)
        guess = np.maximum(found.astype(np.float32) @ inputs, _LEAST_SCALE)
        kept = np.flatnonzero(found > 0)
        if not kept.size:
            break
    check_finite([found])
    whole = found[:-1].astype(np.float32) @ sizes + np.float32(found[-1])
    scale = np.maximum(whole, _LEAST_SCALE)
    largest = found[:-1].max()
    unit = linear.WEIGHT_HIGH / largest if largest > 0 else 1.0
    unit = min(unit, linear.OFFSET_HIGH / max(found[-1], 1e-9))
    offset = int(np.clip(np.rint(found[-1] * unit), 1, linear.OFFSET_HIGH))
    return np.rint(found[:-1] * unit), offset, scale
