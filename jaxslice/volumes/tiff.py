"""Multi-page TIFF files, read by tifffile: BigTIFF, tiled, compressed, OME and ImageJ."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.location import Location, one_line
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.axes import View, view_of
from jaxslice.volumes.details import Details, VoxelSize
from jaxslice.volumes.extras import require
from jaxslice.volumes.files import FlatReader, open_file
from jaxslice.volumes.interface import Format, Reader, Source, SourceOptions
from jaxslice.volumes.pages import PageCache
from jaxslice.volumes.sources import nm_of, source_of, usable_size
from jaxslice.volumes.tiff_chain import check_chain
from jaxslice.volumes.tiff_writer import KIND, create

_LOSSY = ("JPEG", "JPEGXL", "WEBP", "JPEG2000", "JPEG_LOSSY", "APERIO_JP2000_RGB")
"""Compressions that may have changed the voxels."""

_LARGEST_PIXEL_NM = 10_000.0
"""Larger pixels are a printer's resolution, which programs write where they know none."""


@dataclasses.dataclass(frozen=True)
class TiffReader(PicklesFields):
    """Reads boxes of the pages of a file: by tile, or by page where pages are not tiled.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the file.
      view: of the first series.
      tiled: whether its pages are.
    """

    place: str
    location: Location = dataclasses.field(hash=False)
    view: View
    tiled: bool

    def __call__(self, box: Box) -> np.ndarray:
        pages = self._page_numbers[self.view.index(box)[: self._page_numbers.ndim]]
        inner = self.view.index(box)[self._page_numbers.ndim :]
        pages = np.asarray(pages)
        y, x = inner[0], inner[1]
        parts = np.stack([self._part(int(number), y, x) for number in pages.ravel()])
        parts = parts.reshape(*pages.shape, *parts.shape[1:])
        sample = inner[2:]
        return np.ascontiguousarray(self.view.arrange(parts[(..., *sample)]))

    def stored_sample(self, count: int, seed: int) -> tuple[int, int]:
        """Bytes and voxels of some of the pages."""
        total = self._page_numbers.size
        drawn = np.random.default_rng(seed).choice(total, min(total, count), replace=False)
        pages = [self._page(int(number)) for number in drawn]
        stored = sum(sum(page.databytecounts) for page in pages)
        return stored, sum(page.imagelength * page.imagewidth for page in pages)

    def _part(self, number: int, y: Any, x: Any) -> np.ndarray:
        if not self.tiled:
            return self._cache.read(number, y, x)
        page = self._page(number)
        height, width = page.tilelength, page.tilewidth
        shape = (y.stop - y.start, x.stop - x.start, *page.shape[2:])
        voxels = np.empty(shape, page.dtype)
        per_row = -(-page.imagewidth // width)
        rows = range(y.start // height, -(-y.stop // height))
        columns = range(x.start // width, -(-x.stop // width))
        for row, column in itertools.product(rows, columns):
            tile = self._tile(page, row * per_row + column)
            top, left = row * height, column * width
            a, b = max(top, y.start), min(top + height, y.stop)
            c, d = max(left, x.start), min(left + width, x.stop)
            voxels[a - y.start : b - y.start, c - x.start : d - x.start] = (
                0 if tile is None else tile[a - top : b - top, c - left : d - left]
            )
        return voxels

    def _tile(self, page: Any, number: int) -> np.ndarray | None:
        """A decoded tile [y, x, sample...]; None for one that was left out."""
        offset, size = page.dataoffsets[number], page.databytecounts[number]
        if size == 0:
            return None
        handle = self._file.filehandle
        with handle.lock:
            handle.seek(offset)
            data = handle.read(size)
        try:
            tables = page.jpegtables
            decoded = (
                page.decode(data, number, jpegtables=tables)
                if tables
                else page.decode(data, number)
            )
        except (ValueError, RuntimeError) as error:
            raise SourceDataError(
                f"Cannot decode tile {number} of {self.place!r}: {one_line(error)}."
            ) from error
        tile = decoded[0][0]
        return tile if len(page.shape) > 2 else tile[..., 0]

    def _decoded_page(self, number: int) -> np.ndarray:
        try:
            with self._file.filehandle.lock:
                return self._page(number).asarray(maxworkers=1)
        except (ValueError, RuntimeError, OSError) as error:
            raise SourceDataError(
                f"Cannot decode page {number} of {self.place!r}: {one_line(error)}."
            ) from error

    @functools.cached_property
    def _page(self) -> Callable[[int], Any]:
        # What a page says of itself is read from the file each time that it is asked.
        return functools.lru_cache(1024)(self._found_page)

    def _found_page(self, number: int) -> Any:
        page = self._series.pages[number]
        if page is None:
            raise SourceDataError(f"Page {number} of {self.place!r} is missing.")
        return page.aspage() if hasattr(page, "aspage") else page

    @functools.cached_property
    def _page_numbers(self) -> np.ndarray:
        """The number of each page, in the order of the axes before y and x."""
        leading = [n for a, n in zip(self.view.axes, self.view.shape, strict=True) if a not in "yx"]
        if self.view.axes[-1] == "s":
            leading = leading[:-1]
        return np.arange(int(np.prod(leading, dtype=np.int64))).reshape(leading)

    @functools.cached_property
    def _cache(self) -> PageCache:
        return PageCache(self._decoded_page)

    @functools.cached_property
    def _file(self) -> Any:
        file = _tiff_file(self.place, self.location)
        file.filehandle.set_lock(True)
        weakref.finalize(self, file.close)
        return file

    @functools.cached_property
    def _series(self) -> Any:
        return self._file.series[0]


def _tiff_file(place: str, location: Location) -> Any:
    tifffile = require("tifffile")
    try:
        if isinstance(location, Path):
            with open_file(place, location) as opened:
                check_chain(place, opened)
            return tifffile.TiffFile(location)
        file = open_file(place, location)
        check_chain(place, file)
        return tifffile.TiffFile(file)
    except (ValueError, OSError, KeyError, IndexError) as error:
        message = f"Cannot read {place!r} as a TIFF file: {one_line(error)}."
        raise UsageError(message) from error


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    with _tiff_file(place, location) as file:
        if not file.series:
            raise UsageError(f"Got {place!r} without pages, expected at least one.")
        series = file.series[0]
        page = series.keyframe
        axes = _axes(series.axes)
        view = view_of(place, axes, [int(n) for n in series.shape], options)
        contiguous = series.dataoffset is not None and not page.is_tiled
        size, first = file.filehandle.size, series.dataoffset
        compression = require("tifffile").COMPRESSION(page.compression).name
        details = Details(
            format="tiff",
            encoding="raw" if compression == "NONE" else compression.lower(),
            lossy=compression in _LOSSY,
            chunk_shape=None if contiguous else _chunk(page),
            axes=axes,
            selected=view.several(),
        )
        reader: Reader
        if contiguous and first is not None:
            dtype = np.dtype(file.byteorder + page.dtype.char)
            end = first + int(np.prod(view.shape, dtype=object)) * dtype.itemsize
            if size < end:
                raise SourceDataError(f"{place!r} is cut short: got {size} bytes, expected {end}.")
            reader = FlatReader(place, location, first, dtype, "C", view)
        else:
            _check_pages(place, axes, page)
            reader = TiffReader(place, location, view, page.is_tiled)
        return source_of(place, view, page.dtype, reader, details, _voxel_size(file, page))


def _axes(axes: str) -> str:
    """The axes of tifffile as `view_of` takes them: unnamed series of pages are slices."""
    axes = axes.lower()
    if "z" not in axes:
        for other in ("i", "q", "t"):
            if other in axes:
                axes = axes.replace(other, "z", 1)
                break
    return axes


def _check_pages(place: str, axes: str, page: Any) -> None:
    ok = axes.rstrip("s")[-2:] == "yx" and axes.count("s") <= 1
    if not ok or page.imagedepth > 1:
        raise UsageError(f"Got {place!r} with the axes {axes}, expected pages of y and x.")


def _chunk(page: Any) -> tuple[int, int, int]:
    if page.is_tiled:
        return (1, page.tilelength, page.tilewidth)
    return (1, page.imagelength, page.imagewidth)


def _voxel_size(file: Any, page: Any) -> VoxelSize | None:
    if file.ome_metadata:
        return _size_of_ome(file.ome_metadata)
    x, y = _pixel_of_tags(page)
    imagej = file.imagej_metadata or {}
    unit = imagej.get("unit")
    if unit and (x is None or y is None):
        x, y = _pixel_of_tags(page, unit)
    z = nm_of(imagej.get("spacing"), unit)
    if x is None or y is None:
        return None
    return usable_size([z or x, y, x])


def _size_of_ome(text: str) -> VoxelSize | None:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    for pixels in root.iter():
        if pixels.tag.rpartition("}")[2] == "Pixels":
            x, y, z = (
                nm_of(
                    float(pixels.get(f"PhysicalSize{axis}", "nan")),
                    pixels.get(f"PhysicalSize{axis}Unit", "µm"),
                )
                for axis in "XYZ"
            )
            z = x if z != z else z
            return usable_size([z, y, x])
    return None


def _pixel_of_tags(page: Any, unit: str | None = None) -> tuple[float | None, float | None]:
    """Width and height of a pixel in nm, from the tags of resolution."""
    tags = {1: unit, 2: "inch", 3: "centimeter"}
    unit = tags.get(page.resolutionunit if unit is None else 1)
    x, y = page.resolution
    nm = 2.54e7 if unit == "inch" else nm_of(1.0, unit)
    found = [nm / v if nm and v else None for v in (x, y)]
    if any(v is None or v >= _LARGEST_PIXEL_NM for v in found):
        return None, None
    return float(f"{found[0]:.9g}"), float(f"{found[1]:.9g}")


TIFF = Format(
    "tiff", "a TIFF file of one or more pages", _open, (".tif", ".tiff", ".btf", ".tf8"),
    magic=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    takes=frozenset({"channel", "time"}), create=create, kind=KIND,
)  # fmt: skip
