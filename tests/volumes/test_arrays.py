"""Arrays as sources: what a program has in memory or lazily is compressed without a file."""

from __future__ import annotations

import pickle
from pathlib import Path

import dask.array
import h5py
import numpy as np
import pytest
import tensorstore as ts
import zarr
from files_for_tests import made_voxels

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.volumes.interface import SourceOptions
from jaxslice.volumes.source import open_any, open_source


def _memmap(folder: Path, voxels: np.ndarray):
    np.save(folder / "v.npy", voxels)
    return np.load(folder / "v.npy", mmap_mode="r")


def _zarr(folder: Path, voxels: np.ndarray):
    array = zarr.create_array(
        folder / "v", shape=voxels.shape[::-1], dtype=voxels.dtype, dimension_names=["x", "y", "z"]
    )
    array[...] = voxels.T
    return array


def _tensorstore(folder: Path, voxels: np.ndarray):
    spec = {"driver": "zarr3", "kvstore": f"file://{folder}/v/"}
    dtype = ts.dtype(str(voxels.dtype))
    store = ts.open(spec, dtype=dtype, shape=voxels.shape, create=True).result()
    store.write(voxels).result()
    return store


def _hdf5(folder: Path, voxels: np.ndarray):
    with h5py.File(folder / "v.h5", "w") as file:
        file["v"] = voxels
    return h5py.File(folder / "v.h5", "r")["v"]


ARRAYS = {
    "numpy": lambda _, voxels: voxels,
    "numpy big-endian": lambda _, voxels: voxels.astype(voxels.dtype.newbyteorder(">")),
    "numpy Fortran": lambda _, voxels: np.asfortranarray(voxels),
    "memmap": _memmap,
    "dask": lambda _, voxels: dask.array.from_array(voxels, chunks=(5, 16, 16)),
    "zarr": _zarr,
    "tensorstore": _tensorstore,
    "hdf5": _hdf5,
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_arrays_are_sources(tmp_path: Path, kind: str, dtype: str):
    voxels = made_voxels(dtype)
    source = open_any(ARRAYS[kind](tmp_path, voxels), SourceOptions())
    assert source.box == Box.of_shape(voxels.shape)
    assert source.dtype == voxels.dtype
    box = Box((3, 4, 5), (7, 30, 20))
    read = source.read(box)
    assert read.dtype == voxels.dtype
    np.testing.assert_array_equal(read, voxels[box.slices])
    read[:] = 0
    np.testing.assert_array_equal(source.read(source.box), voxels)
    if kind != "hdf5":
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(source)).read(box), voxels[box.slices]
        )


def test_a_tensorstore_keeps_its_origin_and_names_its_axes(tmp_path: Path):
    voxels = made_voxels()
    store = _tensorstore(tmp_path, voxels)
    moved = store[ts.d[:].translate_to[(-4, 100, 7)]][ts.d[:].label["z", "y", "x"]]
    turned = moved[ts.d["x", "y", "z"].transpose[:]]
    source = open_source(turned)
    assert source.box == Box.of_shape(voxels.shape, (-4, 100, 7))
    assert source.placement.offset_voxels == (-4, 100, 7)
    np.testing.assert_array_equal(source.read(source.box), voxels)


def test_a_channel_of_an_array(tmp_path: Path):
    voxels = made_voxels()
    both = np.stack([voxels, voxels // 2])
    source = open_source(both, options=SourceOptions(channel=1))
    np.testing.assert_array_equal(source.read(source.box), voxels // 2)
    for array, part in (
        (both, "2 entries along c"),
        (np.zeros(7, np.uint8), "expected z, y and x"),
        (np.zeros((0, 4, 4), np.uint8), "at least 1 voxel"),
        (np.zeros((4, 4, 4), np.float32), "of float32, expected"),
    ):
        with pytest.raises(UsageError, match=part):
            open_source(array)


def test_an_array_that_fails_is_an_error_of_its_data(tmp_path: Path):
    class Fails:
        shape, dtype = (3, 4, 5), np.dtype(np.uint8)

        def __getitem__(self, index):
            raise OSError("the tape is gone")

    with pytest.raises(SourceDataError, match="the tape is gone"):
        open_source(Fails()).read(Box.of_shape((1, 1, 1)))


def test_a_source_is_a_source():
    source = open_source(made_voxels())
    assert open_source(source) is source
    bbox = Box((1, 2, 3), (4, 5, 6))
    assert open_source(source, bbox=bbox).box == bbox
