"""Volumes larger than memory pass through: what is asked for and held at once is bounded."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from files_for_tests import MAKERS, made_voxels

from jaxslice.core import temporary
from jaxslice.core.box import Box
from jaxslice.volumes import chunk_cache, pages
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.formats import FORMATS
from jaxslice.volumes.pages import PageCache
from jaxslice.volumes.source import open_source

BOX = Box.of_shape((64, 256, 256))
BLOCK = (16, 64, 64)
NAMES = {"npy": "v.npy", "tiff": "v.tif", "hdf5": "v.h5"}
WRITTEN = [known.key for known in FORMATS if known.create is not None]


@pytest.mark.parametrize("key", WRITTEN)
def test_a_volume_is_written_and_read_in_less_memory_than_it_has(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chunk_cache, "USUAL_BYTES", BOX.size // 8)
    place, generator = tmp_path / NAMES.get(key, "v"), np.random.default_rng(0)
    sums = []
    tracemalloc.start()
    with create_destination(place, BOX, (1, 1, 1), chunk_shape=BLOCK, dest_format=key) as written:
        for box in BOX.tiles(BLOCK):
            voxels = generator.integers(0, 256, box.shape, np.uint8)
            sums.append(int(voxels.sum()))
            written.write(box, voxels)
    source = open_source(place)
    assert sums == [int(source.read(box).sum()) for box in BOX.tiles(BLOCK)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < BOX.size / 2


def test_each_page_is_decoded_once_for_all_its_blocks():
    decoded: list[int] = []

    def decode(number: int) -> np.ndarray:
        decoded.append(number)
        return np.full((40, 50), number, np.uint8)

    cache = PageCache(decode, pages_kept=8)
    for y in range(0, 40, 10):
        for number in range(8):
            part = cache.read(number, slice(y, y + 10), slice(0, 5))
            assert part.shape == (10, 5)
            assert (part == number).all()
    assert sorted(decoded) == list(range(8))


def test_pages_on_disk_are_few_and_go_with_the_reader(monkeypatch):
    monkeypatch.setattr(temporary, "_IN_USE", {})
    cache = PageCache(lambda number: np.full((4, 4), number, np.uint8), pages_kept=3)
    for number in (0, 1, 2, 3, 4, 0, 4):
        assert cache.read(number, slice(0, 4), slice(0, 4))[0, 0] == number
        (folder,) = temporary._IN_USE
        assert len(list(folder.iterdir())) <= 3
    temporary.remove_all()
    assert not folder.exists()


def test_tiles_are_decoded_where_they_are_asked_for(tmp_path: Path, monkeypatch):
    voxels = made_voxels()
    place = MAKERS["BigTIFF tiled"](tmp_path, voxels).place
    source = open_source(place)
    sizes: list[int] = []
    real = tifffile.FileHandle.read

    def read(self, size=-1, /):
        sizes.append(size)
        return real(self, size)

    assert source.read(Box((3, 0, 0), (4, 16, 32))).shape == (1, 16, 32)
    monkeypatch.setattr(tifffile.FileHandle, "read", read)
    np.testing.assert_array_equal(source.read(Box((3, 0, 0), (4, 16, 32))), voxels[3:4, :16, :32])
    assert len(sizes) == 1
    assert pages.PAGES_KEPT >= 2 * 128
