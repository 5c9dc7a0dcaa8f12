"""What other programs read from the server."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import tensorstore as ts
import zarr
from small_volume import OFFSET, SHAPE, VOXEL_SIZE_NM

import jaxslice
from jaxslice.serve.server import serving

NAMES = ("small", "small-2")


@pytest.mark.parametrize("name", NAMES)
def test_tensorstore_reads_precomputed(server, small_volume, name):
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"{server.url}/{name}/precomputed/"}
    opened = ts.open(ts.Spec(spec)).result()
    z, y, x = OFFSET
    assert opened.domain.origin == (x, y, z, 0)
    assert opened.dimension_units[0] == ts.Unit(VOXEL_SIZE_NM[2], "nm")
    voxels = np.asarray(opened[..., 0].read().result()).T
    np.testing.assert_array_equal(voxels, small_volume.voxels)


def test_tensorstore_reads_zarr(server, small_volume):
    spec = {"driver": "zarr3", "kvstore": f"{server.url}/small/zarr/0/"}
    opened = ts.open(ts.Spec(spec)).result()
    assert opened.domain.labels == ("z", "y", "x")
    np.testing.assert_array_equal(opened.read().result(), small_volume.voxels)


def test_zarr_reads_the_group_and_the_array(server, small_volume):
    group = zarr.open_group(f"{server.url}/small/zarr", mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]  # pyright: ignore
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    assert tuple(scale["scale"]) == VOXEL_SIZE_NM
    expected = [o * s for o, s in zip(OFFSET, VOXEL_SIZE_NM, strict=True)]
    assert translation["translation"] == expected
    array = group["0"]
    assert isinstance(array, zarr.Array)
    assert array.shape == SHAPE
    np.testing.assert_array_equal(array[...], small_volume.voxels)


@pytest.mark.skipif(not find_spec("cloudvolume"), reason="cloud-volume is not installed")
def test_cloud_volume_reads_precomputed(server, small_volume, tmp_path):
    # A process of its own: cloud-volume warns, changes signals and keeps threads.
    program = (
        "import sys, numpy as np\n"
        "from cloudvolume import CloudVolume\n"
        "volume = CloudVolume(sys.argv[1], progress=False, cache=False)\n"
        "np.save(sys.argv[2], np.asarray(volume[volume.bounds])[..., 0].T)\n"
    )
    url = f"precomputed://{server.url}/small/precomputed"
    subprocess.run([sys.executable, "-c", program, url, tmp_path / "out.npy"], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), small_volume.voxels)


def test_many_readers_at_once(server, small_volume):
    """Several archives, random boxes, a cache that holds few blocks."""
    stores = [
        ts.open(ts.Spec({"driver": "zarr3", "kvstore": f"{server.url}/{n}/zarr/0/"})).result()
        for n in NAMES
    ]

    def read(seed: int) -> bool:
        generator = np.random.default_rng(seed)
        start = [generator.integers(0, n) for n in SHAPE]
        box = tuple(
            slice(a, int(generator.integers(a, n)) + 1) for a, n in zip(start, SHAPE, strict=True)
        )
        voxels = stores[seed % 2][box].read().result()
        return np.array_equal(voxels, small_volume.voxels[box])

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(read, range(100)))


def test_several_scales(small_volume, tmp_path):
    archive = tmp_path / "p.zarr"
    options = jaxslice.CompressOptions(effort=0, block_shape=(4, 16, 32), downsample=1)
    jaxslice.compress(small_volume.path, str(archive), options)
    coarse = jaxslice.open(str(archive), scale=1)
    with serving([archive]) as running:
        spec = {"driver": "neuroglancer_precomputed", "kvstore": f"{running.url}/p/precomputed/"}
        opened = ts.open(ts.Spec({**spec, "scale_index": 1})).result()
        size = coarse.archive.placement.voxel_size_nm[2]
        assert opened.dimension_units[0] == ts.Unit(size, "nm")
        np.testing.assert_array_equal(opened[..., 0].read().result().T, coarse[...])
        group = zarr.open_group(f"{running.url}/p/zarr", mode="r")
        np.testing.assert_array_equal(group["1"][...], coarse[...])  # pyright: ignore
        (multiscale,) = group.attrs["ome"]["multiscales"]  # pyright: ignore
        assert [one["path"] for one in multiscale["datasets"]] == ["0", "1"]
