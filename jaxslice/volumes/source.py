"""Opens volumes for reading, whatever their format."""

from __future__ import annotations

import dataclasses
import glob
import os
from pathlib import Path

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.core.voxel_types import check_voxel_type
from jaxslice.storage.location import parse_location
from jaxslice.volumes.arrays import is_array, source_of_array
from jaxslice.volumes.damage import damage_is
from jaxslice.volumes.formats import SUPPORTED, format_of
from jaxslice.volumes.interface import AnySource, Format, NotThisFormat, Source, SourceOptions

__all__ = ["Source", "SourceOptions", "open_any", "open_source"]


def open_source(
    source: AnySource,
    *,
    bbox: Box | None = None,
    scale: int | str = 0,
    missing: str = "error",
    options: SourceOptions | None = None,
) -> Source:
    """Opens a volume for reading; no voxel is read yet.

    Args:
      source: a path or URL of any format of `formats.FORMATS`; or an array: NumPy's, a memmap,
        dask's, Zarr's, TensorStore's; or a source that is open.
      bbox: the voxels to read, in global coordinates (voxel_offset included); all if None.
      scale: which scale, by its index or its key (such as "8_8_8").
      missing: what a chunk that the volume does not have means: "error", or "zero" for black.
      options: how to open it, in place of `scale` and `missing`.

    Returns:
      The source, restricted to `bbox`.

    Raises:
      UsageError: no such volume, one of an unsupported kind, or a wrong option.
      SourceDataError: a file that is shorter than its header says.

    >>> import jaxslice
    >>> source = jaxslice.open_source("volume.npy")
    >>> source.shape, source.dtype, source.details.format
    ((4, 32, 48), dtype('uint8'), 'npy')
    """
    options = options or SourceOptions(scale, missing)
    opened = open_any(source, options)
    check_dtype(opened)
    return opened.part(bbox)


def open_any(source: AnySource, options: SourceOptions) -> Source:
    """As `open_source`, with voxels of any dtype."""
    if isinstance(source, Source):
        opened = source
    elif is_array(source):
        opened = source_of_array(source, options)
    else:
        opened = _open_place(os.fspath(source), options)
    if options.voxel_size_nm is not None:
        placement = dataclasses.replace(opened.placement, voxel_size_nm=options.voxel_size_nm)
        details = dataclasses.replace(opened.details, voxel_size_known=True)
        opened = dataclasses.replace(opened, placement=placement, details=details)
    return opened


def check_dtype(source: Source) -> None:
    """Refuses voxels that cannot be compressed (UsageError)."""
    check_voxel_type(source.dtype, repr(source.description))


def _open_place(place: str, options: SourceOptions) -> Source:
    if not place.strip():
        raise UsageError(f"Got {place!r}, expected {SUPPORTED}.")
    location = parse_location(place)
    if isinstance(location, Path) and not location.exists() and not glob.has_magic(place):
        raise UsageError(f"Got {place!r}, but there is no such file or folder.")
    try:
        known = format_of(place, location, options.format)
        _check_taken(place, known, options)
        with damage_is(UsageError, f"{place!r} as {known.name}"):
            return known.open(place, location, options)
    except NotThisFormat as error:
        raise UsageError(f"Got {place!r}, which {error}. Supported: {SUPPORTED}.") from error


def _check_taken(place: str, known: Format, options: SourceOptions) -> None:
    """Refuses options that say something a format does not have."""
    for name, nothing in (
        ("scale", "0"), ("dataset", "None"), ("channel", "0"), ("time", "0"), ("raw", "None"),
    ):  # fmt: skip
        value = getattr(options, name)
        if value is not None and str(value) != nothing and name not in known.takes:
            raise UsageError(
                f"Got the {name} {value!r} for {place!r}, expected none: there is only one."
            )
