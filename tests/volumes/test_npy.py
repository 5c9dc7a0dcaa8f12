"""`.npy` files: read as they are, refused where they are not [z,y,x] uint8 or cut short."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import destinations_for_tests as written
import numpy as np
import pytest
from servers import serve_folder
from volumes_for_tests import (
    BOX,
    random_voxels,
    refusal,
)

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.volumes import npy
from jaxslice.volumes.source import SourceOptions, open_any, open_source


@pytest.mark.parametrize("colours", [3, 4])
def test_colours_come_last(tmp_path: Path, colours: int):
    voxels = np.stack([random_voxels() // n for n in range(1, colours + 1)], -1)
    np.save(tmp_path / "v.npy", voxels)
    source = open_source(tmp_path / "v.npy", options=SourceOptions(channel=1))
    np.testing.assert_array_equal(source.read(source.box), voxels[..., 1])
    refusal(UsageError, f"{colours} entries along c", source=tmp_path / "v.npy")
    # As few slices may as well be channels.
    np.save(tmp_path / "v.npy", voxels[:3])
    assert open_source(tmp_path / "v.npy", options=SourceOptions(channel=1)).shape[2] == colours


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path: Path, order):
    voxels = random_voxels()
    np.save(tmp_path / "v.npy", np.asarray(voxels, order=order))
    for name in (str(tmp_path / "v.npy"), f"file://{tmp_path}/v.npy"):
        source = open_source(name, scale="0")
        assert source.box == Box.of_shape(BOX.shape)
        assert source.placement.voxel_size_nm == (1.0, 1.0, 1.0)
        assert source.placement.offset_voxels == (0, 0, 0)
        box = Box((1, 2, 3), (30, 9, 8))
        read = source.read(box)
        assert type(read) is np.ndarray
        assert read.flags.c_contiguous
        np.testing.assert_array_equal(read, voxels[box.slices])
        read[:] = 0
        np.testing.assert_array_equal(source.read(box), voxels[box.slices])


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((2, 3, 4), np.int32), "of int32"),
        (np.zeros((2, 3, 4), np.int8), "of int8"),
        (np.zeros((2, 3, 4), bool), "of bool"),
        (np.zeros((2, 3, 4), object), "dtype object"),
        (np.zeros(3, np.uint8), "the axes (3,)"),
        (np.zeros((2, 3, 4, 1), np.uint8), "2 entries along c"),
        (np.zeros((2, 0, 4), np.uint8), "shape (2, 0, 4)"),
        (np.zeros((), np.uint8), "the axes ()"),
    ],
)
def test_unsupported_npy(tmp_path: Path, array: np.ndarray, part: str):
    np.save(tmp_path / "v.npy", array)
    refusal(UsageError, part, "expected", source=str(tmp_path / "v.npy"))


def test_a_picture_is_one_slice(tmp_path: Path):
    picture = random_voxels()[0]
    np.save(tmp_path / "v.npy", picture)
    source = open_source(tmp_path / "v.npy")
    assert source.shape == (1, *picture.shape)
    np.testing.assert_array_equal(source.read(source.box)[0], picture)


def test_a_channel_is_chosen(tmp_path: Path):
    two = np.stack([random_voxels(), 255 - random_voxels()])
    np.save(tmp_path / "v.npy", two)
    source = open_source(tmp_path / "v.npy", options=SourceOptions(channel=1))
    np.testing.assert_array_equal(source.read(source.box), two[1])
    refusal(
        UsageError, "channel '2'", "index from 0 to 1", source=tmp_path / "v.npy",
        options=SourceOptions(channel=2),
    )  # fmt: skip


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_any_order_and_byte_order(tmp_path: Path, order, dtype: str):
    voxels = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype(dtype, order=order)
    np.save(tmp_path / "v.NPY", voxels)
    (tmp_path / "v.NPY.npy").rename(tmp_path / "v.NPY")
    source = open_any(tmp_path / "v.NPY", SourceOptions())
    assert source.dtype == np.dtype(np.uint16)
    box = Box((1, 2, 0), (4, 3, 6))
    read = source.read(box)
    assert read.dtype == source.dtype
    np.testing.assert_array_equal(read, voxels[box.slices])


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header(tmp_path: Path, version):
    voxels = random_voxels()
    with (tmp_path / "v.npy").open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(file, voxels, version)
    source = open_source(tmp_path / "v.npy")
    np.testing.assert_array_equal(source.read(source.box), voxels)


def test_a_version_that_does_not_exist(tmp_path: Path):
    np.save(tmp_path / "v.npy", random_voxels())
    whole = bytearray((tmp_path / "v.npy").read_bytes())
    whole[6] = 4
    (tmp_path / "v.npy").write_bytes(whole)
    refusal(UsageError, "as a .npy file: ", source=tmp_path / "v.npy")


def test_npy_over_http(tmp_path: Path):
    voxels = random_voxels()
    box = Box((3, 4, 5), (20, 30, 40))
    for order in ("C", "F"):
        np.save(tmp_path / f"{order}.npy", np.asarray(voxels, order=order))
    with serve_folder(tmp_path) as url:
        for order in ("C", "F"):
            source = open_source(f"{url}/{order}.npy")
            np.testing.assert_array_equal(source.read(source.box), voxels)
            np.testing.assert_array_equal(source.read(box), voxels[box.slices])
        refusal(UsageError, "No such file", source=f"{url}/elsewhere.npy")


def test_damaged_npy(tmp_path: Path):
    path = tmp_path / "v.npy"
    np.save(path, random_voxels())
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    parts = (f"got {len(whole) - 1} bytes", f"expected {len(whole)}")
    refusal(SourceDataError, *parts, source=str(path))
    for damaged in (b"", b"no array", whole[:40], whole.replace(b"}", b" ", 1)):
        path.write_bytes(damaged)
        refusal(UsageError, "as a .npy file", source=str(path))


def test_a_shape_of_something_else_than_integers(tmp_path: Path):
    np.save(tmp_path / "v.npy", np.zeros((1, 48, 20), np.uint8))
    whole = (tmp_path / "v.npy").read_bytes()
    (tmp_path / "v.npy").write_bytes(whole.replace(b"(1, 48, 20)", b"(True,48,2)"))
    refusal(UsageError, "shape (True, 48, 2), expected", source=str(tmp_path / "v.npy"))


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path):
    np.save(tmp_path / "v.npy", random_voxels())
    source = open_source(tmp_path / "v.npy")
    (tmp_path / "v.npy").write_bytes(b"short")
    with pytest.raises(SourceDataError, match="Cannot read the box"):
        source.read(source.box)


def test_npy_has_one_scale(tmp_path: Path):
    np.save(tmp_path / "v.npy", random_voxels())
    refusal(UsageError, "scale 1", "there is only one", source=str(tmp_path / "v.npy"), scale=1)


def test_npy_round_trip(tmp_path: Path):
    voxels = written.random_voxels()
    written.write_all(tmp_path / "v.npy", voxels)
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), voxels)
    assert os.listdir(tmp_path) == ["v.npy"]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(npy.os, "posix_fallocate", full, raising=False)
    with pytest.raises(UsageError, match=r"Cannot create .*: No space left on device"):
        written.write_all(tmp_path / "v.npy", written.random_voxels())
    assert os.listdir(tmp_path) == []
