"""Single TIFF files written page by page in place: uncompressed, BigTIFF where they are large."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.storage.kind import Kind
from jaxslice.storage.location import Location, one_line
from jaxslice.volumes.extras import require
from jaxslice.volumes.interface import NewVolume
from jaxslice.volumes.npy import reserve

_LARGEST_CLASSIC_BYTES = 2**32 - 2**25


@dataclasses.dataclass(frozen=True)
class TiffWriter:
    """Writes boxes of a file whose pages lie one after the other.

    Attributes:
      path: of the file.
      box: the whole volume.
      dtype: of the voxels, with the file's byte order.
      first_byte: of the first page.
    """

    path: Path
    box: Box
    dtype: np.dtype
    first_byte: int

    def __call__(self, box: Box, voxels: np.ndarray) -> None:
        # Mapped anew each time: pages that were written stay resident for as long as the map does.
        whole = np.memmap(self.path, self.dtype, "r+", self.first_byte, self.box.shape)
        whole[box.relative_to(self.box.start).slices] = voxels


def create_tiff(path: Path, new: NewVolume) -> TiffWriter:
    """Creates a file of zeros.

    Raises:
      UsageError: it cannot be created.
    """
    tifffile = require("tifffile")
    if new.encoding not in (None, "raw"):
        raise UsageError(f"Got the encoding {new.encoding!r} for {str(path)!r}, expected raw.")
    z_nm, y_nm, x_nm = new.voxel_size_nm
    size = {
        "PhysicalSizeX": x_nm, "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": y_nm, "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": z_nm, "PhysicalSizeZUnit": "nm",
    }  # fmt: skip
    try:
        mapped = tifffile.memmap(
            path, shape=new.box.shape, dtype=new.dtype, photometric="minisblack", ome=True,
            bigtiff=new.box.size * new.dtype.itemsize > _LARGEST_CLASSIC_BYTES,
            metadata={"axes": "ZYX", **size},
        )  # fmt: skip
        first, dtype = mapped.offset, mapped.dtype
        del mapped
        reserve(path)
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise UsageError(f"Cannot create {str(path)!r}: {reason}.") from error
    return TiffWriter(path, new.box, dtype, first)


def create(place: str, location: Location, new: NewVolume) -> TiffWriter:
    """Creates a file; see `create_tiff`."""
    assert isinstance(location, Path), "a single file is local: see `storage.bucket.check`"
    return create_tiff(location, new)


KIND = Kind("a TIFF file")
