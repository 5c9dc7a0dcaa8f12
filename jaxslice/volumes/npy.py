"""Volumes in `.npy` files: NumPy's format, one array [z,y,x] of any order and byte order.

A file has one scale. It keeps neither voxel size nor offset: they are 1 nm and 0.
"""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.core.shorten import short_repr
from jaxslice.storage.kind import Kind
from jaxslice.storage.location import Location, one_line
from jaxslice.volumes.axes import view_of
from jaxslice.volumes.details import Details
from jaxslice.volumes.files import FlatReader, file_size, open_file
from jaxslice.volumes.interface import Format, NewVolume, Source, SourceOptions
from jaxslice.volumes.sources import source_of

_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Header(NamedTuple):
    """What a `.npy` file says of its array.

    Attributes:
      shape: of the array.
      order: "C" or "F".
      dtype: with its byte order.
      first_byte: where the array begins.
    """

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype
    first_byte: int


def read_header(place: str, file: io.BufferedIOBase) -> Header:
    """Reads the header at the start of a file.

    Raises:
      UsageError: it is no `.npy` file, or of a version that NumPy does not write.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (3, 0):
            # NumPy reads it by the function for 2.0, with another encoding of field names, which
            # an array of voxels does not have.
            version = (2, 0)
        if version not in _READ_HEADER:
            raise ValueError(f"got the format version {version}, expected 1.0 to 3.0")
        shape, fortran_order, dtype = _READ_HEADER[version](file)
    # NumPy evaluates the header as Python source: a damaged one raises any of a parser's errors.
    except Exception as error:
        raise UsageError(f"Cannot read {place!r} as a .npy file: {one_line(error)}.") from error
    if dtype.hasobject or not all(type(n) is int and n > 0 for n in shape):
        raise UsageError(
            f"Got {place!r} with dtype {dtype} and shape {short_repr(shape)}, expected numbers and"
            " at least 1 voxel."
        )
    return Header(shape, "F" if fortran_order else "C", dtype, file.tell())


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


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    with open_file(place, location) as file:
        header = read_header(place, file)
        got_bytes = file_size(file)
    view = view_of(place, None, header.shape, options)
    expected_bytes = header.first_byte + int(np.prod(header.shape, dtype=object)) * (
        header.dtype.itemsize
    )
    if got_bytes < expected_bytes:
        raise SourceDataError(
            f"{place!r} is cut short: got {got_bytes} bytes, expected {expected_bytes}."
        )
    reader = FlatReader(place, location, header.first_byte, header.dtype, header.order, view)
    details = Details("npy", axes=view.axes, selected=view.several())
    return source_of(place, view, header.dtype, reader, details)


def _create(place: str, location: Location, new: NewVolume) -> NpyWriter:
    assert isinstance(location, Path), "a single file is local: see `storage.bucket.check`"
    try:
        np.lib.format.open_memmap(location, "w+", new.dtype, new.box.shape)
        reserve(location)
    except OSError as error:
        raise UsageError(f"Cannot create {place!r}: {error.strerror}.") from error
    return NpyWriter(location, new.box)


def reserve(path: Path) -> None:
    """Reserves the disk space of a file.

    Running out of space later would kill the process: a write to mapped memory cannot report an
    error.

    Raises:
      OSError: the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


NPY = Format(
    "npy",
    "a [z,y,x] .npy file",
    _open,
    suffixes=(".npy",),
    magic=(b"\x93NUMPY",),
    takes=frozenset({"channel", "time"}),
    create=_create,
    kind=Kind("a .npy file"),
)
