"""Volumes in local `.npy` files: NumPy's format, one uint8 array [z,y,x].

A file has one scale. It keeps neither voxel size nor offset: they are 1 nm and 0.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.core.placement import Placement
from jaxslice.core.shorten import short_repr
from jaxslice.storage.kind import Kind
from jaxslice.storage.location import Location, last_name, one_line
from jaxslice.volumes.interface import Format, NewVolume, Source, SourceOptions


@dataclasses.dataclass(frozen=True)
class NpyReader:
    """Reads boxes of a `.npy` file.

    Attributes:
      path: of the file.
      first_voxel: where the array's bytes begin.
      shape: of the array.
      order: "C" or "F", as NumPy has it.
    """

    path: Path
    first_voxel: int
    shape: Triple
    order: str

    def __call__(self, box: Box) -> np.ndarray:
        # Mapped anew each time: pages that were read stay resident for as long as the map does.
        try:
            voxels = np.memmap(
                self.path,
                np.uint8,
                "r",
                self.first_voxel,
                self.shape,
                self.order,  # type: ignore[arg-type]
            )
        except (OSError, ValueError) as error:
            raise SourceDataError(
                f"Cannot read the box {box} of {str(self.path)!r}: {one_line(error)}."
            ) from error
        return np.array(voxels[box.slices], order="C")


@dataclasses.dataclass(frozen=True)
class NpyWriter:
    """Writes boxes of a `.npy` file.

    Attributes:
      path: of the file.
      box: the whole volume.
    """

    path: Path
    box: Box

    def __call__(self, box: Box, voxels: np.ndarray) -> None:
        # Mapped anew each time: pages that were written stay resident for as long as the map does.
        whole = np.lib.format.open_memmap(self.path, "r+")
        whole[box.relative_to(self.box.start).slices] = voxels


def _is_named(location: Location) -> bool:
    return last_name(location).endswith(".npy")


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    if not isinstance(location, Path):
        raise UsageError(f"Got {place!r}, expected a local path: a .npy file cannot be remote.")
    if str(options.scale) != "0":
        raise UsageError(
            f"Got the scale {options.scale!r}, expected 0: a .npy file has one scale only."
        )
    try:
        with location.open("rb") as file:
            form = np.lib.format
            is_old = form.read_magic(file) == (1, 0)
            read_header = form.read_array_header_1_0 if is_old else form.read_array_header_2_0
            shape, fortran_order, dtype = read_header(file)
            first_voxel = file.tell()
    # NumPy evaluates the header as Python source: a damaged one raises any of a parser's errors.
    except Exception as error:
        raise UsageError(f"Cannot read {place!r} as a .npy file: {one_line(error)}.") from error
    is_shape = len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)
    if dtype != np.uint8 or not is_shape:
        raise UsageError(
            f"Got {place!r} with dtype {dtype} and shape {short_repr(shape)}, expected dtype uint8"
            " and a shape [z,y,x] of at least 1 voxel."
        )
    z, y, x = shape
    box = Box.of_shape((z, y, x))
    expected_bytes, got_bytes = first_voxel + box.size, location.stat().st_size
    if got_bytes < expected_bytes:
        raise SourceDataError(
            f"{place!r} is cut short: got {got_bytes} bytes, expected {expected_bytes}."
        )
    reader = NpyReader(location, first_voxel, box.shape, "F" if fortran_order else "C")
    return Source(place, box, Placement((1.0, 1.0, 1.0), box.start), reader)


def _create(place: str, location: Location, new: NewVolume) -> NpyWriter:
    assert isinstance(location, Path), "a single file is local: see `storage.bucket.check`"
    try:
        np.lib.format.open_memmap(location, "w+", np.uint8, new.box.shape)
        # Reserved now, because running out of space later kills the process: a write to mapped
        # memory cannot report an error.
        if hasattr(os, "posix_fallocate"):
            with location.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, location.stat().st_size)
    except OSError as error:
        raise UsageError(f"Cannot create {place!r}: {error.strerror}.") from error
    return NpyWriter(location, new.box)


NPY = Format("a [z,y,x] uint8 .npy file", _is_named, _open, _create, Kind("a .npy file"))
