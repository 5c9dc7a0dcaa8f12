"""Section 11 of FORMAT.md: linear predictors."""

from typing import NamedTuple

import numpy as np

from jaxslice.core.errors import FormatError
from jaxslice.reference.checks import field, integers, require, without_crc
from jaxslice.reference.intervals import find_symbol
from jaxslice.reference.prediction import power, reference_of


class Linear(NamedTuple):
    """Some linear predictors.

    Attributes:
      phases: as in FORMAT.md.
      exponent: of each predictor, like the next two.
      first: see there.
      offset: see there.
      weights: [predictor, context voxel], like the next.
      sizes: see there.
      curves: [predictor, scale, 5].
    """

    phases: int
    exponent: np.ndarray
    first: np.ndarray
    offset: np.ndarray
    weights: np.ndarray
    sizes: np.ndarray
    curves: np.ndarray


def read_linear(fields: dict, packed: bytes, context: int) -> Linear:
    """Reads the fields of the architecture, and the packed predictors."""
    limits = {"scales": 64, "predictors": 16, "phases": 4}
    for name, most in limits.items():
        integers([field(fields, name, int)], 1, most, [1], name)
    scales, predictors, phases = (fields[name] for name in limits)
    require(phases != 3, "Got 3 phases.")
    packed, size = without_crc(packed, "linear predictors"), 6 + 2 * context + 5 * scales
    if len(packed) != predictors * size:
        raise FormatError(f"Got {len(packed)} bytes of {predictors} linear predictors.")
    rows = np.frombuffer(packed, np.uint8).reshape(predictors, size).astype(np.int64)
    head, weights, sizes, curves = np.split(rows, [6, 6 + context, 6 + 2 * context], axis=1)
    curves = curves.reshape(predictors, scales, 5)
    exponent, first, offset = head[:, 0], head[:, 1], head[:, 2:] @ 256 ** np.arange(4)
    weights = signed(weights)
    good = (exponent >= 4) & (exponent <= 7) & (first <= 91) & (offset >= 1) & (offset <= 2**20)
    good = good.all() and (weights > -128).all() and (sizes < 128).all()
    require(good and (curves[..., 2:4] <= 160).all(), "Got linear predictors out of their limits.")
    return Linear(phases, exponent, first, offset, weights, sizes, curves)


def signed(byte: np.ndarray) -> np.ndarray:
    """What a byte says in two's complement."""
    return (byte + 128) % 256 - 128


def find_linear(
    position: np.ndarray,
    n: np.ndarray,
    which: np.ndarray,
    v: np.ndarray,
    fallback: int,
    all_: Linear,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds symbol, start and freq [voxel] of the interval of each position.

    Args:
      position: [voxel].
      n: levels [voxel].
      which: predictor [voxel].
      v: contexts [voxel, context voxel].
      fallback: as in FORMAT.md.
      all_: the predictors.
    """
    exponent, first, offset, weights, sizes, curves = (part[which] for part in all_[1:])
    reference, phases = reference_of(v, fallback, 128), all_.phases
    difference = np.where(v < 0, 0, v - reference[:, None])
    s = (reference << exponent) + (weights * difference).sum(1)
    place = np.clip((s * phases) >> exponent, 0, phases * n - 1)
    whole, phase = place // phases, place % phases
    activity = offset + (sizes * abs(difference)).sum(1)
    e = sum((activity >= 2**i).astype(np.int64) for i in range(1, 24))
    octave = 4 * e + ((activity - (1 << e)) * 4 >> e)
    scale = np.clip(octave - first, 0, curves.shape[1] - 1)
    curve = curves[np.arange(len(scale)), scale]
    mean = 2048 + ((16 * phase + 8) // phases)[:, None] + signed(curve[:, :2])
    inverse, weight = 8 * power(curve[:, 2:4]), np.stack([curve[:, 4], 256 - curve[:, 4]], 1)
    i, start, freq = find_symbol(position, np.full_like(n, 256), (mean, inverse, weight))
    symbol = (whole + i - 128) % 256
    require((symbol < n).all(), "Got a symbol beyond its slice's levels.")
    return symbol, start, freq
