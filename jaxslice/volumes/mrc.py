"""MRC files, as of electron tomography: the header is read by mrcfile, the voxels in place."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.location import Location, one_line
from jaxslice.volumes.axes import View
from jaxslice.volumes.details import Details
from jaxslice.volumes.extras import require
from jaxslice.volumes.files import FlatReader, file_size, local_file, open_file
from jaxslice.volumes.interface import Format, Source, SourceOptions
from jaxslice.volumes.sources import nm_of, source_of, usable_size

_HEADER_BYTES = 1024
_EXTENDED = slice(92, 96)
"""Where the header says how long the extended header is."""

_IMOD_STAMP = 1146047817
_SIGNED_BYTES = 1
"""Bit of the flags that follow IMOD's stamp."""


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    mrcfile = require("mrcfile")
    with open_file(place, local_file(place, location, "an MRC file")) as opened:
        got, start = file_size(opened), opened.read(_HEADER_BYTES)
    # mrcfile would take memory for as long an extended header as the file claims to have.
    shortened = io.BytesIO(start[: _EXTENDED.start] + bytes(4) + start[_EXTENDED.stop :])
    try:
        file = mrcfile.mrcinterpreter.MrcInterpreter(shortened, permissive=True, header_only=True)
        header, size = file.header.copy(), file.voxel_size
        dtype = mrcfile.utils.data_dtype_from_header(header)
    except (ValueError, OSError) as error:
        raise UsageError(f"Cannot read {place!r} as an MRC file: {one_line(error)}.") from error
    (extended,) = np.frombuffer(start[_EXTENDED], header.nsymbt.dtype)
    if extended < 0:
        raise UsageError(f"Got {place!r} with an extended header of {extended} bytes.")
    shape = tuple(int(n) for n in (header.nz, header.ny, header.nx))
    if min(shape) < 1:
        raise UsageError(f"Got {place!r} of shape {shape}, expected at least 1 voxel.")
    if dtype.itemsize == 1 and _has_unsigned_bytes(header):
        dtype = np.dtype(np.uint8)
    view = View("zyx", shape)
    first = _HEADER_BYTES + int(extended)
    expected = first + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if got < expected:
        raise SourceDataError(f"{place!r} is cut short: got {got} bytes, expected {expected}.")
    reader = FlatReader(place, location, first, dtype, "C", view)
    nm = usable_size([nm_of(float(v), "angstrom") for v in (size.z, size.y, size.x)])
    return source_of(place, view, dtype, reader, Details("mrc"), nm)


def _has_unsigned_bytes(header: Any) -> bool:
    """Whether the bytes of mode 0, signed by definition, are stamped as unsigned by IMOD."""
    extra = bytes(header.extra2)
    stamp, flags = np.frombuffer(extra[40:48], header.mode.dtype)
    return stamp == _IMOD_STAMP and not flags & _SIGNED_BYTES


MRC = Format("mrc", "an MRC file", _open, (".mrc", ".rec", ".st", ".mrcs", ".map"))
