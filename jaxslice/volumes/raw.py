"""Files of voxels without a header, which the options describe."""

from __future__ import annotations

import numpy as np

from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.location import Location
from jaxslice.volumes.axes import View
from jaxslice.volumes.details import Details
from jaxslice.volumes.files import FlatReader, file_size, open_file
from jaxslice.volumes.interface import Format, Source, SourceOptions
from jaxslice.volumes.sources import source_of


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    header = options.raw
    if header is None:
        raise UsageError(
            f"Got {place!r} without a header, expected --raw_shape=z,y,x (and --raw_dtype, "
            "--raw_skip_bytes)."
        )
    dtype = np.dtype(header.dtype)
    view = View("zyx", header.shape)
    with open_file(place, location) as file:
        got = file_size(file)
    expected = header.skip_bytes + int(np.prod(header.shape, dtype=object)) * dtype.itemsize
    if got < expected:
        raise SourceDataError(f"{place!r} is cut short: got {got} bytes, expected {expected}.")
    reader = FlatReader(place, location, header.skip_bytes, dtype, "C", view)
    return source_of(place, view, dtype, reader, Details("raw"))


RAW = Format(
    "raw", "a .raw file with --raw_shape", _open, (".raw", ".bin", ".dat"),
    takes=frozenset({"raw"}),
)  # fmt: skip
