"""Files of every format as other programs write them: what they hold is read, and nothing else."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from dm_files import DmWriter
from files_for_tests import MAKERS, MAKERS_16, SIZE_NM, Made, made_voxels, ome_zarr

from jaxslice.core.box import Box
from jaxslice.core.errors import MissingExtraError, SourceDataError, UsageError
from jaxslice.volumes.interface import Source, SourceOptions
from jaxslice.volumes.source import open_any, open_source


def check(source: Source, voxels: np.ndarray, made: Made) -> None:
    assert source.shape == voxels.shape
    assert source.dtype == voxels.dtype
    start = source.box.start
    for local in (
        Box.of_shape(voxels.shape),
        Box((3, 5, 7), (11, 33, 20)),
        Box((11, 33, 44), voxels.shape),
    ):
        read = source.read(local.shift(start))
        assert read.dtype == voxels.dtype
        assert read.flags.writeable
        np.testing.assert_array_equal(read, voxels[local.slices])
    assert source.details.voxel_size_known == (made.size_nm is not None)
    if made.size_nm is not None:
        assert source.placement.voxel_size_nm == pytest.approx(made.size_nm)
    copy = pickle.loads(pickle.dumps(source))
    part = Box((2, 3, 4), (5, 6, 7))
    np.testing.assert_array_equal(copy.read(part.shift(start)), voxels[part.slices])


@pytest.mark.parametrize("name", MAKERS)
def test_what_others_wrote_is_read(tmp_path: Path, name: str):
    voxels = made_voxels()
    made = MAKERS[name](tmp_path, voxels)
    check(open_source(made.place, options=made.options), voxels, made)


@pytest.mark.parametrize("name", MAKERS_16)
def test_16_bits_are_read(tmp_path: Path, name: str):
    voxels = made_voxels("uint16")
    made = MAKERS_16[name](tmp_path, voxels)
    check(open_any(made.place, made.options), voxels, made)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_scale_of_ome_zarr_is_chosen(tmp_path: Path, version: str):
    voxels = made_voxels()
    place = ome_zarr(tmp_path, voxels, version).place
    for scale in ("1", "half"):
        source = open_source(place, options=SourceOptions(scale=scale, channel=1))
        assert source.placement.voxel_size_nm == (40, 8, 9)
        assert source.placement.offset_voxels == (0, 10, 0)
        np.testing.assert_array_equal(source.read(source.box), voxels[:, ::2, ::2])
    assert [scale.key for scale in source.details.scales] == ["full", "half"]
    for options, part in (
        (SourceOptions(), r"2 entries along c \(dark, SEM\), expected --channel"),
        (SourceOptions(channel="light"), r"'light' .* index from 0 to 1 or one of dark, SEM"),
        (SourceOptions(channel=1, time=1), "time '1' .* from 0 to 0"),
        (SourceOptions(channel=1, scale=2), "one of the paths full, half"),
    ):
        with pytest.raises(UsageError, match=part):
            open_source(place, options=options)


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("hdf5", SourceOptions(), r"without --dataset, expected .*/em/raw \(12, 34, 45\) uint8"),
        ("hdf5", SourceOptions(dataset="em/typo"), "'em/typo' .* expected one of its datasets"),
        ("npz", SourceOptions(dataset="typo"), "expected one of its arrays: raw, labels"),
        ("n5", SourceOptions(), "expected --dataset"),
        ("n5", SourceOptions(dataset="em", scale=1), "scale '1'"),
        ("tiff", SourceOptions(scale=1), "there is only one"),
        ("stack of PNG", SourceOptions(dataset="a"), "there is only one"),
        ("zarr 3 sharded", SourceOptions(dataset="a"), "no Zarr array or group at 'a'"),
        ("zarr 3 turned", SourceOptions(time=1), "3 entries along c"),
        ("zarr 3 turned", SourceOptions(channel=0), "2 entries along t"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, name: str, options, part: str):
    made = MAKERS[name](tmp_path, made_voxels())
    with pytest.raises(UsageError, match=part):
        open_source(made.place, options=options)


def test_dm_files_that_cannot_be_read(tmp_path: Path):
    made = MAKERS["dm3"](tmp_path, made_voxels())
    whole, writer = Path(made.place).read_bytes(), DmWriter(3)
    image = writer.image(made_voxels(), SIZE_NM, "nm")
    for data, error, part in (
        (whole[: len(whole) // 2], SourceDataError, "is cut short|Cannot read"),
        (whole[:200], UsageError, "Cannot read .* as a DM file|its 0 arrays"),
        (b"notes" * 99, UsageError, "Cannot read .* as a DM file"),
        (writer.file([writer.thumbnail()]), UsageError, "its 0 arrays: it has none"),
        (writer.file([image, image]), UsageError, "the dataset None .* its 2 arrays: 0, 1"),
    ):
        Path(made.place).write_bytes(data)
        with pytest.raises((UsageError, error), match=part):
            open_source(made.place)
    Path(made.place).write_bytes(writer.file([image, image]))
    source = open_source(made.place, options=SourceOptions(dataset="1"))
    np.testing.assert_array_equal(source.read(source.box), made_voxels())


@pytest.mark.parametrize(
    ("name", "library"),
    [("tiff", "tifffile"), ("hdf5", "h5py"), ("dm3", "ncempy.io.dm"), ("mrc of IMOD", "mrcfile"),
     ("nrrd", "nrrd"), ("stack of PNG", "imagecodecs")],
)  # fmt: skip
def test_a_library_that_is_not_installed_is_named(tmp_path, monkeypatch, name, library):
    made = MAKERS[name](tmp_path, made_voxels())
    for loaded in [module for module in sys.modules if module.startswith(library)]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"needs {library}, .*'jaxslice\[formats\]'"):
        open_source(made.place, options=made.options)


def test_the_voxel_size_can_be_given(tmp_path: Path):
    np.save(tmp_path / "v.npy", made_voxels())
    source = open_source(tmp_path / "v.npy", options=SourceOptions(voxel_size_nm=SIZE_NM))
    assert source.placement.voxel_size_nm == SIZE_NM
    assert source.details.voxel_size_known
    with pytest.raises(UsageError, match="each above 0"):
        SourceOptions(voxel_size_nm=(0, 1, 1))
