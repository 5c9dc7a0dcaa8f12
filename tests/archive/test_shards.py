"""Shards: many blocks in one object, as Zarr's codec `sharding_indexed` lays them out."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr
from destinations_for_tests import content
from servers import serve_folder
from small_volume import OPTIONS

import jaxslice
from jaxslice import reference
from jaxslice.archive import shards
from jaxslice.archive.store import Archive, open_archive
from jaxslice.core.box import Box
from jaxslice.core.errors import ChecksumError, FormatError, UsageError
from jaxslice.storage.workspace import content_of, workspace_of

SHARDED = dataclasses.replace(OPTIONS, shard_shape=(8, 48, 64))


@pytest.fixture(scope="module")
def sharded(small_volume, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("sharded") / "small.zarr"
    jaxslice.compress(small_volume.path, str(place), SHARDED)
    return place


@pytest.fixture
def copy(sharded, tmp_path) -> Path:
    import shutil

    return Path(shutil.copytree(sharded, tmp_path / "copy.zarr"))


def test_the_layout_by_hand():
    packed = shards.pack_shard({(0, 0, 1): b"later", (0, 0, 0): b"first"}, (1, 1, 3))
    assert packed[:10] == b"firstlater"
    numbers = np.frombuffer(packed[10:-4], "<u8").tolist()
    assert numbers == [0, 5, 5, 5, 2**64 - 1, 2**64 - 1]
    index = shards.unpack_index(packed[10:], (1, 1, 3))
    assert [shards.part_of(index, n) for n in range(3)] == [slice(0, 5), slice(5, 10), None]
    with pytest.raises(ChecksumError):
        shards.unpack_index(b"\1" + packed[11:], (1, 1, 3))
    with pytest.raises(FormatError, match="truncated"):
        shards.unpack_index(packed[11:], (1, 1, 3))
    with pytest.raises(FormatError, match="beyond any shard"):
        shards.part_of(np.array([[2**63, 5]], "<u8"), 0)


def test_the_same_blocks_in_fewer_objects(small_volume, small_archive, sharded):
    opened, plain = open_archive(sharded), open_archive(small_archive)
    assert opened.shard_shape == (8, 48, 64)
    assert (opened.blocks_per_shard, opened.block_shape) == ((2, 3, 2), plain.block_shape)
    assert set(content(sharded)) == {"zarr.json", "0/zarr.json", "0/c/0/0/0", "0/c/1/0/0"}
    np.testing.assert_array_equal(jaxslice.open(sharded)[...], small_volume.voxels)
    jaxslice.verify(str(sharded), source=small_volume.path)
    report = jaxslice.info(sharded)
    assert report.compressed_bytes == sum(map(len, content(sharded).values()))
    assert report.num_blocks == 18
    for index in opened.blocks():
        assert len(opened.read_payload(index)) == len(plain.read_payload(index))


def test_zarr_and_the_reference_read_it(small_volume, sharded):
    array = zarr.open(sharded / "0", mode="r")
    assert (array.shards, array.chunks) == ((8, 48, 64), (4, 16, 32))
    np.testing.assert_array_equal(array[3:9, 5:30, :], small_volume.voxels[3:9, 5:30, :])
    opened = open_archive(sharded)
    for index in [(0, 0, 0), (1, 2, 1), (2, 1, 0)]:
        box = opened.box_of(index)
        block = reference.read_archive_block(sharded / "0", index)
        np.testing.assert_array_equal(
            block[Box.of_shape(box.shape).slices],
            small_volume.voxels[box.relative_to(opened.placement.offset_voxels).slices],
        )


def test_reading_a_block_is_one_read_of_an_index_and_one_of_a_payload(sharded, monkeypatch):
    from servers import _RangeHandler

    asked = []
    answer = _RangeHandler._answer

    def recorded(self, with_body: bool) -> None:
        asked.append((self.path.removeprefix("/0/"), self.headers.get("Range")))
        answer(self, with_body)

    monkeypatch.setattr(_RangeHandler, "_answer", recorded)
    with serve_folder(sharded) as url:
        opened = open_archive(url)
        asked.clear()
        first = opened.read_payload((0, 1, 0))
        assert len(asked) == 2
        assert asked[0] == ("c/0/0/0", f"bytes=-{16 * 12 + 4}")
        start, stop = map(int, asked[1][1].removeprefix("bytes=").split("-"))
        assert stop - start + 1 == len(first)
        opened.read_payload((1, 2, 1))
        assert len(asked) == 3


def test_an_archive_pickles_without_its_indices(sharded):
    opened = open_archive(sharded)
    before = pickle.dumps(opened)
    payload = opened.read_payload((2, 0, 1))
    assert pickle.dumps(opened) == before
    assert pickle.loads(before).read_payload((2, 0, 1)) == payload


def test_damage_is_found(copy):
    path = copy / "0" / "c" / "1" / "0" / "0"
    good = path.read_bytes()
    for data in (good[:-1], good[:50], b"", b"x" + good[1:], good[:-9] + b"x" + good[-8:]):
        path.write_bytes(data)
        with pytest.raises(FormatError):
            jaxslice.verify(str(copy))
    path.unlink()
    with pytest.raises(FormatError, match="no object '0/c/1/0/0'"):
        jaxslice.verify(str(copy))


def test_an_interrupted_run_goes_on_shard_by_shard(small_volume, sharded, tmp_path, monkeypatch):
    place, write = tmp_path / "small.zarr", Archive.write_shard

    def first_only(self, shard, payloads) -> None:
        if shard != (0, 0, 0):
            raise KeyboardInterrupt
        write(self, shard, payloads)

    options = dataclasses.replace(SHARDED, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "write_shard", first_only)
        with pytest.raises(KeyboardInterrupt):
            jaxslice.compress(small_volume.path, str(place), options)
    assert (content_of(workspace_of(place)) / "0" / "c" / "0").exists()
    report = jaxslice.compress(small_volume.path, str(place), options)
    assert report.details["resumed_blocks"] == 12
    assert content(place) == content(sharded)


def test_shards_of_too_many_blocks_are_refused(small_volume, tmp_path, monkeypatch):
    options = dataclasses.replace(
        OPTIONS, block_shape=(1, 1, 1), shard_shape=(10, 40, 50), training_steps=1
    )
    assert jaxslice.CompressOptions(shard_shape=(64, 64, 64)).shard_shape == (64, 64, 64)
    monkeypatch.setattr("jaxslice.archive.shards.MAX_SHARD_BLOCKS", 10)
    with pytest.raises(UsageError, match=r"at most 10\."):
        jaxslice.compress(small_volume.path, str(tmp_path / "a"), options)
