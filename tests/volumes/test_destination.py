"""Destinations: what is written can be read back, and a failure leaves nothing behind."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import s3_bucket

from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.storage import replace
from jaxslice.storage.folder import open_folder
from jaxslice.volumes import npy
from jaxslice.volumes.destination import check_destination, create_destination
from jaxslice.volumes.source import open_source

BOX = Box((3, -5, 7), (23, 25, 47))
SIZE_NM = (30.0, 4.5, 4.0)
CHUNK = (8, 16, 12)


def random_voxels(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, BOX.shape, dtype=np.uint8)


def part_of(voxels: np.ndarray, box: Box) -> np.ndarray:
    z, y, x = BOX.start
    return voxels[box.shift((-z, -y, -x)).slices]


def write_all(dest: str | Path, voxels: np.ndarray, tile_shape=CHUNK, **options) -> None:
    with create_destination(str(dest), BOX, SIZE_NM, chunk_shape=CHUNK, **options) as destination:
        for box in BOX.tiles(tile_shape):
            destination.write(box, part_of(voxels, box))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}", "precomputed://file://{}/"])
def test_precomputed_round_trip(tmp_path: Path, form: str):
    voxels = random_voxels()
    write_all(form.format(tmp_path / "v"), voxels)
    source = open_source(str(tmp_path / "v"))
    assert source.box == BOX
    assert source.placement.voxel_size_nm == SIZE_NM
    np.testing.assert_array_equal(source.read(BOX), voxels)
    assert os.listdir(tmp_path) == ["v"]
    info = json.loads((tmp_path / "v" / "info").read_text())
    (scale,) = info["scales"]
    assert (info["type"], info["data_type"], info["num_channels"]) == ("image", "uint8", 1)
    assert scale["encoding"] == "raw"
    assert scale["voxel_offset"] == [7, -5, 3]
    assert scale["size"] == [40, 30, 20]
    assert scale["resolution"] == [4.0, 4.5, 30.0]
    assert scale["chunk_sizes"] == [[12, 16, 8]]


def test_npy_round_trip(tmp_path: Path):
    voxels = random_voxels()
    write_all(tmp_path / "v.npy", voxels)
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), voxels)
    assert os.listdir(tmp_path) == ["v.npy"]


def test_zeros_are_stored(tmp_path: Path):
    """A chunk of zeros that was left out would read as a missing one."""
    write_all(tmp_path / "v", np.zeros(BOX.shape, np.uint8))
    assert not open_source(str(tmp_path / "v"), missing="error").read(BOX).any()


@settings(max_examples=10, deadline=None)
@given(tile_shape=st.tuples(*[st.integers(7, 40)] * 3), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_boxes_of_any_shape_from_threads(tmp_path_factory, name: str, tile_shape, seed: int):
    folder = tmp_path_factory.mktemp("threads")
    voxels = random_voxels(seed)
    with (
        create_destination(str(folder / name), BOX, SIZE_NM, chunk_shape=CHUNK) as destination,
        ThreadPoolExecutor(4) as pool,
    ):
        boxes = list(BOX.tiles(tile_shape))
        list(pool.map(lambda box: destination.write(box, part_of(voxels, box)), boxes))
    source = open_source(str(folder / name))
    np.testing.assert_array_equal(source.read(source.box), voxels)


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_wrong_writes_are_refused(tmp_path: Path, name: str):
    with create_destination(str(tmp_path / name), BOX, SIZE_NM) as destination:
        assert destination.description == str(tmp_path / name)
        with pytest.raises(UsageError, match="0:1,0:1,0:1, expected one inside 3:23,-5:25,7:47"):
            destination.write(Box.of_shape((1, 1, 1)), np.zeros((1, 1, 1), np.uint8))
        with pytest.raises(UsageError, match=r"dtype int64 .* expected uint8"):
            destination.write(BOX, np.zeros(BOX.shape, np.int64))
        with pytest.raises(UsageError, match=r"shape \(20, 30, 1\), expected .*\(20, 30, 40\)"):
            destination.write(BOX, np.zeros((20, 30, 1), np.uint8))


@pytest.mark.parametrize("name", ["v", "v.npy"])
@pytest.mark.parametrize("error", [FormatError, KeyboardInterrupt])
@pytest.mark.parametrize("overwrite", [False, True])
def test_failure_leaves_nothing_new(tmp_path: Path, name: str, error, overwrite: bool):
    if overwrite:
        write_all(tmp_path / name, random_voxels())
    before = content(tmp_path)

    def fails_late() -> None:
        dest = str(tmp_path / name)
        with create_destination(dest, BOX, SIZE_NM, overwrite=overwrite) as destination:
            destination.write(BOX, random_voxels(2))
            raise error("damaged")

    with pytest.raises(error, match="damaged"):
        fails_late()
    assert content(tmp_path) == before
    assert len(os.listdir(tmp_path)) == overwrite


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_existing_is_replaced_only_on_request(tmp_path: Path, name: str):
    write_all(tmp_path / name, random_voxels(1))
    before = content(tmp_path)
    with pytest.raises(UsageError, match="exists, expected a new name or --overwrite"):
        write_all(tmp_path / name, random_voxels(2))
    assert content(tmp_path) == before
    write_all(tmp_path / name, random_voxels(2), overwrite=True)
    source = open_source(str(tmp_path / name))
    np.testing.assert_array_equal(source.read(source.box), random_voxels(2))
    assert os.listdir(tmp_path) == [name]


def test_the_target_of_a_link_is_replaced(tmp_path: Path):
    write_all(tmp_path / "real", random_voxels(1))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_all(tmp_path / "link", random_voxels(2), overwrite=True)
    assert (tmp_path / "link").is_symlink()
    np.testing.assert_array_equal(open_source(str(tmp_path / "real")).read(BOX), random_voxels(2))


def test_empty_folder_may_be_overwritten(tmp_path: Path):
    (tmp_path / "v").mkdir()
    with pytest.raises(UsageError, match="exists"):
        write_all(tmp_path / "v", random_voxels())
    write_all(tmp_path / "v", random_voxels(), overwrite=True)
    np.testing.assert_array_equal(open_source(str(tmp_path / "v")).read(BOX), random_voxels())


@pytest.mark.parametrize("info", [None, b"notes", b"[]", b'{"scales": []}', b'{"scales": 3}'])
def test_other_folders_are_never_deleted(tmp_path: Path, info: bytes | None):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    if info is not None:
        (tmp_path / "thesis" / "info").write_bytes(info)
    before = content(tmp_path)
    with pytest.raises(UsageError, match="not a precomputed volume, so it is not overwritten"):
        write_all(tmp_path / "thesis", random_voxels(), overwrite=True)
    assert content(tmp_path) == before


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path):
    (tmp_path / "v").write_text("notes")
    (tmp_path / "v.npy").mkdir()
    with pytest.raises(UsageError, match="not a precomputed volume"):
        write_all(tmp_path / "v", random_voxels(), overwrite=True)
    with pytest.raises(UsageError, match=r"not a \.npy file"):
        write_all(tmp_path / "v.npy", random_voxels(), overwrite=True)


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_a_name_taken_meanwhile_is_kept(tmp_path: Path, name: str):
    with (
        pytest.raises(UsageError, match="exists"),
        create_destination(str(tmp_path / name), BOX, SIZE_NM),
    ):
        (tmp_path / name).write_text("someone else's")
    assert content(tmp_path) == {name: b"someone else's"}


def test_failed_exchange_keeps_the_old_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_all(tmp_path / "v", random_voxels(1))
    before, rename = content(tmp_path), os.rename

    def fails_for_the_new_one(old: Path, new: Path) -> None:
        if ".partial-" in str(old):
            raise OSError(28, "No space left on device")
        rename(old, new)

    monkeypatch.setattr(replace.os, "rename", fails_for_the_new_one)
    with pytest.raises(UsageError, match="No space left on device"):
        write_all(tmp_path / "v", random_voxels(2), overwrite=True)
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_parent_must_exist(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="there is no folder"):
        write_all(tmp_path / "typo" / name, random_voxels())
    assert os.listdir(tmp_path) == []


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(npy.os, "posix_fallocate", full, raising=False)
    with pytest.raises(UsageError, match=r"Cannot create .*: No space left on device"):
        write_all(tmp_path / "v.npy", random_voxels())
    assert os.listdir(tmp_path) == []


def test_chunk_that_cannot_be_written(tmp_path: Path):
    def write_into_a_file() -> None:
        with create_destination(str(tmp_path / "v"), BOX, SIZE_NM) as destination:
            (partial,) = tmp_path.iterdir()
            # A file where the folder of the chunks belongs.
            (partial / "4_4.5_30").write_text("")
            destination.write(BOX, random_voxels())

    with pytest.raises(OSError, match="Cannot write 3:23,-5:25,7:47 of "):
        write_into_a_file()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("dest", "part"),
    [
        ("http://host/v", "read only"),
        ("https://host/v", "read only"),
        ("precomputed://https://host/v.npy", "read only"),
        ("s3://bucket/v.npy", "cannot be remote"),
        ("gs://bucket/v.npy", "cannot be remote"),
        ("ftp://host/v", "the scheme ftp://"),
        ("", "expected"),
    ],
)
def test_unsupported_destinations(dest: str, part: str):
    with pytest.raises(UsageError, match=part):
        write_all(dest, random_voxels())


def test_empty_box(tmp_path: Path):
    with (
        pytest.raises(UsageError, match="at least 1 voxel"),
        create_destination(str(tmp_path / "v"), Box.of_shape((1, 0, 1)), SIZE_NM),
    ):
        pass


def test_s3(monkeypatch: pytest.MonkeyPatch):
    dest = "s3://volumes/a/v"
    with s3_bucket(monkeypatch):
        write_all(dest, random_voxels(1))
        np.testing.assert_array_equal(open_source(dest).read(BOX), random_voxels(1))
        with pytest.raises(UsageError, match="exists, expected a new name or --overwrite"):
            write_all(dest, random_voxels(2))
        write_all("s3://volumes/a/volume", random_voxels(3))
        write_all(dest, random_voxels(2), overwrite=True)
        np.testing.assert_array_equal(open_source(dest).read(BOX), random_voxels(2))
        neighbour = open_source("s3://volumes/a/volume")
        np.testing.assert_array_equal(neighbour.read(BOX), random_voxels(3))
        # Only the chunks of the new, smaller volume remain after it replaced the larger one.
        small = Box.of_shape((4, 4, 4), BOX.start)
        with create_destination(dest, small, SIZE_NM, overwrite=True) as destination:
            destination.write(small, np.ones(small.shape, np.uint8))
        assert open_source(dest).box == small


def _objects(folder: str) -> dict[str, bytes | None]:
    opened = open_folder(folder)
    return {key: opened.read(key) for key in opened.list_keys()}


@pytest.mark.parametrize("error", [FormatError, KeyboardInterrupt])
@pytest.mark.parametrize("overwrite", [False, True])
def test_failure_in_s3_leaves_what_was_there(monkeypatch, error, overwrite: bool):
    dest = "s3://volumes/a"
    with s3_bucket(monkeypatch):
        if overwrite:
            write_all(dest, random_voxels())
        open_folder(dest).write("mesh/1", b"a mesh")
        before = _objects(dest)

        def fails_late() -> None:
            with create_destination(dest, BOX, SIZE_NM, overwrite=overwrite) as destination:
                destination.write(BOX, random_voxels(2))
                raise error("damaged.")

        with pytest.raises(error, match=r"^damaged\.$"):
            fails_late()
        assert _objects(dest) == before


FOREIGN = {
    "mesh/1:0": b"a mesh",
    "provenance": b"{}",
    "4_4.5_30/notes.txt": b"by hand",
    "archive.zarr/zarr.json": b"{}",
}


def test_what_is_not_the_volumes_own_is_kept(tmp_path: Path):
    write_all(tmp_path / "v", random_voxels(1), tile_shape=BOX.shape)
    for key, data in FOREIGN.items():
        path = tmp_path / "v" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "v" / "link").symlink_to("mesh")
    small = Box.of_shape((4, 4, 4), BOX.start)
    dest = tmp_path / "v"
    with create_destination(dest, small, SIZE_NM, overwrite=True) as destination:
        destination.write(small, np.ones(small.shape, np.uint8))
        np.testing.assert_array_equal(open_source(dest).read(BOX), random_voxels(1))
    assert open_source(dest).box == small
    found = content(dest)
    assert {key: found[key] for key in FOREIGN} == FOREIGN
    assert (dest / "link").readlink() == Path("mesh")
    chunk = "4_4.5_30/7-11_-5--1_3-7"
    assert set(found) == {"info", chunk, *FOREIGN, "link"} - {"link"}


def test_what_is_not_the_volumes_own_is_kept_in_s3(monkeypatch: pytest.MonkeyPatch):
    dest = "s3://volumes/v"
    with s3_bucket(monkeypatch):
        write_all(dest, random_voxels(1))
        for key, data in FOREIGN.items():
            open_folder(dest).write(key, data)
        small = Box.of_shape((4, 4, 4), BOX.start)
        with create_destination(dest, small, SIZE_NM, overwrite=True) as destination:
            destination.write(small, np.ones(small.shape, np.uint8))
            np.testing.assert_array_equal(open_source(dest).read(BOX), random_voxels(1))
        assert open_source(dest).box == small
        found = _objects(dest)
        assert {key: found[key] for key in FOREIGN} == FOREIGN
        assert set(found) == {"info", "4_4.5_30/7-11_-5--1_3-7", *FOREIGN}


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path, monkeypatch, name: str):
    def refuse(*_, **__) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match=r"Cannot create .*: Permission denied"):
        check_destination(tmp_path / name, overwrite=False)
    assert os.listdir(tmp_path) == []
