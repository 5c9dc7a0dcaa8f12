"""Whole volumes of every kind into archives: arrays and paths, sparse, thin, long, and nothing."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array
import numpy as np
import pytest
import tifffile

import jaxslice
from jaxslice.archive.store import open_archive
from jaxslice.bench.synthetic import synthetic_volume
from jaxslice.core.errors import SourceDataError
from jaxslice.volumes.destination import create_destination

OPTIONS = jaxslice.CompressOptions(effort="fast")


def packed(source, folder: Path, **options) -> Path:
    archive = folder / "a.zarr"
    jaxslice.compress(source, archive, jaxslice.CompressOptions(effort="fast", **options))
    return archive


def payload_bytes(archive: Path) -> list[int]:
    opened = open_archive(archive)
    return [len(opened.read_payload(index)) for index in opened.blocks()]


def test_paths_and_arrays(tmp_path: Path):
    voxels = synthetic_volume((6, 40, 50), seed=1)
    np.save(tmp_path / "v.npy", voxels)
    for number, source in enumerate(
        (
            tmp_path / "v.npy",
            voxels,
            dask.array.from_array(voxels),
            np.load(tmp_path / "v.npy", "r"),
        )
    ):
        archive = tmp_path / f"{number}.zarr"
        jaxslice.compress(source, archive, OPTIONS)
        np.testing.assert_array_equal(jaxslice.open(archive)[...], voxels)
        assert jaxslice.verify(archive, source=source).details["verified"]
    assert open_archive(tmp_path / "1.zarr").provenance["source"] == "numpy.ndarray"


def test_an_archive_is_a_source(tmp_path: Path):
    voxels = synthetic_volume((6, 40, 50), seed=1)
    options = jaxslice.SourceOptions(voxel_size_nm=(40, 4, 5))
    first = packed(jaxslice.open_source(voxels, options=options), tmp_path)
    second = tmp_path / "second.zarr"
    jaxslice.compress(first, second, OPTIONS)
    np.testing.assert_array_equal(jaxslice.open(second)[...], voxels)
    assert jaxslice.verify(second, source=first).details["verified"]
    assert open_archive(second).placement.voxel_size_nm == (40, 4, 5)
    assert open_archive(second).provenance["source_format"]["format"] == "jaxslice archive"


def test_a_written_file_is_compared_though_it_keeps_no_offset(small_archive, tmp_path: Path):
    for name in ("v.npy", "v.tif", "v.h5"):
        jaxslice.decompress(small_archive, tmp_path / name)
        assert jaxslice.verify(small_archive, source=tmp_path / name).details["verified"]


def test_nothing_found_is_no_black_archive(tmp_path: Path):
    box = jaxslice.Box.of_shape((8, 40, 40))
    with create_destination(tmp_path / "v", box, (1, 1, 1), chunk_shape=(8, 16, 16)) as written:
        written.write(box, synthetic_volume(box.shape, seed=1))
    chunks = [path for path in (tmp_path / "v").glob("*/*") if path.is_file()]
    for chunk in chunks[1:]:
        chunk.unlink()
    archive = packed(tmp_path / "v", tmp_path, missing="zero")
    provenance = open_archive(archive).provenance
    assert provenance["missing"] == "zero"
    assert provenance["missing_chunks"] == len(chunks) - 1 == 8
    assert provenance["source_format"]["scale"] == "1_1_1"
    chunks[0].unlink()
    with pytest.raises(SourceDataError, match="none of 9 chunks"):
        jaxslice.compress(
            tmp_path / "v", tmp_path / "b.zarr",
            jaxslice.CompressOptions(effort="fast", missing="zero"),
        )  # fmt: skip
    assert not (tmp_path / "b.zarr").exists()


@pytest.mark.parametrize("background", [0, 255])
def test_empty_blocks_cost_tens_of_bytes(tmp_path: Path, background: int):
    voxels = np.full((16, 128, 128), background, np.uint8)
    voxels[:, 40:60, 70:90] = synthetic_volume((16, 20, 20), seed=1)
    sizes = payload_bytes(packed(voxels, tmp_path, block_shape=(16, 32, 32)))
    assert sum(size < 80 for size in sizes) == 16 - 1
    np.testing.assert_array_equal(jaxslice.open(tmp_path / "a.zarr")[...], voxels)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 90, 70), (2, 64, 33), (3, 5, 200), (100_000, 4, 4), (1, 1, 5000)]
)
def test_thin_long_and_single(tmp_path: Path, shape):
    voxels = np.random.default_rng(0).integers(0, 256, shape, np.uint8) // 4
    archive = packed(voxels, tmp_path)
    assert jaxslice.verify(archive, source=voxels).details["verified"]


@pytest.mark.parametrize("name", ["v", "v.zarr", "v.n5", "v.h5", "v.tif", "v.npy"])
def test_from_the_command_line(jaxslice_command, small_archive, tmp_path: Path, name: str):
    """Out to a format, looked at, and in again."""
    code, _, err = jaxslice_command("decompress", small_archive, tmp_path / name)
    assert code == 0, err
    code, out, err = jaxslice_command("inspect", tmp_path / name, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["shape"] == [10, 40, 50]
    assert found["dtype"] == "uint8"
    archive = tmp_path / "again.zarr"
    words = ["compress", tmp_path / name, archive, "--effort=fast", "--voxel_size=40,4,4.5"]
    code, _, err = jaxslice_command(*words)
    assert code == 0, err
    expected = jaxslice.open(small_archive)[...]
    np.testing.assert_array_equal(jaxslice.open(archive)[...], expected)
    assert open_archive(archive).placement.voxel_size_nm == (40, 4, 4.5)


def test_a_stack_of_tiff_is_written_for_others(jaxslice_command, small_archive, tmp_path: Path):
    dest = tmp_path / "slices"
    code, _, err = jaxslice_command("decompress", small_archive, dest, "--dest_format=stack")
    assert code == 0, err
    pictures = tifffile.imread(sorted(dest.glob("*.tif")))
    np.testing.assert_array_equal(pictures, jaxslice.open(small_archive)[...])
    words = ["inspect", dest / "*.tif"]
    code, out, _ = jaxslice_command(*words)
    assert code == 0
    assert "voxel size in nm (z,y,x)  unknown" in out


@pytest.fixture
def jaxslice_command(capsys, monkeypatch):
    from jaxslice.cli import backend, main

    monkeypatch.setattr(backend, "start_backend", lambda *_, **__: None)

    def run(*words):
        code = main.run(["jaxslice", *map(str, words)])
        return code, *capsys.readouterr()

    return run
