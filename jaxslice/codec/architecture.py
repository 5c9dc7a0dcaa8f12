"""The architecture of a network: its context, layer sizes and mixture components."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError

SYMBOL_LIMIT = 256
"""Largest size of an alphabet: the number of levels of an 8-bit voxel."""

MAX_CONTEXT = 256
MAX_HIDDEN = 256
MAX_COMPONENTS = 8
MAX_SHEAR = 8
ACTIVITY_HIGH = 4096
"""Largest activity, including its offset."""


NUM_FEATURES = 2
"""Inputs of the network besides the context: the reference and the logarithm of the activity."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Everything about a network except its weights and biases.

    Attributes:
      context: offsets (dz, dy, dx) of the context voxels: first those of the same slice, then those
        of earlier slices. The first four determine the reference, so they should be the nearest.
      activity_count: number of context voxels, from the first, that determine the activity.
      fallback: index in `context` of the voxel that replaces the first two where these are outside.
      hidden: units of each hidden layer.
      components: components of the predicted mixture.
      shear: time steps from a voxel to the voxel below it. In the row `n` above, the context may
        reach `n * shear - 1` voxels to the right. Each row of a slice takes `shear` time steps.
      activity_offset: added to the activity. It keeps scales finite where all neighbours are equal.
        In archives before ARCHIVE_VERSION it is 16 and the shear is 2.
      voxel_bits: 8 or 16, of the voxels that are coded. Shapes of layers do not depend on it, so a
        network for 8 bits is a start for 16 bits.
    """

    context: tuple[Triple, ...]
    activity_count: int
    fallback: int
    hidden: tuple[int, ...]
    components: int
    shear: int = 2
    activity_offset: int = 16
    voxel_bits: int = 8

    def __post_init__(self):
        """Raises FormatError for values that the march or the overflow proof does not allow."""
        most = ACTIVITY_HIGH - 255 * self.activity_count
        ranges = (
            (len(self.context), 4, MAX_CONTEXT, "context voxels"),
            (self.activity_count, 1, min(len(self.context), 16), "activity voxels"),
            (self.fallback, 0, len(self.context) - 1, "as the fallback's index"),
            (len(self.hidden), 1, 4, "hidden layers"),
            (min(self.hidden, default=0), 1, MAX_HIDDEN, "hidden units"),
            (max(self.hidden, default=0), 1, MAX_HIDDEN, "hidden units"),
            (self.components, 1, MAX_COMPONENTS, "mixture components"),
            (self.shear, 2, MAX_SHEAR, "as the shear"),
            (self.activity_offset, 16, most, "to add to the activity"),
        )
        for got, low, high, what in ranges:
            if not low <= got <= high:
                raise FormatError(f"Got {got} {what}, expected {low} to {high}.")
        if self.voxel_bits not in (8, 16):
            raise FormatError(f"Got voxels of {self.voxel_bits} bits, expected 8 or 16.")
        check_context(self.context, self.shear)

    @property
    def is_wide(self) -> bool:
        """Whether voxels have 16 bits; see `bins`."""
        return self.voxel_bits == 16

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels."""
        return np.dtype(np.uint16 if self.is_wide else np.uint8)

    @property
    def symbol_dtype(self) -> np.dtype:
        """Of symbols in the march, which may be OUTSIDE."""
        return np.dtype(np.int32 if self.is_wide else np.int16)

    def of_voxels(self, dtype: np.dtype | type) -> Architecture:
        """The same architecture for voxels of another dtype, uint8 or uint16.

        For 16 bits the activity offset is doubled: activities are larger there than where the noise
        of 8-bit voxels is weak, and networks for 8 bits suit them better so.
        """
        bits = 8 * np.dtype(dtype).itemsize
        if bits == self.voxel_bits:
            return self
        most = ACTIVITY_HIGH - 255 * self.activity_count
        offset = self.activity_offset * 2 if bits == 16 else self.activity_offset // 2
        offset = min(max(offset, 16), most)
        return dataclasses.replace(self, voxel_bits=bits, activity_offset=offset)

    @property
    def predictors(self) -> int:
        """Number of linear predictors that slices choose from: 1, since this is a network."""
        return 1

    @property
    def layer_shapes(self) -> tuple[tuple[int, int], ...]:
        """(outputs, inputs) of each layer."""
        widths = (len(self.context) + NUM_FEATURES, *self.hidden, 3 * self.components)
        return tuple(zip(widths[1:], widths[:-1], strict=True))

    @property
    def num_params(self) -> int:
        """Number of weights and biases."""
        return sum(outputs * (inputs + 1) for outputs, inputs in self.layer_shapes)

    @property
    def multiply_adds_per_voxel(self) -> int:
        """Multiply-adds in the matrix products of one prediction."""
        return sum(outputs * inputs for outputs, inputs in self.layer_shapes)

    def to_json(self) -> dict:
        """A JSON object that `from_json` reads back."""
        return {
            "context": [list(offset) for offset in self.context],
            "activity_count": self.activity_count,
            "fallback": self.fallback,
            "hidden": list(self.hidden),
            "components": self.components,
            "shear": self.shear,
            "activity_offset": self.activity_offset,
            **({"voxel_bits": self.voxel_bits} if self.is_wide else {}),
        }

    @classmethod
    def from_json(cls, value: Any) -> Architecture:
        """Reads the JSON object of `to_json`, or of an archive before ARCHIVE_VERSION.

        Raises:
          FormatError: a field is missing, has another type, or is out of range.
        """
        try:
            context = tuple((integer(z), integer(y), integer(x)) for z, y, x in value["context"])
            return cls(
                context=context,
                activity_count=integer(value["activity_count"]),
                fallback=integer(value["fallback"]),
                hidden=tuple(integer(units) for units in value["hidden"]),
                components=integer(value["components"]),
                shear=integer(value.get("shear", cls.shear)),
                activity_offset=integer(value.get("activity_offset", cls.activity_offset)),
                voxel_bits=integer(value.get("voxel_bits", cls.voxel_bits)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"Got an architecture that cannot be read ({error!r}), expected the fields context,"
                " activity_count, fallback, hidden and components."
            ) from None


def check_context(context: Sequence[Triple], shear: int) -> None:
    """Raises FormatError unless a context is causal, without repetition, and in order."""
    causal = all(
        (dz < 0 or dx + shear * dy < 0) and dz <= 0 and max(abs(dy), abs(dx), -dz) <= 16
        for dz, dy, dx in context
    )
    slices = [dz for dz, _, _ in context]
    if slices != sorted(slices, key=lambda dz: dz < 0):
        raise FormatError("Got a context whose dz = 0 voxels do not all come first.")
    if not causal or len(set(context)) != len(context):
        raise FormatError(
            "Got a context that is not causal, repeats an offset or reaches further than 16; "
            f"expected dz < 0, or dz = 0 and dx + {shear} dy < 0."
        )


def integer(value: object) -> int:
    """The value if it is a JSON integer. Raises TypeError for other values, such as true or "3"."""
    if type(value) is not int:
        raise TypeError(f"{value!r} is no integer")
    return value
