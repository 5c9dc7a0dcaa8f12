"""Other programs read an archive in processes that never import jaxslice, and write one."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from small_volume import OFFSET, SHAPE, VOXEL_SIZE_NM

import jaxslice

ROOT = Path(__file__).parents[2]
SCALES = ROOT / "tests" / "golden" / "v4" / "scales.zarr"


def run(program: str, *arguments: object) -> str:
    """Runs a program whose own text does not import jaxslice; what it printed."""
    assert "import jaxslice" not in program
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


PROGRAMS = {
    "zarr": """
        import zarr
        voxels = zarr.open_group(sys.argv[1], mode="r")["0"][...]
        """,
    "dask": """
        import dask.array
        array = dask.array.from_zarr(sys.argv[1], component="0")
        assert array.chunks[2] == (32, 18)
        voxels = array.compute(scheduler="threads")
        assert array[2:8].astype("int64").sum().compute() == voxels[2:8].astype("int64").sum()
        """,
    "xarray": """
        import xarray
        opened = xarray.open_dataset(sys.argv[1], engine="zarr", consolidated=False, chunks=None)
        assert opened["0"].dims == ("z", "y", "x")
        voxels = opened["0"].values
        """,
    "ome-zarr": """
        from ome_zarr.io import parse_url
        from ome_zarr.reader import Reader
        (node, *_) = Reader(parse_url(sys.argv[1], mode="r"))()
        assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
        (transforms,) = node.metadata["coordinateTransformations"]
        assert transforms[0]["scale"] == [40.0, 4.0, 4.5], transforms
        voxels = node.data[0].compute()
        """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_reads_it(name, small_archive, small_volume, tmp_path):
    assert VOXEL_SIZE_NM == (40.0, 4.0, 4.5)
    pytest.importorskip({"ome-zarr": "ome_zarr"}.get(name, name))
    program = "import sys\n" + textwrap.dedent(PROGRAMS[name]) + "\nimport numpy\n"
    program += "numpy.save(sys.argv[2], voxels)\n"
    run(program, small_archive, tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), small_volume.voxels)


def test_reading_does_not_start_jax_where_the_native_engine_is(small_archive):
    program = """
        import sys, zarr
        print(zarr.open_group(sys.argv[1], mode="r")["0"][0, 0, 0])
        from jaxslice.codec.engines.interface import engine_named
        print("jax" in sys.modules or engine_named().name != "native")
        """
    from jaxslice.codec.engines.interface import engine_named

    if engine_named().name != "native":
        pytest.skip("there is no native engine here")
    assert run(program, small_archive).split()[1] == "False"


def test_writing_with_a_model_by_name(small_volume, tmp_path):
    """Without an archive to take the codec from."""
    target = zarr.create_array(
        tmp_path / "new.zarr", shape=SHAPE, chunks=(4, 16, 32), dtype="uint8",
        serializer=jaxslice.zarr_serializer(), compressors=None,
    )  # fmt: skip
    target[...] = small_volume.voxels
    run_program = "import sys, zarr, numpy\nnumpy.save(sys.argv[2], zarr.open(sys.argv[1])[...])"
    run(run_program, tmp_path / "new.zarr", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), small_volume.voxels)


def test_inside_zarr_sharding(small_volume, tmp_path):
    target = zarr.create_array(
        tmp_path / "s.zarr", shape=SHAPE, chunks=(4, 16, 32), shards=(8, 32, 64), dtype="uint8",
        serializer=jaxslice.zarr_serializer(), compressors=None,
    )  # fmt: skip
    target[...] = small_volume.voxels
    files = [path for path in (tmp_path / "s.zarr" / "c").rglob("*") if path.is_file()]
    assert len(files) == 4, "several blocks share a file"
    program = "import sys, zarr, numpy\nnumpy.save(sys.argv[2], zarr.open(sys.argv[1])[...])"
    run(program, tmp_path / "s.zarr", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), small_volume.voxels)
    target[0, 0, 0] = 77
    assert zarr.open_array(tmp_path / "s.zarr", mode="r")[0, 0, 0] == 77


def test_cold_readers_at_once_share_the_start(small_archive, small_volume, tmp_path):
    """Many threads of a new process unpack the network once; few threads decode."""
    program = """
        import sys, threading, numpy, zarr
        from concurrent.futures import ThreadPoolExecutor
        array = zarr.open_group(sys.argv[1], mode="r")["0"]
        barrier = threading.Barrier(16)
        def read(number):
            barrier.wait()
            return array[number % 10, :, :]
        with ThreadPoolExecutor(16) as pool:
            planes = list(pool.map(read, range(16)))
        numpy.save(sys.argv[2], numpy.stack(planes[:10]))
        from jaxslice.archive import model
        from jaxslice.core.machine import num_cores
        print(model._model_of.cache_info().misses)
        decoding = [t for t in threading.enumerate() if t.name.startswith("jaxslice-decode")]
        print(len(decoding) <= num_cores())
        """
    assert run(program, small_archive, tmp_path / "out.npy").split() == ["1", "True"]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), small_volume.voxels)


def test_xarray_reads_one_of_several_scales():
    opened = xarray.open_dataset(
        SCALES, engine="zarr", consolidated=False, chunks=None, drop_variables=["1", "2"]
    )
    np.testing.assert_array_equal(opened["0"].values, jaxslice.open(SCALES)[...])


def test_offsets_are_in_the_metadata(small_archive):
    group = zarr.open_group(small_archive, mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]  # pyright: ignore
    _, translation = multiscale["datasets"][0]["coordinateTransformations"]
    expected = [o * s for o, s in zip(OFFSET, VOXEL_SIZE_NM, strict=True)]
    assert translation["translation"] == expected
