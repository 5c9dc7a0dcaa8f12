"""What linear predictors make of voxels, and the bits that these take. Needs no JAX."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxslice.codec import linear
from jaxslice.codec.curve import PRECISION
from jaxslice.codec.linear import LinearArchitecture, LinearNumbers


class Found(NamedTuple):
    """Predictions of n voxels.

    Attributes:
      place: int32 [n], predicted symbols in 1/phases symbol.
      scale: int32 [n], index of the scale.
    """

    place: np.ndarray
    scale: np.ndarray


def predicted(
    reference: np.ndarray,
    differences: np.ndarray,
    limits: np.ndarray,
    numbers: LinearNumbers,
    architecture: LinearArchitecture,
) -> list[Found]:
    """Predicts voxels with each of some predictors.

    Args:
      reference: float32 [n].
      differences: float32 [c, n].
      limits: float32 [n], levels of each voxel's slice.
      numbers: of the predictors.
      architecture: of these.
    """
    phases, found = architecture.phases, []
    sums = numbers.weights.astype(np.float32) @ differences
    activities = numbers.sizes.astype(np.float32) @ np.abs(differences)
    for scalars, total, activity in zip(numbers.scalars, sums, activities, strict=True):
        exponent, first, offset = map(int, scalars)
        place = (total + reference * np.float32(2**exponent)) * np.float32(phases / 2**exponent)
        place = np.clip(np.floor(place), 0, phases * limits - 1).astype(np.int32)
        scale = octave_of(activity + np.float32(offset)) - first
        found.append(Found(place, np.clip(scale, 0, architecture.scales - 1)))
    return found


def octave_of(activity: np.ndarray) -> np.ndarray:
    """4 log2 of float32 activities, linear between powers of two, floored."""
    return (activity.astype(np.float32).view(np.int32) >> 21) - 4 * 127


def table_index(symbols: np.ndarray, found: Found, architecture: LinearArchitecture) -> np.ndarray:
    """int32 [n]: index of each voxel's residual in an array [scale, phase, RESIDUALS]."""
    phases = architecture.phases
    residual = symbols.astype(np.int32) - found.place // phases + linear.CENTRE
    table = found.scale * phases + found.place % phases
    return table * linear.RESIDUALS + residual % linear.RESIDUALS


def costs(curves: np.ndarray, phases: int) -> np.ndarray:
    """Bits of each residual, float32 [..., phases, RESIDUALS], from curves [..., 5]."""
    widths = np.diff(linear.edges(curves, phases)).astype(np.float32)
    return np.float32(PRECISION) - np.log2(widths)
