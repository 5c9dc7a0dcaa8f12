"""The file formats of volumes: the list to add one to, and how one is recognised.

To add a format, say TIFF:

1. Write `volumes/tiff.py`. It defines a frozen dataclass `TiffReader` that holds the location and
   the options and is called with a box (see `interface.Reader`), a function that opens a volume
   (see `interface.Open`), and the value `TIFF = Format(...)`.
2. Add `TIFF` to `FORMATS` below.
3. Write `tests/volumes/test_tiff.py`. `tests/volumes/test_formats.py` tests all formats alike.

A format that can be written has `create` and `kind` as well. `volumes/npy.py` is the shortest
example of both.
"""

from __future__ import annotations

import os
from pathlib import Path

from jaxslice.core.errors import UsageError
from jaxslice.storage import location as locations
from jaxslice.storage.folder import folder_at
from jaxslice.storage.location import (
    Location,
    is_refused,
    last_name,
    unreachable_is_usage_error,
)
from jaxslice.storage.url import told
from jaxslice.volumes.dm import DM
from jaxslice.volumes.hdf5 import HDF5
from jaxslice.volumes.interface import Format, NotThisFormat
from jaxslice.volumes.mrc import MRC
from jaxslice.volumes.n5 import N5
from jaxslice.volumes.npy import NPY
from jaxslice.volumes.nrrd import NRRD
from jaxslice.volumes.packed_npy import PACKED_NPY
from jaxslice.volumes.precomputed import PRECOMPUTED
from jaxslice.volumes.raw import RAW
from jaxslice.volumes.stack import STACK, has_pictures
from jaxslice.volumes.tiff import TIFF
from jaxslice.volumes.zarr_volume import ZARR_2, ZARR_3

FORMATS: tuple[Format, ...] = (
    NPY, PACKED_NPY, PRECOMPUTED, ZARR_3, ZARR_2, N5, TIFF, STACK, HDF5, MRC, DM, NRRD, RAW,
)  # fmt: skip

_ALIASES = {"zarr": "zarr3"}
"""Words for formats whose version is found out."""

SUPPORTED = "; ".join(known.name for known in FORMATS)
"""The formats, for messages."""


def keys() -> list[str]:
    """The words for all formats."""
    return [known.key for known in FORMATS]


def format_named(key: str) -> Format:
    """The format with a key.

    Raises:
      UsageError: there is none.
    """
    for known in FORMATS:
        if known.key == _ALIASES.get(key, key):
            return known
    raise UsageError(f"Got the format {key!r}, expected one of {', '.join(keys())}.")


def format_of(place: str, location: Location, key: str | None = None) -> Format:
    """The format of an existing volume.

    It is the one that is requested, the one that the place says, or the one that the name and the
    first objects there look like.

    Raises:
      UsageError: it looks like none, or cannot be reached.
      NotThisFormat: it is a folder without any of the objects that formats have.
    """
    key = key or told(place).format
    if key is not None:
        return format_named(key)
    if isinstance(location, Path) and not location.exists():
        # A pattern of files.
        return STACK
    is_folder = isinstance(location, Path) and location.is_dir()
    by_name = None if is_folder else _by_suffix(last_name(location))
    if by_name is not None:
        return by_name
    if isinstance(location, Path) and not is_folder:
        return _by_first_bytes(place, location)
    return _by_entries(place, location)


def format_to_write(place: str, location: Location, key: str | None = None) -> Format:
    """The format of a volume that is to be created, from its name alone.

    Raises:
      UsageError: the format is only read.
    """
    key = key or told(place).format
    known = format_named(key) if key else _by_suffix(last_name(location)) or PRECOMPUTED
    if known.create is None:
        writable = [known.key for known in FORMATS if known.create is not None]
        raise UsageError(
            f"Got {place!r}, expected another format: {known.name} is only read. Written are"
            f" {', '.join(writable)}."
        )
    return known


def _by_suffix(name: str) -> Format | None:
    for known in FORMATS:
        if name.lower().endswith(known.suffixes or ("\0",)):
            return known
    return None


def _by_first_bytes(place: str, path: Path) -> Format:
    with unreachable_is_usage_error(place), path.open("rb") as file:
        start = file.read(16)
    for known in FORMATS:
        if start.startswith(known.magic or (b"\0" * 17,)):
            return known
    if start.startswith(b"PK\x03\x04"):
        raise NotThisFormat(f"is a ZIP file; {place + '|zip:'!r} is the volume in it")
    raise NotThisFormat(f"is a file of another format, beginning with {start!r}")


def _by_entries(place: str, location: Location) -> Format:
    folder, refused = folder_at(place, location), None
    for known in FORMATS:
        for entry in known.entries:
            try:
                found = folder.read(entry, locations.OPEN_TIMEOUT_SECONDS)
            except OSError as error:
                if not is_refused(error):
                    with unreachable_is_usage_error(place):
                        raise
                refused = error
                continue
            if found is not None:
                return known
    if refused is not None:
        with unreachable_is_usage_error(place):
            raise refused
    if isinstance(location, Path) and has_pictures(location):
        return STACK
    entries = ", ".join(entry for known in FORMATS for entry in known.entries)
    names = ""
    if isinstance(location, Path):
        names = ", ".join(sorted(os.listdir(location))[:4]) or "nothing"
        names = f" and has {names}"
    raise NotThisFormat(f"has no {entries}{names}")
