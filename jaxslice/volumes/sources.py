"""Makes a `Source` from what a format has found."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.placement import Placement
from jaxslice.volumes.axes import View
from jaxslice.volumes.details import UNKNOWN_SIZE, Details, VoxelSize
from jaxslice.volumes.interface import MissingChunks, Reader, Source


def source_of(
    place: str,
    view: View,
    dtype: np.dtype,
    reader: Reader,
    details: Details,
    voxel_size_nm: VoxelSize | None = None,
    offset: Triple = (0, 0, 0),
) -> Source:
    """The source of an array that was found in a file or folder.

    Args:
      place: as the user wrote it.
      view: of the array.
      dtype: as stored.
      reader: of boxes; their coordinates begin at `offset`.
      details: what the format says.
      voxel_size_nm: z,y,x; None if unknown.
      offset: global coordinate of the first voxel.
    """
    box = Box.of_shape(view.volume_shape, offset)
    known = dataclasses.replace(details, voxel_size_known=voxel_size_nm is not None)
    placement = Placement(voxel_size_nm or UNKNOWN_SIZE, offset)
    missing = getattr(reader, "absent", None) or MissingChunks()
    stored = getattr(reader, "stored_sample", None)
    native, chunking = dtype.newbyteorder("="), getattr(reader, "chunking", None)
    return Source(place, box, placement, reader, native, known, missing, stored, chunking)


def usable_size(values: list[float | None]) -> VoxelSize | None:
    """A voxel size as a file has it, if it is one: positive numbers, unlike what is not set."""
    if len(values) != 3 or not all(v is not None and 0 < v < 1e18 for v in values):
        return None
    z, y, x = (float(v) for v in values if v is not None)
    return (z, y, x)


NM_OF_UNIT = {
    "angstrom": 0.1, "ångström": 0.1, "å": 0.1, "a": 0.1,
    "picometer": 1e-3, "pm": 1e-3,
    "nanometer": 1.0, "nanometre": 1.0, "nm": 1.0,
    "micrometer": 1e3, "micrometre": 1e3, "micron": 1e3, "microns": 1e3, "um": 1e3, "µm": 1e3,
    "μm": 1e3, "\\u00b5m": 1e3,
    "millimeter": 1e6, "millimetre": 1e6, "mm": 1e6,
    "centimeter": 1e7, "cm": 1e7,
    "meter": 1e9, "metre": 1e9, "m": 1e9,
}  # fmt: skip
"""Nanometres of a unit of length, as metadata call them."""


def nm_of(value: float | None, unit: str | None) -> float | None:
    """A length in nm; None where the unit is none of length."""
    factor = NM_OF_UNIT.get((unit or "").strip().lower())
    # A product such as 0.008 * 1000 is meant to be 8.
    return None if factor is None or value is None else float(f"{value * factor:.12g}")
