"""Fitting a linear predictor to samples of a volume, in closed form. Needs no JAX.

The weights are those of least squares, in which a voxel counts by the inverse square of its scale.
The scale is a weighted sum of the sizes of differences, fitted to the sizes of residuals. Both
depend on each other and are fitted in turn. The curves of each scale are then fitted to the
histogram of its residuals. After Wu, Barthel & Zhang, "Piecewise 2D Autoregression for Predictive
Image Coding" (1998).
"""

from __future__ import annotations

import numpy as np

from jaxslice.codec import linear
from jaxslice.codec.linear import LinearArchitecture, LinearNumbers
from jaxslice.training.linear_curves import fit_curves
from jaxslice.training.linear_sample import Sample

FITTED_VOXELS = 1 << 17
"""Voxels sampled from a volume to fit its predictor."""

NEAREST = 12
"""Context voxels that stand for the scale before any is fitted."""

_LEAST_SCALE = 0.25
"""In symbols: what a voxel's scale is at least taken for."""

_RIDGE = 1e-5
_ROUNDS = 2


def fit(sample: Sample, architecture: LinearArchitecture) -> LinearNumbers:
    """Fits all numbers of a linear predictor.

    Args:
      sample: voxels of the volume, at least one.
      architecture: of the predictor.
    """
    target = sample.symbols - sample.reference
    sizes = np.abs(sample.differences)
    scale = sizes[:NEAREST].mean(axis=0) / 2 + 2
    for _ in range(_ROUNDS):
        exponent, weights = _fit_weights(sample.differences, target, scale)
        residual = target - (weights / 2.0**exponent).astype(np.float32) @ sample.differences
        size_weights, offset, scale = _fit_scale(sizes, np.abs(residual), scale)
    place = _places(sample, exponent, weights, architecture.phases)
    found = np.float32(offset) + size_weights.astype(np.float32) @ sizes
    octave = (found.view(np.int32) >> 21) - 4 * 127
    first = _first_scale(octave, architecture.scales)
    index = np.clip(octave - first, 0, architecture.scales - 1)
    histogram = _histogram(sample.symbols, place, index, architecture)
    curves = fit_curves(histogram)
    return LinearNumbers(
        exponent, first, offset, weights.astype(np.int8), size_weights.astype(np.uint8), curves
    )


def predicted_bits(
    sample: Sample, numbers: LinearNumbers, architecture: LinearArchitecture
) -> float:
    """Bits per voxel that a predictor takes for a sample: those of the intervals."""
    place = _places(sample, numbers.exponent, numbers.weights, architecture.phases)
    sizes = numbers.sizes.astype(np.float32) @ np.abs(sample.differences)
    octave = ((np.float32(numbers.offset) + sizes).view(np.int32) >> 21) - 4 * 127
    index = np.clip(octave - numbers.first, 0, architecture.scales - 1)
    histogram = _histogram(sample.symbols, place, index, architecture)
    widths = np.diff(linear.edges(numbers.curves, architecture.phases))
    bits = np.log2(linear.TOTAL) - np.log2(widths)
    return float((histogram * bits).sum() / histogram.sum())


def _fit_weights(
    differences: np.ndarray, target: np.ndarray, scale: np.ndarray
) -> tuple[int, np.ndarray]:
    """The exponent and the integer weights (float64) of weighted least squares."""
    weighted = differences / np.square(scale)
    squares = (weighted @ differences.T).astype(np.float64)
    products = (weighted @ target).astype(np.float64)
    spread = max(float(np.trace(squares)) / len(squares), 1e-12)
    squares[np.diag_indices_from(squares)] += _RIDGE * spread
    exact = np.linalg.solve(squares, products)
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


def _fit_scale(
    sizes: np.ndarray, residual: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, int, np.ndarray]:
    """Integer weights of sizes, offset of the activity, and each voxel's scale in symbols.

    Weights are never negative: those that would be are left out, and the rest fitted again.
    """
    inputs = np.concatenate([sizes, np.ones_like(sizes[:1])])
    kept = np.arange(len(inputs))
    found = np.zeros(len(inputs))
    for _ in range(3):
        weighted = inputs[kept] / np.square(scale)
        squares = (weighted @ inputs[kept].T).astype(np.float64)
        products = (weighted @ residual).astype(np.float64)
        spread = max(float(np.trace(squares)) / len(squares), 1e-12)
        squares[np.diag_indices_from(squares)] += _RIDGE * spread
        solved = np.linalg.solve(squares, products)
        found[:] = 0
        found[kept] = np.maximum(solved, 0)
        scale = np.maximum(found.astype(np.float32) @ inputs, _LEAST_SCALE)
        kept = np.flatnonzero(found > 0)
        if not kept.size:
            break
    largest = found[:-1].max()
    unit = linear.WEIGHT_HIGH / largest if largest > 0 else 1.0
    unit = min(unit, linear.OFFSET_HIGH / max(found[-1], 1e-9))
    offset = int(np.clip(np.rint(found[-1] * unit), 1, linear.OFFSET_HIGH))
    return np.rint(found[:-1] * unit), offset, scale


def _places(sample: Sample, exponent: int, weights: np.ndarray, phases: int) -> np.ndarray:
    """int32 [n]: predictions in 1/phases symbol, clipped to the symbols that there are."""
    sums = weights.astype(np.float32) @ sample.differences + sample.reference * 2**exponent
    place = np.floor(sums * np.float32(phases / 2**exponent))
    return np.clip(place, 0, phases * sample.limits - 1).astype(np.int32)


def _first_scale(octave: np.ndarray, scales: int) -> int:
    """The first of `scales` scales that hold most of the voxels."""
    counts = np.bincount(np.clip(octave, 0, 95), minlength=96 + scales)
    inside = np.convolve(counts, np.ones(scales, int), "full")[scales - 1 :]
    best = np.flatnonzero(inside[: linear.FIRST_HIGH + 1] == inside[: linear.FIRST_HIGH + 1].max())
    return int(best[len(best) // 2])


def _histogram(
    symbols: np.ndarray, place: np.ndarray, index: np.ndarray, architecture: LinearArchitecture
) -> np.ndarray:
    """How often each residual occurs, int [scale, phase, residual]."""
    scales, phases = architecture.scales, architecture.phases
    residual = (symbols.astype(np.int32) - place // phases + linear.CENTRE) % linear.RESIDUALS
    flat = (index * phases + place % phases) * linear.RESIDUALS + residual
    counts = np.bincount(flat, minlength=scales * phases * linear.RESIDUALS)
    return counts.reshape(scales, phases, linear.RESIDUALS)
