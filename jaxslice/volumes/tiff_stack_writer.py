"""Stacks of TIFF files, one for each slice, written in place."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import Location
from jaxslice.volumes.interface import NewVolume
from jaxslice.volumes.tiff_writer import TiffWriter, create_tiff

_NAME = "slice{:06d}.tif"
FIRST = _NAME.format(0)


@dataclasses.dataclass(frozen=True)
class TiffStackWriter:
    """Writes boxes of a stack.

    Attributes:
      folder: of the files.
      box: the whole volume.
      page: the writer of the first file: all have the same layout.
    """

    folder: Path
    box: Box
    page: TiffWriter

    def __call__(self, box: Box, voxels: np.ndarray) -> None:
        local = box.relative_to(self.box.start)
        for number, picture in enumerate(voxels, local.start[0]):
            page = dataclasses.replace(self.page, path=self.folder / _NAME.format(number))
            z = self.page.box.start[0]
            page(Box((z, *box.start[1:]), (z + 1, *box.stop[1:])), picture[None])


def create(place: str, location: Location, new: NewVolume) -> TiffStackWriter:
    """Creates a folder of files.

    Raises:
      UsageError: it cannot be created.
    """
    if not isinstance(location, Path):
        raise UsageError(f"Got {place!r}, expected a local path: a stack cannot be remote.")
    z, y, x = new.box.start
    one = dataclasses.replace(new, box=Box.of_shape((1, *new.box.shape[1:]), (z, y, x)))
    try:
        location.mkdir()
    except OSError as error:
        raise UsageError(f"Cannot create {place!r}: {error.strerror}.") from error
    writers = [create_tiff(location / _NAME.format(n), one) for n in range(new.box.shape[0])]
    return TiffStackWriter(location, new.box, writers[0])


def _own_keys(entry: bytes | None) -> OwnKeys | None:
    if entry is not None and entry[:2] not in (b"II", b"MM"):
        return None
    return lambda key: re.fullmatch(r"slice\d+\.tif", key) is not None


KIND = Kind("a stack of TIFF files", FIRST, _own_keys)
