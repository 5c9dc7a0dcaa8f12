"""Destinations of every format: what is written is read back, a failure leaves nothing."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from destinations_for_tests import BOX, CHUNK, SIZE_NM, content, part_of, random_voxels, write_all
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.storage import replace
from jaxslice.volumes.destination import check_destination, create_destination
from jaxslice.volumes.source import open_source


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
        if Path(old).name == "new":
            raise OSError(28, "No space left on device")
        rename(old, new)

    monkeypatch.setattr(replace, "_swap", lambda *_: False)
    monkeypatch.setattr(replace.os, "rename", fails_for_the_new_one)
    with pytest.raises(UsageError, match="No space left on device"):
        write_all(tmp_path / "v", random_voxels(2), overwrite=True)
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_parent_must_exist(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="there is no folder"):
        write_all(tmp_path / "typo" / name, random_voxels())
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


@pytest.mark.parametrize("name", ["v", "v.npy"])
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path, monkeypatch, name: str):
    def refuse(*_, **__) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match=r"Cannot create .*: Permission denied"):
        check_destination(tmp_path / name, overwrite=False)
    assert os.listdir(tmp_path) == []
