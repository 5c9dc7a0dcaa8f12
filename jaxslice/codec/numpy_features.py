"""The network's inputs in NumPy: the values of `features` and `bins`, without JAX."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxslice.codec.architecture import ACTIVITY_HIGH, Architecture

NO_REFERENCE = 128
"""Value of the fallback voxel where it is outside, of 8-bit voxels."""

SHIFT_HIGH = 8
"""Largest shift of differences of 16-bit voxels."""


class NumpyFeatures(NamedTuple):
    """Inputs of the network for n voxels: integers, stored as float32 for the products that follow.

    Attributes:
      differences: float32 [c, n], as in `features.Features`.
      reference: float32 [n], as in `features.Features`.
      activity: float32 [n], as in `features.Features`.
      gain: float32 [n]; see `features.gain_of`.
      extras: float32 [2, n]; see `features.extras_of`.
      shift: int32 [n], as in `bins.Bins`; 0 for 8-bit voxels.
    """

    differences: np.ndarray
    reference: np.ndarray
    activity: np.ndarray
    gain: np.ndarray
    extras: np.ndarray
    shift: np.ndarray


def numpy_features_of(
    contexts: np.ndarray, architecture: Architecture, limits: np.ndarray
) -> NumpyFeatures:
    """Computes the features of n voxels.

    Args:
      contexts: [c, n], symbols or OUTSIDE.
      architecture: architecture of the network.
      limits: int32 [n], alphabet size of each voxel.
    """
    outside = contexts < 0
    differences = contexts.astype(np.float32)
    none = limits >> 1 if architecture.is_wide else np.full(len(limits), NO_REFERENCE)
    reference = reference_of(differences, outside, architecture.fallback, none)
    differences -= reference
    differences[outside] = 0
    activity = np.abs(differences[: architecture.activity_count]).sum(axis=0)
    offset = np.float32(architecture.activity_offset)
    shift, beyond = np.zeros(len(limits), np.int32), np.zeros(len(limits), np.int32)
    if architecture.is_wide:
        shift = np.minimum(bit_length(activity.astype(np.int32) >> 8), SHIFT_HIGH)
        beyond = np.maximum(bit_length(limits - 1) - 8, 0)
        unit = (1 << shift).astype(np.float32)
        rest = reference - unit * np.floor(reference / unit)
        reference = reference - rest
        differences = shifted(differences + rest, shift)
        differences[outside] = 0
        activity = np.floor(activity / unit)
        offset = np.where(shift > 0, np.floor(activity * offset / 256), offset)
    activity = np.minimum(activity + offset, ACTIVITY_HIGH).astype(np.float32)
    bits = activity.view(np.int32)
    gain = ((((127 + 16) << 23) - (bits - (127 << 23))) & ~0x3FFFF).astype(np.int32)
    level = (bits >> 19) - ((127 << 4) + 112) + 16 * (shift - beyond)
    tone = np.floor(reference / (1 << beyond)) - 128
    extras = np.stack([tone, level]).astype(np.float32)
    return NumpyFeatures(differences, reference, activity, gain.view(np.float32), extras, shift)


def shifted(differences: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """`bins.shifted` in float32: differences of 16-bit voxels as inputs, within 8 bits."""
    half = (1 << shift) >> 1
    return np.clip(np.floor((differences + half) / (1 << shift)), -128, 127).astype(np.float32)


def bit_length(value: np.ndarray) -> np.ndarray:
    """Bits of an integer of at least 0 and below 2**24, int32: 0 has none."""
    return np.frexp(value.astype(np.float32))[1].astype(np.int32)


def reference_of(
    contexts: np.ndarray, outside: np.ndarray, fallback: int, none: np.ndarray
) -> np.ndarray:
    """The weighted mean of the four nearest neighbours, rounded down, float32 [n]."""
    first, second, third, fourth = contexts[:4]
    away = np.where(outside[fallback], none.astype(np.float32), contexts[fallback])
    first = np.where(outside[0], np.where(outside[1], away, second), first)
    second = np.where(outside[1], first, second)
    third = np.where(outside[2], second, third)
    fourth = np.where(outside[3], first, fourth)
    return np.floor((3 * (first + second) + third + fourth) * np.float32(1 / 8))
