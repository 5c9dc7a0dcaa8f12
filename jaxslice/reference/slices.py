"""Section 3 of FORMAT.md: slice tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxslice.reference.checks import require

CODED, CONSTANT = 0, 255


class SliceTable(NamedTuple):
    """Which slices of the extent are coded, and what the others are.

    Attributes:
      kinds: of each slice.
      values: of the constant slices, in their order.
    """

    kinds: list[int]
    values: list[int]

    @classmethod
    def of_coded(cls, depth: int) -> SliceTable:
        """The table of a payload that has none: every slice is coded."""
        return cls([CODED] * depth, [])

    @property
    def coded(self) -> list[int]:
        """The slices that are coded."""
        return [z for z, kind in enumerate(self.kinds) if kind == CODED]

    def restore(self, coded: np.ndarray) -> np.ndarray:
        """All slices of the extent from the coded ones, [slice, y, x]."""
        slices = np.zeros((len(self.kinds), *coded.shape[1:]), coded.dtype)
        planes, values = iter(coded), iter(self.values)
        for z, kind in enumerate(self.kinds):
            if kind == CODED:
                slices[z] = next(planes)
            elif kind == CONSTANT:
                slices[z] = next(values)
            else:
                slices[z] = slices[z - kind]
        return slices


def read_slices(body: bytes, depth: int, dtype: np.dtype) -> tuple[SliceTable, bytes]:
    """The slice table at the start of a body, and the bytes after it."""
    kinds = list(body[:depth])
    end = depth + kinds.count(CONSTANT) * dtype.itemsize
    require(len(kinds) == depth and len(body) >= end, "Got a slice table that is too short.")
    earlier = all(kind <= z or kind == CONSTANT for z, kind in enumerate(kinds))
    require(earlier, "Got a slice that repeats one before the first.")
    values = np.frombuffer(body[depth:end], dtype.newbyteorder("<")).tolist()
    return SliceTable(kinds, values), body[end:]
