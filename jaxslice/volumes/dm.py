"""DM3 and DM4 files of one volume, read in place."""

from __future__ import annotations

from jaxslice.storage.location import Location
from jaxslice.volumes.axes import view_of
from jaxslice.volumes.details import Details
from jaxslice.volumes.dm_tags import SUFFIXES, array_of
from jaxslice.volumes.files import FlatReader, local_file
from jaxslice.volumes.interface import Format, Source, SourceOptions
from jaxslice.volumes.sources import source_of, usable_size


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    found = array_of(local_file(place, location, "a DM3 or DM4 file"), options.dataset)
    view = view_of(place, None, found.shape, options)
    reader = FlatReader(place, location, found.first_byte, found.dtype, "C", view)
    details = Details("dm", dataset=options.dataset)
    return source_of(place, view, found.dtype, reader, details, usable_size(found.sizes_nm))


DM = Format(
    "dm", "a DM3 or DM4 file", _open, SUFFIXES, takes=frozenset({"dataset", "channel"})
)  # fmt: skip
