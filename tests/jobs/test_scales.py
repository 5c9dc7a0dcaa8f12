"""Archives of several scales: taken from the source, or made of the finest one."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from small_volume import OPTIONS, VOXEL_SIZE_NM

import jaxslice
from jaxslice.archive.store import open_archive, open_scales
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.volumes.destination import create_scales
from jaxslice.volumes.interface import NewVolume
from jaxslice.volumes.pooled import pooled
from jaxslice.volumes.source import open_source

FAST = dataclasses.replace(OPTIONS, effort=0, workers=1)


@pytest.fixture(scope="module")
def pyramid(small_volume, tmp_path_factory) -> str:
    place = str(tmp_path_factory.mktemp("pyramid") / "a.zarr")
    jaxslice.compress(small_volume.path, place, dataclasses.replace(FAST, downsample=2))
    return place


def test_scales_are_made_of_the_finest(small_volume, pyramid):
    expected = open_source(small_volume.path)
    for scale in range(3):
        assert expected is not None
        opened = open_archive(pyramid, scale)
        assert (opened.box, opened.placement) == (expected.box, expected.placement)
        np.testing.assert_array_equal(
            jaxslice.open(pyramid, scale=scale)[...], expected.read(expected.box)
        )
        expected = pooled(expected)
    with pytest.raises(UsageError, match=r"scale 3 .* expected 0 to 2"):
        jaxslice.open(pyramid, scale=3)


def test_the_transformations_place_the_centres(pyramid):
    group = json.loads((Path(pyramid) / "zarr.json").read_text())
    datasets = group["attributes"]["ome"]["multiscales"][0]["datasets"]
    for scale, dataset in enumerate(datasets):
        size, shift = (list(t.values())[1] for t in dataset["coordinateTransformations"])
        opened = open_archive(pyramid, scale)
        assert size == list(opened.placement.voxel_size_nm)
        # The corner of the first voxel, seen from the corner of the finest scale's voxel 0.
        corner = np.array(shift) - np.array(size) / 2 + np.array(VOXEL_SIZE_NM) / 2
        np.testing.assert_allclose(corner, np.array(opened.placement.offset_voxels) * size)


def test_every_command_knows_the_scales(small_volume, pyramid, tmp_path):
    report = jaxslice.info(pyramid)
    assert report.details["scales"]["1"]["shape"] == [10, 20, 25]
    assert report.raw_bytes == sum(np.prod(scale.shape) for scale in open_scales(pyramid))
    files = [path for path in Path(pyramid).rglob("*") if path.is_file()]
    assert report.compressed_bytes == sum(path.stat().st_size for path in files)
    assert jaxslice.verify(pyramid, source=small_volume.path).details["scales"] == 3
    for number, scale in enumerate(open_scales(pyramid)):
        array = zarr.open(Path(pyramid) / scale.path, mode="r")
        np.testing.assert_array_equal(array[...], jaxslice.open(pyramid, scale=number)[...])
    jaxslice.decompress(pyramid, str(tmp_path / "one.npy"), scale=1)
    np.testing.assert_array_equal(
        np.load(tmp_path / "one.npy"), jaxslice.open(pyramid, scale=1)[...]
    )


@pytest.mark.parametrize("name", ["back", "back.ome.zarr"])
def test_decompress_gives_all_scales_back(pyramid, tmp_path, name):
    jaxslice.decompress(pyramid, str(tmp_path / name))
    for number, scale in enumerate(open_scales(pyramid)):
        back = open_source(str(tmp_path / name), scale=number)
        assert back.shape == scale.shape
        assert back.placement.voxel_size_nm == scale.placement.voxel_size_nm
        np.testing.assert_array_equal(
            back.read(back.box), jaxslice.open(pyramid, scale=number)[...]
        )
    again = str(tmp_path / "again.zarr")
    jaxslice.compress(str(tmp_path / name), again, dataclasses.replace(FAST, scales=("all",)))
    assert len(open_scales(again)) == 3
    jaxslice.verify(again, source=str(tmp_path / name))


def test_scales_of_the_source(tmp_path):
    source, archive = str(tmp_path / "source"), str(tmp_path / "a.zarr")
    fine, coarse = synthetic_volume((8, 32, 32), seed=1), synthetic_volume((8, 16, 16), seed=2)
    new = [
        NewVolume(Box.of_shape(voxels.shape, start), size, (8, 16, 16))
        for voxels, start, size in (
            (fine, (0, 10, 20), (30.0, 4.0, 4.0)), (coarse, (0, 5, 10), (30.0, 8.0, 8.0)),
        )
    ]  # fmt: skip
    with create_scales(source, new) as (first, second):
        first.write(first.box, fine)
        second.write(second.box, coarse)
    jaxslice.compress(source, archive, dataclasses.replace(FAST, scales=("0", "1"), downsample=1))
    np.testing.assert_array_equal(jaxslice.open(archive)[...], fine)
    np.testing.assert_array_equal(jaxslice.open(archive, scale=1)[...], coarse)
    assert jaxslice.open(archive, scale=2).shape == (8, 9, 8)
    jaxslice.verify(archive, source=source)
    with pytest.raises(UsageError, match="each coarser"):
        jaxslice.compress(source, str(tmp_path / "b"), dataclasses.replace(FAST, scales=("1", "0")))


def test_a_coarser_scale_that_is_no_mean_is_found(small_volume, pyramid, tmp_path):
    import shutil

    copy = Path(shutil.copytree(pyramid, tmp_path / "copy.zarr"))
    first, second = open_archive(copy, 1), open_archive(pyramid, 2)
    (copy / "1" / "zarr.json").write_bytes((copy / "2" / "zarr.json").read_bytes())
    assert first.shape != second.shape
    with pytest.raises(FormatError):
        jaxslice.verify(str(copy), source=small_volume.path)
