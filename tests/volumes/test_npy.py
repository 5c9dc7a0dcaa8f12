"""`.npy` files: read as they are, refused where they are not [z,y,x] uint8 or cut short."""

from __future__ import annotations

import os
from pathlib import Path

import destinations_for_tests as written
import numpy as np
import pytest
from volumes_for_tests import (
    BOX,
    random_voxels,
    refusal,
)

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.volumes import npy
from jaxslice.volumes.source import open_source


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
        (np.zeros((2, 3, 4), np.uint16), "dtype uint16"),
        (np.zeros((2, 3, 4), np.int8), "dtype int8"),
        (np.zeros((2, 3, 4), bool), "dtype bool"),
        (np.zeros((2, 3), np.uint8), "shape (2, 3)"),
        (np.zeros((2, 3, 4, 1), np.uint8), "shape (2, 3, 4, 1)"),
        (np.zeros((2, 0, 4), np.uint8), "shape (2, 0, 4)"),
        (np.zeros((), np.uint8), "shape ()"),
    ],
)
def test_unsupported_npy(tmp_path: Path, array: np.ndarray, part: str):
    np.save(tmp_path / "v.npy", array)
    refusal(UsageError, part, "expected dtype uint8", source=str(tmp_path / "v.npy"))


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
    refusal(UsageError, "scale 1", "expected 0", source=str(tmp_path / "v.npy"), scale=1)


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
