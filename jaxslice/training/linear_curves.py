"""The curves of a linear predictor's scales, fitted to histograms of residuals. Needs no JAX."""

from __future__ import annotations

import numpy as np

from jaxslice.codec import linear, linear_bits

_HIGHS = np.array([127, 127, linear.SHARPNESS_HIGH, linear.SHARPNESS_HIGH, 255])
_LOWS = np.array([-127, -127, 0, 0, 0])
_STEPS = (16, 8, 4, 2, 1)
"""Sizes of the steps that the search tries, in turn, along each number and both ways."""

_ROUNDS_OF_A_STEP = 3
_MOVES = (
    (1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (1, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 0),
    (0, 0, 1, 1, 0), (0, 0, 0, 0, 4),
)  # fmt: skip
"""What the search changes together: means, sharpness, the weight."""


def fit_curves(histogram: np.ndarray) -> np.ndarray:
    """Curves that take few bits for the residuals of each scale, by a search from moments.

    Args:
      histogram: int [scale, phase, RESIDUALS], how often each residual occurs.

    Returns:
      uint8 [scale, CURVE_NUMBERS], see `LinearNumbers`.
    """
    phases = histogram.shape[1]
    numbers = _from_moments(histogram.sum(axis=1))
    histogram = histogram.astype(np.float32)
    bits = _bits(numbers, histogram, phases)
    for step in _STEPS:
        for _ in range(_ROUNDS_OF_A_STEP):
            before = bits
            for move in _MOVES:
                for sign in (step, -step):
                    tried = np.clip(numbers + sign * np.array(move), _LOWS, _HIGHS)
                    found = _bits(tried, histogram, phases)
                    better = found < bits
                    numbers = np.where(better[:, None], tried, numbers)
                    bits = np.where(better, found, bits)
            if np.all(bits == before):
                break
    return numbers.astype(np.uint8)


def _bits(numbers: np.ndarray, histogram: np.ndarray, phases: int) -> np.ndarray:
    """Bits that the residuals of each scale take, float64 [scale]."""
    costs = linear_bits.costs(numbers.astype(np.uint8), phases)
    return np.einsum("spr,spr->s", histogram, costs)


def _from_moments(counts: np.ndarray) -> np.ndarray:
    """Two components about the mean, one narrower and one wider than the standard deviation.

    A scale without residuals gets what its neighbours have.
    """
    place = np.arange(linear.RESIDUALS) - linear.CENTRE
    total = counts.sum(axis=1)
    seen = np.flatnonzero(total)
    nearest = seen[np.abs(seen[None] - np.arange(len(total))[:, None]).argmin(axis=1)]
    counts, total = counts[nearest], total[nearest]
    mean = counts @ place / total
    deviation = np.sqrt(np.maximum(counts @ np.square(place) / total - mean**2, 0.02))
    means = np.rint(16 * mean)
    narrow, wide = (_sharpness_of(factor * deviation) for factor in (0.8, 1.6))
    weight = np.full_like(mean, 170)
    found = np.stack([means, means, narrow, wide, weight], axis=1)
    return np.clip(found, _LOWS, _HIGHS).astype(np.int64)


def _sharpness_of(deviation: np.ndarray) -> np.ndarray:
    """The sharpness of a standard deviation in symbols."""
    return np.rint(16 * np.log2(np.maximum(2.0**14 / (8 * 16 * deviation), 1)))
