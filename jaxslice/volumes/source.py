"""Opens volumes for reading, whatever their format."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.storage.location import parse_location
from jaxslice.volumes.formats import SUPPORTED, format_of
from jaxslice.volumes.interface import NotThisFormat, Source, SourceOptions

__all__ = ["Source", "open_source"]


def open_source(
    source: str | os.PathLike[str],
    *,
    bbox: Box | None = None,
    scale: int | str = 0,
    missing: str = "error",
) -> Source:
    """Opens a volume for reading; no voxel is read yet.

    Args:
      source: a `.npy` file, or the folder or URL of a precomputed volume. A `precomputed://` in
        front and a `|neuroglancer-precomputed:` at the end are accepted.
      bbox: the voxels to read, in global coordinates (voxel_offset included); all if None.
      scale: which scale of a precomputed volume, by its index or its key (such as "8_8_8").
      missing: what a chunk that the volume does not have means: "error", or "zero" for black.

    Returns:
      The source, restricted to `bbox`.

    Raises:
      UsageError: no such volume, one of an unsupported kind, or a wrong option.
      SourceDataError: a `.npy` file that is shorter than its header says.
    """
    if missing not in ("error", "zero"):
        raise UsageError(f"Got missing={missing!r}, expected 'error' or 'zero'.")
    place = os.fspath(source)
    if not place:
        raise UsageError(f"Got {place!r}, expected {SUPPORTED}.")
    location = parse_location(place)
    if isinstance(location, Path) and not location.exists():
        raise UsageError(f"Got {place!r}, but there is no such file or folder.")
    try:
        opened = format_of(place, location).open(place, location, SourceOptions(scale, missing))
    except NotThisFormat as error:
        raise UsageError(f"Got {place!r}, which {error}. Supported: {SUPPORTED}.") from error
    if bbox is None:
        return opened
    if min(bbox.shape) < 1 or not opened.box.contains(bbox):
        raise UsageError(
            f"Got the bbox {bbox}, expected a box of at least one voxel wholly inside the volume,"
            f" which is {opened.box} (z,y,x)."
        )
    placement = dataclasses.replace(opened.placement, offset_voxels=bbox.start)
    return dataclasses.replace(opened, box=bbox, placement=placement)
