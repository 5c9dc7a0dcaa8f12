"""Slices in groups, each with a predictor of its own. Needs no JAX.

The sections of a volume differ in focus and noise, and with them the best weights. Slices are
grouped like points by k-means: a group has the weights of least squares over its slices, and a
slice is in the group whose weights leave it the smallest squared error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxslice.codec.linear_sample import Sample

_ROUNDS = 8
_RIDGE = 1e-4
_LEAST_ERROR = 1e-3
_LEAST_VOXELS = 2048
"""Sampled voxels that a group must have."""


class _Moments(NamedTuple):
    """Sums of products over each slice's voxels: float64 [s, c, c], [s, c], [s], and counts [s]."""

    squares: np.ndarray
    products: np.ndarray
    targets: np.ndarray
    counts: np.ndarray


def groups_of(sample: Sample, scale: np.ndarray, count: int) -> list[np.ndarray]:
    """Divides the slices of a sample into groups.

    Args:
      sample: of a volume.
      scale: float32 [n], by whose inverse square voxels count.
      count: of groups.

    Returns:
      For each group the numbers of its slices. Where there are too few voxels for as many groups,
      some are all slices.
    """
    everything = np.unique(sample.slices)
    if count == 1:
        return [everything]
    moments = _moments(sample, scale)
    weights = [_solved(moments, np.ones(len(everything)))]
    member = np.zeros(len(everything), int)
    for size in range(2, count + 1):
        errors = _errors(moments, weights).min(axis=1)
        worst = int(np.argmax(np.log(errors / _own_errors(moments)) * (moments.counts > 0)))
        weights.append(_solved(moments, np.arange(len(everything)) == worst))
        for _ in range(_ROUNDS):
            errors = _errors(moments, weights)
            member = errors.argmin(axis=1)
            chosen = np.eye(size)[member] / errors
            weights = [
                _solved(moments, chosen[:, k]) if (member == k).any() else weights[k]
                for k in range(size)
            ]
    groups = [np.flatnonzero(member == k) for k in range(count)]
    enough = [moments.counts[group].sum() >= _LEAST_VOXELS for group in groups]
    return [group if ok else everything for group, ok in zip(groups, enough, strict=True)]


def _moments(sample: Sample, scale: np.ndarray) -> _Moments:
    counts = np.bincount(sample.slices)
    ends = np.cumsum(counts)
    target = sample.symbols - sample.reference
    order = np.argsort(sample.slices, kind="stable")
    squares, products, targets = [], [], []
    for end, size in zip(ends, counts, strict=True):
        inside = order[end - size : end]
        inputs, wanted = sample.differences[:, inside], target[inside]
        share = 1 / np.square(scale[inside])
        share /= max(share.mean(), 1e-9)
        weighted = inputs * share
        squares.append(weighted @ inputs.T)
        products.append(weighted @ wanted)
        targets.append(float(share @ np.square(wanted)))
    return _Moments(
        np.array(squares, np.float64), np.array(products, np.float64), np.array(targets), counts
    )


def _solved(moments: _Moments, shares: np.ndarray) -> np.ndarray:
    """Weights of least squares over the slices, each counted by its share."""
    squares = np.tensordot(shares, moments.squares, 1)
    squares[np.diag_indices_from(squares)] += _RIDGE * np.trace(squares) / len(squares) + 1e-9
    return np.linalg.solve(squares, shares @ moments.products)


def _errors(moments: _Moments, weights: list[np.ndarray]) -> np.ndarray:
    """Mean square error of each slice by each group's weights, float64 [slice, group]."""
    found = np.array(weights)
    square = np.einsum("kc,scd,kd->sk", found, moments.squares, found, optimize=True)
    total = moments.targets[:, None] - 2 * moments.products @ found.T + square
    return np.maximum(total / moments.counts[:, None], _LEAST_ERROR)


def _own_errors(moments: _Moments) -> np.ndarray:
    """Mean square error of each slice by weights of its own, kept back by a ridge."""
    spread = np.trace(moments.squares, axis1=1, axis2=2) / moments.squares.shape[1]
    ridge = (1e-2 * spread + 1e-9)[:, None, None] * np.eye(moments.squares.shape[1])
    found = np.linalg.solve(moments.squares + ridge, moments.products[..., None])[..., 0]
    square = np.einsum("sc,scd,sd->s", found, moments.squares, found, optimize=True)
    total = moments.targets - 2 * (found * moments.products).sum(axis=1) + square
    return np.maximum(total / moments.counts, _LEAST_ERROR)
