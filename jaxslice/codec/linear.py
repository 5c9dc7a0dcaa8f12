"""Linear predictors: their architecture, their numbers, and these as bytes. Needs no JAX.

A linear predictor takes the place of the network where speed counts most. A voxel's prediction is
a weighted sum of its context; another weighted sum, of the sizes of differences, chooses the table
of intervals that its residual is coded with. FORMAT.md, section 11, defines both.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import Any, NamedTuple

import numpy as np

from jaxslice.codec.architecture import MAX_CONTEXT, MAX_SHEAR, check_context, integer
from jaxslice.codec.curve import (
    CURVE_TOTAL,
    DISTANCE_HIGH,
    LOSS_SHIFT,
    MINIMUM_WIDTH,
    TAIL_LINEAR,
    TAIL_SQUARE,
    TOTAL,
)
from jaxslice.core.box import Triple
from jaxslice.core.checksum import crc32c
from jaxslice.core.errors import ChecksumError, FormatError, UsageError

KIND = "linear"
"""What an archive's metadata call this kind of architecture."""

RESIDUALS = 256
"""Residuals of a table, modulo this number."""

CENTRE = 128
"""Index of the residual of a voxel that is as predicted."""

MAX_SCALES, MAX_PREDICTORS, PHASES = 64, 16, (1, 2, 4)
EXPONENT_LOW, EXPONENT_HIGH = 4, 7
FIRST_HIGH = 91
"""Scales are four an octave, of activities below 2**23."""

OFFSET_HIGH = 1 << 20
WEIGHT_HIGH = 127
SHARPNESS_HIGH = 160
"""The sharpness of the largest inverse scale, 2**17."""

CURVE_NUMBERS = 5
_HEAD = struct.Struct("<BBI")


@dataclasses.dataclass(frozen=True)
class LinearArchitecture:
    """Everything about a linear predictor except its numbers.

    Attributes:
      context: offsets (dz, dy, dx) of the context voxels, as in `Architecture`.
      fallback: as in `Architecture`.
      shear: as in `Architecture`.
      scales: number of scales of residuals that are told apart.
      phases: parts of a symbol that predictions are rounded down to: 1, 2 or 4 in a symbol.
      predictors: number of predictors; each slice of a block has one of them.
    """

    context: tuple[Triple, ...]
    fallback: int
    shear: int
    scales: int
    phases: int
    predictors: int = 1

    def __post_init__(self):
        """Raises FormatError for values that the format does not allow."""
        ranges = (
            (len(self.context), 4, MAX_CONTEXT, "context voxels"),
            (self.fallback, 0, len(self.context) - 1, "as the fallback's index"),
            (self.shear, 2, MAX_SHEAR, "as the shear"),
            (self.scales, 1, MAX_SCALES, "scales"),
            (self.predictors, 1, MAX_PREDICTORS, "predictors"),
        )
        for got, low, high, what in ranges:
            if not low <= got <= high:
                raise FormatError(f"Got {got} {what}, expected {low} to {high}.")
        if self.phases not in PHASES:
            raise FormatError(f"Got {self.phases} phases, expected one of {PHASES}.")
        check_context(self.context, self.shear)

    @property
    def voxel_bits(self) -> int:
        """Bits of a voxel: linear predictors are for 8 alone."""
        return 8

    @property
    def is_wide(self) -> bool:
        """Whether voxels have 16 bits."""
        return False

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels."""
        return np.dtype(np.uint8)

    @property
    def symbol_dtype(self) -> np.dtype:
        """Of symbols in the march, which may be OUTSIDE."""
        return np.dtype(np.int16)

    def of_voxels(self, dtype: np.dtype | type) -> LinearArchitecture:
        """The same architecture for voxels of a dtype.

        Raises:
          UsageError: the dtype is not uint8.
        """
        if np.dtype(dtype) != np.uint8:
            raise UsageError(
                f"Got voxels of {np.dtype(dtype)} for a linear predictor, expected uint8: use "
                "effort 0 or higher."
            )
        return self

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of hidden layers: it has none."""
        return ()

    @property
    def num_params(self) -> int:
        """Numbers of all predictors: weights and curves."""
        return self.predictors * (2 * len(self.context) + CURVE_NUMBERS * self.scales)

    @property
    def multiply_adds_per_voxel(self) -> int:
        """Multiply-adds of one prediction and of its scale."""
        return 2 * len(self.context)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "kind": KIND,
            "context": [list(offset) for offset in self.context],
            "fallback": self.fallback,
            "shear": self.shear,
            "scales": self.scales,
            "phases": self.phases,
            "predictors": self.predictors,
        }

    @classmethod
    def from_json(cls, value: Any) -> LinearArchitecture:
        """Reads the JSON object of `to_json`.

        Raises:
          FormatError: a field is missing, has another type, or is out of range.
        """
        try:
            if (bits := integer(value.get("voxel_bits", 8))) != 8:
                raise FormatError(f"Got linear predictors of {bits} bits, expected 8.")
            return cls(
                context=tuple((integer(z), integer(y), integer(x)) for z, y, x in value["context"]),
                fallback=integer(value["fallback"]),
                shear=integer(value["shear"]),
                scales=integer(value["scales"]),
                phases=integer(value["phases"]),
                predictors=integer(value["predictors"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"Got an architecture that cannot be read ({error!r}), expected the fields context,"
                " fallback, shear, scales, phases and predictors."
            ) from None


class LinearNumbers(NamedTuple):
    """The numbers of some linear predictors, p of them.

    Attributes:
      scalars: int32 [p, 3]: the exponent of the weights, of which 2**exponent represents 1.0,
        within [EXPONENT_LOW, EXPONENT_HIGH]; the scale of the first table within [0, FIRST_HIGH],
        in quarters of an octave; and what is added to the activity, within [1, OFFSET_HIGH].
      weights: int8 [p, c] within [-127, 127], of the differences of the context to the reference.
      sizes: uint8 [p, c] within [0, 127], weights of the differences' sizes in the activity.
      curves: uint8 [p, scale, CURVE_NUMBERS]: the means of two components in 1/16 symbol, as signed
        bytes; their sharpness within [0, SHARPNESS_HIGH]; the weight of the first in 1/256.
    """

    scalars: np.ndarray
    weights: np.ndarray
    sizes: np.ndarray
    curves: np.ndarray


def blank(architecture: LinearArchitecture) -> LinearNumbers:
    """Predictors that predict the reference."""
    predictors, context = architecture.predictors, len(architecture.context)
    curves = (predictors, architecture.scales, CURVE_NUMBERS)
    return LinearNumbers(
        np.full((predictors, 3), (EXPONENT_HIGH, 0, 1), np.int32),
        np.zeros((predictors, context), np.int8),
        np.zeros((predictors, context), np.uint8),
        np.full(curves, (0, 0, 64, 64, 128), np.uint8),
    )


def pack(numbers: LinearNumbers) -> bytes:
    """Encodes one predictor after the other, followed by the CRC32C."""
    body = b"".join(
        _HEAD.pack(*map(int, scalars)) + weights.tobytes() + sizes.tobytes() + curves.tobytes()
        for scalars, weights, sizes, curves in zip(*numbers, strict=True)
    )
    return body + struct.pack("<I", crc32c(body))


def unpack(data: bytes, architecture: LinearArchitecture) -> LinearNumbers:
    """The inverse of `pack`.

    Raises:
      FormatError: the bytes are too few, too many or damaged, or a number is out of range.
    """
    predictors, context = architecture.predictors, len(architecture.context)
    size = _HEAD.size + 2 * context + CURVE_NUMBERS * architecture.scales
    if len(data) != predictors * size + 4:
        raise FormatError(
            f"Got linear predictors of {len(data)} bytes, expected {predictors * size + 4}."
        )
    if crc32c(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise ChecksumError("Got linear predictors whose CRC32C does not match their bytes.")
    rows = np.frombuffer(data, np.uint8, predictors * size).reshape(predictors, size)
    heads = [_HEAD.unpack_from(data, p * size) for p in range(predictors)]
    if max(offset for _, _, offset in heads) > OFFSET_HIGH:
        raise FormatError(f"Got an offset of the activity above {OFFSET_HIGH}.")
    _, weights, sizes, curves = np.split(rows, np.cumsum([_HEAD.size, context, context]), axis=1)
    numbers = LinearNumbers(
        np.array(heads, np.int32),
        weights.astype(np.int8),
        sizes.copy(),
        curves.reshape(predictors, architecture.scales, CURVE_NUMBERS).copy(),
    )
    check(numbers)
    return numbers


def check(numbers: LinearNumbers) -> None:
    """Refuses numbers that are out of range (FormatError).

    With at most 256 weights of at most 127 in size, every sum over differences stays below 2**23,
    and below 2**24 with a reference or an offset added: exact in int32 and in float32.
    """
    ranges = (
        (numbers.scalars[:, 0], EXPONENT_LOW, EXPONENT_HIGH, "as an exponent"),
        (numbers.scalars[:, 1], 0, FIRST_HIGH, "as a first scale"),
        (numbers.scalars[:, 2], 1, OFFSET_HIGH, "to add to the activity"),
        (numbers.weights, -WEIGHT_HIGH, WEIGHT_HIGH, "as a weight"),
        (numbers.sizes, 0, WEIGHT_HIGH, "as the weight of a size"),
        (numbers.curves[..., 2:4], 0, SHARPNESS_HIGH, "as a sharpness"),
    )
    for got, low, high, what in ranges:
        for value in (int(got.min()), int(got.max())):
            if not low <= value <= high:
                raise FormatError(f"Got {value} {what}, expected {low} to {high}.")


def edges(curves: np.ndarray, phases: int) -> np.ndarray:
    """The tables: where the interval of each residual begins, and the last one ends.

    Args:
      curves: uint8 [..., CURVE_NUMBERS], see `LinearNumbers`.
      phases: of the architecture.

    Returns:
      int32 [..., phases, RESIDUALS + 1], from 0 to TOTAL, strictly ascending.
    """
    numbers = curves.astype(np.int64)[..., None, None, :]
    phase = np.arange(phases)[:, None]
    centre = 16 * CENTRE + (16 * phase + 8) // phases
    edge = 16 * np.arange(RESIDUALS + 1) - 8
    total = np.zeros((), np.int64)
    weights = numbers[..., 4], 256 - numbers[..., 4]
    for k, weight in enumerate(weights):
        mean = centre + (numbers[..., k] + 128) % 256 - 128
        sharpness = numbers[..., 2 + k]
        inverse = (16 + (sharpness & 15)) * (8 << (sharpness >> 4))
        total = total + weight * _component_cumulative(((edge - mean) * inverse) >> 10)
    found = total - (total >> LOSS_SHIFT) + MINIMUM_WIDTH * np.arange(RESIDUALS + 1)
    found[..., 0], found[..., -1] = 0, TOTAL
    return found.astype(np.int32)


def _component_cumulative(distance: np.ndarray) -> np.ndarray:
    """One component's cumulative distribution, times 2**16; see `intervals`."""
    size = np.minimum(np.abs(distance), DISTANCE_HIGH)
    root = np.maximum(CURVE_TOTAL - 1 - (((TAIL_LINEAR + TAIL_SQUARE * size) * size) >> 10), 0)
    for _ in range(3):
        root = (root * root) >> 16
    return np.where(distance < 0, root >> 1, CURVE_TOTAL - (root >> 1))
