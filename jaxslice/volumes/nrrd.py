"""NRRD files: the header is read by pynrrd; voxels in place, or unpacked where they are packed."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.location import Location, one_line
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.axes import View, view_of
from jaxslice.volumes.details import Details, VoxelSize
from jaxslice.volumes.extras import require
from jaxslice.volumes.files import FlatReader, local_file
from jaxslice.volumes.interface import Format, Reader, Source, SourceOptions
from jaxslice.volumes.sources import nm_of, source_of, usable_size


@dataclasses.dataclass(frozen=True)
class PackedNrrdReader(PicklesFields):
    """Reads boxes of a packed file, of which all voxels are unpacked into memory at once.

    Attributes:
      place: as the user wrote it, for messages.
      path: of the file.
      view: of the array.
    """

    place: str
    path: Path
    view: View

    def __call__(self, box: Box) -> np.ndarray:
        part = self.view.arrange(self._voxels[self.view.index(box)])
        return np.array(part, part.dtype.newbyteorder("="), order="C")

    @functools.cached_property
    def _voxels(self) -> np.ndarray:
        try:
            return require("nrrd").read(str(self.path), index_order="C")[0]
        except Exception as error:
            message = f"Cannot read {self.place!r}: {one_line(error)}."
            raise SourceDataError(message) from error


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    nrrd = require("nrrd")
    path = local_file(place, location, "an NRRD file")
    try:
        with path.open("rb") as file:
            header = nrrd.read_header(file)
            first = file.tell()
        sizes = [int(n) for n in header["sizes"]]
        dtype = nrrd.reader._determine_datatype(header)
    # A damaged header raises any of a parser's errors.
    except Exception as error:
        message = f"Cannot read {place!r} as an NRRD file: {one_line(error)}."
        raise UsageError(message) from error
    view = view_of(place, None, sizes[::-1], options)
    packed = header.get("encoding") != "raw" or "data file" in header or "datafile" in header
    reader: Reader = (
        PackedNrrdReader(place, path, view)
        if packed
        else FlatReader(place, path, first, dtype, "C", view)
    )
    expected = first + int(np.prod(sizes, dtype=object)) * dtype.itemsize
    if not packed and path.stat().st_size < expected:
        raise SourceDataError(
            f"{place!r} is cut short: got {path.stat().st_size} bytes, expected {expected}."
        )
    details = Details(
        "nrrd", str(header.get("encoding", "raw")), axes=view.axes, selected=view.several()
    )
    return source_of(place, view, dtype, reader, details, _voxel_size(header))


def _voxel_size(header: Any) -> VoxelSize | None:
    units = list(header.get("space units") or header.get("units") or [])
    directions = header.get("space directions")
    spacings = header.get("spacings")
    if directions is not None:
        spacings = np.linalg.norm(np.asarray(directions, float), axis=1)
    if spacings is None or len(spacings) < 3 or len(units) < 3:
        return None
    found = [nm_of(float(v), u.strip('"')) for v, u in zip(spacings[:3], units[:3], strict=True)]
    return usable_size(found[::-1])


NRRD = Format("nrrd", "an NRRD file", _open, (".nrrd", ".nhdr"), magic=(b"NRRD",))
