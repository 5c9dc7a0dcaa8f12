"""Precomputed scales in JPEG-XL: read as others write them, and written for others."""

from __future__ import annotations

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tensorstore as ts
from volumes_for_tests import BOX, SHARDING, chunk_files, edit_info, make_volume

import jaxslice
from jaxslice.core.errors import MissingExtraError, UsageError
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.source import open_source


def _jxl(folder: Path, voxels: np.ndarray, sharding: dict | None) -> None:
    """The volume with each chunk coded anew as JPEG-XL without loss."""
    raw = ts.open({"driver": "neuroglancer_precomputed", "kvstore": f"file://{folder}/"}).result()
    key = "4_4.5_30"
    if sharding:
        base = {"driver": "file", "path": f"{folder}/{key}/"}
        spec = {"driver": "neuroglancer_uint64_sharded", "base": base, "metadata": sharding}
        shards = ts.KvStore.open(spec).result()
        chunks = {k: shards.read(k).result().value for k in shards.list().result()}
    else:
        chunks = {p: p.read_bytes() for p in chunk_files(folder)}
    assert raw.shape == (*BOX.shape[::-1], 1)
    for name, data in chunks.items():
        # The rows of a chunk may be cut anywhere: 5 divides all of them here.
        picture = np.frombuffer(data, np.uint8).reshape(5, -1)
        coded = imagecodecs.jpegxl_encode(picture, lossless=True)
        if sharding:
            shards.write(name, coded).result()
        else:
            name.write_bytes(coded)
    (scale,) = json.loads((folder / "info").read_text())["scales"]
    edit_info(folder, scales=[scale | {"encoding": "jxl"}])


@pytest.mark.parametrize("sharded", [False, True])
def test_jxl_is_read(tmp_path: Path, sharded: bool):
    sharding = SHARDING if sharded else None
    voxels = make_volume(tmp_path / "v", **({"sharding": sharding} if sharding else {}))
    _jxl(tmp_path / "v", voxels, sharding)
    source = open_source(tmp_path / "v")
    np.testing.assert_array_equal(source.read(BOX), voxels)
    assert source.details.lossy


@pytest.mark.parametrize("tile", [(14, 15, 16), (7, 30, 31)])
@pytest.mark.parametrize("shard", [None, (28, 30, 32)])
def test_what_is_written_is_read(tmp_path: Path, tile, shard):
    """Boxes that share chunks are written at the same time, too."""
    voxels = np.random.default_rng(7).integers(0, 256, BOX.shape, np.uint8)
    with (
        create_destination(
            tmp_path / "v", BOX, (30, 4.5, 4), chunk_shape=(14, 15, 16), shard_shape=shard,
            encoding="jxl",
        ) as made,
        ThreadPoolExecutor(4) as pool,
    ):  # fmt: skip
        tiles = BOX.tiles(tile)
        parts = ((part, voxels[part.relative_to(BOX.start).slices]) for part in tiles)
        list(pool.map(lambda part: made.write(*part), parts))
    source = open_source(tmp_path / "v")
    np.testing.assert_array_equal(source.read(BOX), voxels)
    assert not source.details.lossy
    assert source.placement.voxel_size_nm == (30, 4.5, 4)
    if shard is None:
        chunk = tmp_path / "v" / "4_4.5_30" / "7-23_-5-10_3-17"
        picture = imagecodecs.jpegxl_decode(chunk.read_bytes())
        np.testing.assert_array_equal(picture.reshape(14, 15, 16), voxels[:14, :15, :16])
    if importlib.util.find_spec("cloudvolume"):
        from cloudvolume import CloudVolume

        read = CloudVolume(f"file://{tmp_path / 'v'}", progress=False)[:]
        np.testing.assert_array_equal(np.asarray(read)[..., 0].T, voxels)


def test_all_scales_of_an_archive(small_volume, tmp_path: Path):
    archive = tmp_path / "a.zarr"
    options = jaxslice.CompressOptions(effort="fast", downsample=1)
    jaxslice.compress(small_volume.path, archive, options)
    jaxslice.decompress(archive, tmp_path / "v", encoding="jxl")
    for scale in (0, 1):
        source = open_source(tmp_path / "v", scale=scale)
        expected = open_source(archive, scale=scale)
        np.testing.assert_array_equal(source.read(source.box), expected.read(expected.box))
        assert source.placement == expected.placement


def test_what_jxl_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = {"encoding": "jxl", "dtype": np.dtype(np.uint16)}
    with (
        pytest.raises(UsageError, match=r"uint16 voxels .* expected uint8 for the encoding jxl"),
        create_destination(tmp_path / "v", BOX, (1, 1, 1), **options),
    ):
        pass
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with (
        pytest.raises(MissingExtraError, match="needs imagecodecs"),
        create_destination(tmp_path / "v", BOX, (1, 1, 1), encoding="jxl"),
    ):
        pass
    assert not any(tmp_path.iterdir())
