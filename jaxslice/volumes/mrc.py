"""MRC files, as of electron tomography: the header is read by mrcfile, the voxels in place."""

from __future__ import annotations

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
_IMOD_STAMP = 1146047817
_SIGNED_BYTES = 1
"""Bit of the flags that follow IMOD's stamp."""


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    mrcfile = require("mrcfile")
    path = local_file(place, location, "an MRC file")
    with open_file(place, location) as opened:
        got = file_size(opened)
        if _extended_bytes(opened.read(_HEADER_BYTES)) > got:
            raise SourceDataError(f"{place!r} is cut short: got {got} bytes of a longer header.")
    try:
        with mrcfile.open(path, "r", permissive=True, header_only=True) as file:
            header = file.header.copy()
            extended = 0 if file.extended_header is None else int(header.nsymbt)
            dtype = mrcfile.utils.data_dtype_from_header(header)
            size = file.voxel_size
    except (ValueError, OSError) as error:
        raise UsageError(f"Cannot read {place!r} as an MRC file: {one_line(error)}.") from error
    shape = tuple(int(n) for n in (header.nz, header.ny, header.nx))
    if min(shape) < 1:
        raise UsageError(f"Got {place!r} of shape {shape}, expected at least 1 voxel.")
    if dtype.itemsize == 1 and _has_unsigned_bytes(header):
        dtype = np.dtype(np.uint8)
    view = View("zyx", shape)
    first = _HEADER_BYTES + extended
    expected = first + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if got < expected:
        raise SourceDataError(f"{place!r} is cut short: got {got} bytes, expected {expected}.")
    reader = FlatReader(place, location, first, dtype, "C", view)
    nm = usable_size([nm_of(float(v), "angstrom") for v in (size.z, size.y, size.x)])
    return source_of(place, view, dtype, reader, Details("mrc"), nm)


def _extended_bytes(header: bytes) -> int:
    """Bytes of the extended header, for which mrcfile takes memory before it reads them."""
    order = "big" if header[212:214] == b"\x11\x11" else "little"
    return int.from_bytes(header[92:96], order, signed=True)


def _has_unsigned_bytes(header: Any) -> bool:
    """Whether the bytes of mode 0, signed by definition, are stamped as unsigned by IMOD."""
    extra = bytes(header.extra2)
    stamp, flags = np.frombuffer(extra[40:48], header.mode.dtype)
    return stamp == _IMOD_STAMP and not flags & _SIGNED_BYTES


MRC = Format("mrc", "an MRC file", _open, (".mrc", ".rec", ".st", ".mrcs", ".map"))
