"""The file formats of volumes: the list to add one to.

To add a format, say TIFF:

1. Write `volumes/tiff.py`. It defines a frozen dataclass `TiffReader` that holds the location and
   the options and is called with a box (see `interface.Reader`), a function that opens a volume
   (see `interface.Open`), and the value `TIFF = Format(...)`.
2. Add `TIFF` to `FORMATS` below. The first format whose `is_named` accepts a location opens it.
3. Write `tests/volumes/test_tiff.py`. `tests/volumes/test_formats.py` tests all formats alike.

A format that can be written has `create` and `kind` as well. `volumes/npy.py` is the shortest
example of both.
"""

from jaxslice.core.errors import UsageError
from jaxslice.storage.location import Location
from jaxslice.volumes.interface import Format
from jaxslice.volumes.npy import NPY
from jaxslice.volumes.precomputed import PRECOMPUTED

FORMATS: tuple[Format, ...] = (NPY, PRECOMPUTED)

SUPPORTED = ", or ".join(known.name for known in FORMATS)
"""The formats, for messages."""


def format_of(place: str, location: Location) -> Format:
    """The format of a location, from its name.

    Raises:
      UsageError: it looks like none.
    """
    for known in FORMATS:
        if known.is_named(location):
            return known
    raise UsageError(f"Got {place!r}, expected {SUPPORTED}.")
