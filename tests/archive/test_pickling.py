"""What is handed to other processes: each is used in one that was spawned."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import jaxslice
from jaxslice.archive.create import create_archive
from jaxslice.archive.lazy_volume import LazyVolume
from jaxslice.archive.store import Archive, open_archive
from jaxslice.core.box import Box
from jaxslice.volumes.destination import Destination, create_destination
from jaxslice.volumes.source import Source, open_source


@pytest.fixture(scope="module")
def other_process():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def read_source(source: Source, box: Box) -> np.ndarray:
    return source.read(box)


def read_lazily(volume: LazyVolume) -> np.ndarray:
    return volume[3:7, 5, ::-2]


def copy_payload(source: Archive, target: Archive) -> None:
    target.write_payload((0, 0, 0), source.read_payload((0, 0, 0)))


def write_box(destination: Destination, box: Box, voxels: np.ndarray) -> None:
    destination.write(box, voxels)


@pytest.mark.parametrize("form", ["precomputed", "npy"])
def test_sources(other_process, small_volume, tmp_path, form):
    place = small_volume.path
    if form == "npy":
        place = tmp_path / "v.npy"
        np.save(place, small_volume.voxels)
    whole = open_source(place)
    z, y, x = whole.box.start
    box = Box.of_shape((3, 20, 30), (z + 1, y + 2, x + 3))
    source = open_source(place, bbox=box)
    expected = source.read(box)
    np.testing.assert_array_equal(expected, small_volume.voxels[1:4, 2:22, 3:33])
    np.testing.assert_array_equal(other_process(read_source, source, box), expected)


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_destinations(other_process, small_volume, tmp_path, name):
    box = Box.of_shape(small_volume.voxels.shape)
    front, back = box.tiles((5, 40, 50))
    with create_destination(tmp_path / name, box, (1, 1, 1), chunk_shape=(5, 20, 50)) as written:
        written.write(front, small_volume.voxels[front.slices])
        other_process(write_box, written, back, small_volume.voxels[back.slices])
    np.testing.assert_array_equal(open_source(tmp_path / name).read(box), small_volume.voxels)


def test_archives(other_process, small_archive, tmp_path):
    opened = open_archive(small_archive)
    with create_archive(
        tmp_path / "a", opened.box, opened.block_shape, opened.configuration, opened.placement, {}
    ) as created:
        created.write_payload((0, 0, 1), b"block")
        other_process(copy_payload, opened, created)
    copy = open_archive(tmp_path / "a")
    assert copy.read_payload((0, 0, 0)) == opened.read_payload((0, 0, 0))
    assert pickle.loads(pickle.dumps(opened)) == opened


def test_lazy_volumes(other_process, small_archive, small_volume):
    volume = jaxslice.open(Path(small_archive))
    expected = small_volume.voxels[3:7, 5, ::-2]
    np.testing.assert_array_equal(volume[3:7, 5, ::-2], expected)
    np.testing.assert_array_equal(other_process(read_lazily, volume), expected)
