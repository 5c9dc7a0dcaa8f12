"""The network's inputs in NumPy: the same values as `features.features_of`, without JAX."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxslice.codec.architecture import Architecture

NO_REFERENCE = 128
"""Value of the fallback voxel where it is outside."""


class NumpyFeatures(NamedTuple):
    """Inputs of the network for n voxels: integers, stored as float32 for the products that follow.

    Attributes:
      differences: float32 [c, n], as in `features.Features`.
      reference: float32 [n], as in `features.Features`.
      activity: float32 [n], as in `features.Features`.
      gain: float32 [n]; see `features.gain_of`.
      extras: float32 [2, n]; see `features.extras_of`.
    """

    differences: np.ndarray
    reference: np.ndarray
    activity: np.ndarray
    gain: np.ndarray
    extras: np.ndarray


def numpy_features_of(contexts: np.ndarray, architecture: Architecture) -> NumpyFeatures:
    """Computes the features of n voxels.

    Args:
      contexts: int16 [c, n], symbols or OUTSIDE.
      architecture: architecture of the network.
    """
    differences = contexts.astype(np.float32)
    outside = contexts < 0
    reference = _reference_of(differences, outside, architecture.fallback)
    differences -= reference
    differences[outside] = 0
    activity = np.abs(differences[: architecture.activity_count]).sum(axis=0)
    activity += np.float32(architecture.activity_offset)
    bits = activity.view(np.int32)
    gain = ((((127 + 16) << 23) - (bits - (127 << 23))) & ~0x3FFFF).astype(np.int32)
    level = (bits >> 19) - ((127 << 4) + 112)
    extras = np.stack([reference - NO_REFERENCE, level.astype(np.float32)])
    return NumpyFeatures(differences, reference, activity, gain.view(np.float32), extras)


def _reference_of(contexts: np.ndarray, outside: np.ndarray, fallback: int) -> np.ndarray:
    """The weighted mean of the four nearest neighbours, rounded down, float32 [n]."""
    first, second, third, fourth = contexts[:4]
    away = np.where(outside[fallback], np.float32(NO_REFERENCE), contexts[fallback])
    first = np.where(outside[0], np.where(outside[1], away, second), first)
    second = np.where(outside[1], first, second)
    third = np.where(outside[2], second, third)
    fourth = np.where(outside[3], first, fourth)
    return np.floor((3 * (first + second) + third + fourth) * np.float32(1 / 8))
