"""Datasets of HDF5 files, read and written by h5py."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage.kind import Kind
from jaxslice.storage.location import Location, one_line
from jaxslice.storage.pickling import PicklesFields
from jaxslice.volumes.axes import View, axes_named, view_of
from jaxslice.volumes.details import Details, VoxelSize
from jaxslice.volumes.extras import require
from jaxslice.volumes.files import open_file
from jaxslice.volumes.interface import Format, NewVolume, Source, SourceOptions
from jaxslice.volumes.sources import nm_of, source_of, usable_size

DATASET = "volume"
"""Name of the dataset that is written."""

ENCODINGS = {"raw": None, "gzip": "gzip", "lzf": "lzf"}


@dataclasses.dataclass(frozen=True)
class Hdf5Reader(PicklesFields):
    """Reads boxes of a dataset.

    Attributes:
      place: as the user wrote it, for messages.
      location: of the file.
      dataset: its path.
      view: of the dataset.
    """

    place: str
    location: Location = dataclasses.field(hash=False)
    dataset: str
    view: View

    def __call__(self, box: Box) -> np.ndarray:
        try:
            part = self._dataset[self.view.index(box)]
        except (OSError, ValueError, RuntimeError) as error:
            raise SourceDataError(
                f"Cannot read the box {box} of {self.place!r}: {one_line(error)}."
            ) from error
        part = self.view.arrange(part)
        return np.array(part, part.dtype.newbyteorder("="), order="C")

    @functools.cached_property
    def _dataset(self) -> Any:
        h5py = require("h5py")
        is_local = isinstance(self.location, Path)
        file = str(self.location) if is_local else open_file(self.place, self.location)
        # Slabs of a dataset are read by neighbouring blocks: the cache holds a row of chunks.
        return h5py.File(file, "r", rdcc_nbytes=128 << 20)[self.dataset]


_WRITING = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Hdf5Writer(PicklesFields):
    """Writes boxes of the dataset of a file.

    Attributes:
      path: of the file.
      box: the whole volume.
    """

    path: Path
    box: Box

    def __call__(self, box: Box, voxels: np.ndarray) -> None:
        # A file is open only while it is written, since whoever writes last would have to close it.
        with _WRITING, require("h5py").File(self.path, "r+") as file:
            file[DATASET][box.relative_to(self.box.start).slices] = voxels


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    h5py = require("h5py")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_file(place, location))
        try:
            opened = stack.enter_context(h5py.File(file, "r"))
        except OSError as error:
            message = f"Cannot read {place!r} as an HDF5 file: {one_line(error)}."
            raise UsageError(message) from error
        dataset = _chosen(place, opened, options.dataset)
        view = view_of(place, _axes(dataset), list(dataset.shape), options)
        chunks = view.triple(dataset.chunks) if dataset.chunks else None
        details = Details(
            format="hdf5",
            encoding=str(dataset.compression or "raw"),
            chunk_shape=chunks,
            axes=view.axes,
            selected=view.several(),
            dataset=dataset.name,
        )
        reader = Hdf5Reader(place, location, dataset.name, view)
        return source_of(place, view, dataset.dtype, reader, details, _voxel_size(dataset, view))


def _chosen(place: str, file: Any, name: str | None) -> Any:
    h5py = require("h5py")
    if name is not None:
        found = file.get(name)
        if isinstance(found, h5py.Dataset):
            return found
    datasets: list[Any] = []
    file.visititems(
        lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None
    )
    large = [d for d in datasets if len(d.shape) >= 2 and d.dtype.kind in "uif"]
    if name is None and len(large) == 1:
        return large[0]
    names = ", ".join(f"{d.name} {d.shape} {d.dtype}" for d in large[:20]) or "none"
    got = f"the dataset {name!r} of {place!r}" if name else f"{place!r} without --dataset"
    raise UsageError(f"Got {got}, expected one of its datasets: {names}.")


def _axes(dataset: Any) -> str | None:
    named = axes_named([dimension.label for dimension in dataset.dims])
    if named is None and "axes" in dataset.attrs:
        axes = dataset.attrs["axes"]
        named = axes_named(list(axes.decode() if isinstance(axes, bytes) else axes))
    return named


def _voxel_size(dataset: Any, view: View) -> VoxelSize | None:
    """From the attributes that ImageJ, ilastik, BigDataViewer's and CREMI's files have."""
    for name in ("element_size_um", "resolution", "voxel_size"):
        values = dataset.attrs.get(name)
        if values is not None and np.size(values) == 3:
            unit = dataset.attrs.get("unit", dataset.attrs.get("units"))
            unit = unit.decode() if isinstance(unit, bytes) else unit
            unit = "um" if name.endswith("_um") else unit if isinstance(unit, str) else "nm"
            return usable_size([nm_of(float(v), unit) for v in np.ravel(values)])
    return None


def _create(place: str, location: Location, new: NewVolume) -> Hdf5Writer:
    h5py = require("h5py")
    assert isinstance(location, Path), "a single file is local: see `storage.bucket.check`"
    name = new.encoding or "raw"
    if name not in ENCODINGS:
        raise UsageError(
            f"Got the encoding {name!r} for {place!r}, expected one of {', '.join(ENCODINGS)}."
        )
    chunks = tuple(min(c, n) for c, n in zip(new.chunk_shape, new.box.shape, strict=True))
    try:
        with h5py.File(location, "w-") as file:
            dataset = file.create_dataset(
                DATASET, new.box.shape, new.dtype, chunks=chunks, compression=ENCODINGS[name]
            )
            for dimension, axis in zip(dataset.dims, "zyx", strict=True):
                dimension.label = axis
            dataset.attrs["resolution"] = new.voxel_size_nm
            dataset.attrs["unit"] = "nm"
            dataset.attrs["offset"] = new.box.start
    except OSError as error:
        raise UsageError(f"Cannot create {place!r}: {one_line(error)}.") from error
    return Hdf5Writer(location, new.box)


HDF5 = Format(
    "hdf5", "a dataset of an HDF5 file", _open, (".h5", ".hdf5", ".hdf", ".nxs", ".ims"),
    magic=(b"\x89HDF\r\n\x1a\n",), takes=frozenset({"dataset", "channel", "time"}),
    create=_create, kind=Kind("an HDF5 file"),
)  # fmt: skip
