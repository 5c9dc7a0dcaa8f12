"""Arrays in `.npz` and `.npy.gz` files. They are unpacked into a temporary file when first read."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import io
import threading
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.core.temporary import temporary_folder
from jaxslice.storage.location import Location, last_name, one_line
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.axes import View, view_of
from jaxslice.volumes.details import Details
from jaxslice.volumes.files import FlatReader, open_file
from jaxslice.volumes.interface import Format, Source, SourceOptions
from jaxslice.volumes.npy import Header, read_header
from jaxslice.volumes.sources import source_of

_DAMAGED = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


_UNPACKING = threading.Lock()

_PART_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class PackedReader(PicklesFields):
    """Reads boxes of a packed array.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the file.
      member: of a zip file; None for gzip.
      header: of the array.
      view: of the array.
    """

    place: str
    location: Location = dataclasses.field(hash=False)
    member: str | None
    header: Header
    view: View

    def __call__(self, box: Box) -> np.ndarray:
        with _UNPACKING:
            reader = self._unpacked
        return reader(box)

    @functools.cached_property
    def _unpacked(self) -> FlatReader:
        path, header = temporary_folder(self) / "array.npy", self.header
        expected = header.first_byte + int(np.prod(header.shape, dtype=object)) * (
            header.dtype.itemsize
        )
        try:
            with _unpacking(self.place, self.location, self.member) as file, path.open("wb") as out:
                # One byte more, so that the end is seen, where the checksum is.
                _copy(file, out, expected + 1)
        except _DAMAGED as error:
            raise SourceDataError(f"Cannot unpack {self.place!r}: {one_line(error)}.") from error
        if path.stat().st_size < expected:
            raise SourceDataError(f"{self.place!r} is cut short.")
        return FlatReader(
            self.place, path, header.first_byte, header.dtype, header.order, self.view
        )


def _copy(file: io.BufferedIOBase, out: io.BufferedIOBase, most: int) -> None:
    """Copies no more than some bytes: what a file unpacks to beyond its array has no end."""
    while most > 0 and (part := file.read(min(most, _PART_BYTES))):
        out.write(part)
        most -= len(part)


@contextlib.contextmanager
def _unpacking(place: str, location: Location, member: str | None) -> Iterator[io.BufferedIOBase]:
    with open_file(place, location) as file:
        if member is None:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked
        else:
            with zipfile.ZipFile(file) as archive, archive.open(member) as unpacked:
                yield unpacked  # type: ignore[misc]


def _member(place: str, location: Location, dataset: str | None) -> str:
    """The array of a `.npz` file that is meant."""
    with open_file(place, location) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                names = [n for n in archive.namelist() if n.endswith(".npy")]
        except _DAMAGED as error:
            message = f"Cannot read {place!r} as a .npz file: {one_line(error)}."
            raise UsageError(message) from error
    wanted = None if dataset is None else f"{dataset.removesuffix('.npy')}.npy"
    if wanted in names:
        return wanted
    if wanted is None and len(names) == 1:
        return names[0]
    found = ", ".join(name.removesuffix(".npy") for name in names) or "none"
    raise UsageError(
        f"Got the dataset {dataset!r} of {place!r}, expected one of its arrays: {found}."
    )


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    is_zip = last_name(location).lower().endswith(".npz")
    member = _member(place, location, options.dataset) if is_zip else None
    if not is_zip and options.dataset is not None:
        raise UsageError(f"Got the dataset {options.dataset!r} for {place!r}, expected none.")
    try:
        with _unpacking(place, location, member) as file:
            header = read_header(place, file)
    except _DAMAGED as error:
        raise UsageError(f"Cannot read {place!r}: {one_line(error)}.") from error
    view = view_of(place, None, header.shape, options)
    reader = PackedReader(place, location, member, header, view)
    details = Details(
        format="npz" if is_zip else "npy.gz",
        encoding="zip" if is_zip else "gzip",
        axes=view.axes,
        selected=view.several(),
        dataset=options.dataset,
    )
    return source_of(place, view, header.dtype, reader, details)


PACKED_NPY = Format(
    "npz", "an array in a .npz or .npy.gz file", _open, (".npz", ".npy.gz"),
    takes=frozenset({"dataset", "channel", "time"}),
)  # fmt: skip
