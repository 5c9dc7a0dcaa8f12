"""Volumes of others, in all formats that are read: a target for each.

A source that opens gives a small box of voxels of the shape and dtype that it says. A volume of
several files is a document, a separator, and its one chunk.
"""

from __future__ import annotations

import functools
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from fuzz.target import SEPARATOR, Target, may_refuse, scratch
from jaxslice.core.box import Box
from jaxslice.volumes.inspect import inspect
from jaxslice.volumes.source import open_source

# What libraries say of damage beside their errors.
logging.getLogger("tifffile").disabled = True

_FOLDER = scratch()
_READ = (2, 8, 8)
"""Voxels that are read at most, along each axis."""


def _read(place: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        _looked_at(place)


def _looked_at(place: Path) -> None:
    with may_refuse():
        inspect(str(place))
    with may_refuse():
        source = open_source(str(place))
        box = Box.of_shape(_READ, source.box.start).intersect(source.box)
        voxels = source.read(box)
        assert voxels.shape == box.shape, (voxels.shape, box)
        assert voxels.dtype == source.dtype, (voxels.dtype, source.dtype)
        if source.stored_sample is not None:
            source.stored_sample(2, 0)


def _file(data: bytes, suffix: str) -> None:
    path = _FOLDER / f"volume{suffix}"
    path.write_bytes(data)
    _read(path)


def _files(data: bytes, layout: tuple[str, ...]) -> None:
    """A folder: the input's parts under the names of the layout, the last one with all the rest."""
    folder = _FOLDER / "volume"
    shutil.rmtree(folder, ignore_errors=True)
    parts = data.split(SEPARATOR, len(layout) - 1)
    for name, part in zip(layout, parts, strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part)
    _read(folder)


def _of_file(suffix: str) -> Callable[[bytes], None]:
    return functools.partial(_file, suffix=suffix)


def _of_files(*layout: str) -> Callable[[bytes], None]:
    return functools.partial(_files, layout=layout)


_CHUNK = "a/0-8_0-6_0-4"

TARGETS = (
    *(
        Target(f"reader_{suffix[1:].replace('.', '_')}", _of_file(suffix))
        for suffix in (".npy", ".tif", ".h5", ".mrc", ".nrrd", ".dm3", ".dm4", ".npy.gz")
    ),
    Target("reader_precomputed", _of_files("info", _CHUNK), has_json=True),
    Target("reader_packed_precomputed", _of_files("info", f"{_CHUNK}.gz"), has_json=True),
    Target("reader_sharded_precomputed", _of_files("info", "a/0.shard"), has_json=True),
    Target("reader_n5", _of_files("attributes.json", "0/0/0"), has_json=True),
    Target("reader_zarr2", _of_files(".zarray", ".zattrs", "0.0.0"), has_json=True),
    Target("reader_zarr3", _of_files("zarr.json", "c/0/0/0"), has_json=True),
    Target("reader_ome", _of_files("zarr.json", "0/zarr.json", "0/c/0/0/0"), has_json=True),
)
