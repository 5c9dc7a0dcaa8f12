"""Fitting linear predictors to samples of a volume, in closed form. Needs no JAX.

The weights are those of least squares, in which a voxel counts by the inverse square of its scale.
The scale is a weighted sum of the sizes of differences, fitted to the sizes of residuals. Both
depend on each other and are fitted in turn. The curves of each scale are then fitted to the
histogram of its residuals. After Wu, Barthel & Zhang, "Piecewise 2D Autoregression for Predictive
Image Coding" (1998). Several predictors are each for some of the slices; see `linear_groups`.
"""

from __future__ import annotations

import numpy as np

from jaxslice.codec import linear, linear_bits
from jaxslice.codec.linear import LinearArchitecture, LinearNumbers
from jaxslice.codec.linear_sample import Sample
from jaxslice.training.linear_curves import fit_curves
from jaxslice.training.linear_groups import groups_of
from jaxslice.training.linear_weights import fit_scale, fit_weights

FITTED_VOXELS = 1 << 17
"""Voxels sampled from a volume to fit its predictors."""

NEAREST = 12
"""Context voxels that stand for the scale before any is fitted."""

_ROUNDS = 2


def fit(sample: Sample, architecture: LinearArchitecture) -> LinearNumbers:
    """Fits all numbers of an architecture's predictors.

    Args:
      sample: voxels of the volume, at least one.
      architecture: of the predictors.
    """
    groups = groups_of(sample, first_scale(sample), architecture.predictors)
    parts = [sample.of_slices(np.array(group)) for group in groups]
    fitted = [_fit_sums(part) for part in parts]
    histograms, firsts = [], []
    for part, (exponent, offset, weights, sizes) in zip(parts, fitted, strict=True):
        octave = linear_bits.octave_of(offset + sizes.astype(np.float32) @ np.abs(part.differences))
        firsts.append(_lowest(octave, architecture.scales))
        alone = LinearNumbers(
            np.array([(exponent, firsts[-1], offset)]), weights[None], sizes[None], np.zeros(0)
        )
        histograms.append(_histogram(part, alone, architecture))
    scalars = [(e, first, offset) for (e, offset, _, _), first in zip(fitted, firsts, strict=True)]
    curves = fit_curves(np.concatenate(histograms))
    return LinearNumbers(
        np.array(scalars, np.int32),
        np.stack([weights for *_, weights, _ in fitted]).astype(np.int8),
        np.stack([sizes for *_, sizes in fitted]).astype(np.uint8),
        curves.reshape(architecture.predictors, architecture.scales, -1),
    )


def predicted_bits(
    sample: Sample, numbers: LinearNumbers, architecture: LinearArchitecture, which: int = 0
) -> float:
    """Bits per voxel that a predictor takes for a sample: those of the intervals."""
    histogram = _histogram(sample, numbers, architecture, which)
    bits = linear_bits.costs(numbers.curves[which], architecture.phases)
    return float((histogram * bits).sum() / histogram.sum())


def first_scale(sample: Sample) -> np.ndarray:
    """What each voxel's scale is taken for before any is fitted, in symbols."""
    return np.abs(sample.differences[:NEAREST]).mean(axis=0) / 2 + 2


def _fit_sums(sample: Sample) -> tuple[int, int, np.ndarray, np.ndarray]:
    """The exponent, the offset, the weights and the sizes' weights of one predictor."""
    target = sample.symbols - sample.reference
    sizes, scale = np.abs(sample.differences), first_scale(sample)
    exponent, offset, weights, of_sizes = 0, 1, np.zeros(0), np.zeros(0)
    for _ in range(_ROUNDS):
        exponent, weights = fit_weights(sample.differences, target, scale)
        residual = target - (weights / 2.0**exponent).astype(np.float32) @ sample.differences
        of_sizes, offset, scale = fit_scale(sizes, np.abs(residual), scale)
    return exponent, offset, weights, of_sizes


def _lowest(octave: np.ndarray, scales: int) -> int:
    """The first of `scales` scales that hold most of the voxels."""
    counts = np.bincount(np.clip(octave, 0, 95), minlength=96 + scales)
    inside = np.convolve(counts, np.ones(scales, int), "full")[scales - 1 :]
    inside = inside[: linear.FIRST_HIGH + 1]
    best = np.flatnonzero(inside == inside.max())
    return int(best[len(best) // 2])


def _histogram(
    sample: Sample, numbers: LinearNumbers, architecture: LinearArchitecture, which: int = 0
) -> np.ndarray:
    """How often each residual occurs, int [scale, phase, residual]."""
    one = LinearNumbers(*(part[which : which + 1] for part in numbers))
    (found,) = linear_bits.predicted(
        sample.reference, sample.differences, sample.limits, one, architecture
    )
    shape = (architecture.scales, architecture.phases, linear.RESIDUALS)
    index = linear_bits.table_index(sample.symbols, found, architecture)
    return np.bincount(index, minlength=int(np.prod(shape))).reshape(shape)
