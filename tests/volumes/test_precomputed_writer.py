"""Precomputed volumes written: what is stored, what is replaced, and what is left alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from destinations_for_tests import BOX, SIZE_NM, content, random_voxels, write_all
from servers import s3_bucket

from jaxslice.core.box import Box
from jaxslice.core.errors import FormatError, UsageError
from jaxslice.storage.folder import open_folder
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.source import open_source


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


def test_zeros_are_stored(tmp_path: Path):
    """A chunk of zeros that was left out would read as a missing one."""
    write_all(tmp_path / "v", np.zeros(BOX.shape, np.uint8))
    assert not open_source(str(tmp_path / "v"), missing="error").read(BOX).any()


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


def test_chunk_that_cannot_be_written(tmp_path: Path):
    def write_into_a_file() -> None:
        with create_destination(str(tmp_path / "v"), BOX, SIZE_NM) as destination:
            partial = tmp_path / ".v.partial" / "new"
            # A file where the folder of the chunks belongs.
            (partial / "4_4.5_30").write_text("")
            destination.write(BOX, random_voxels())

    with pytest.raises(OSError, match="Cannot write 3:23,-5:25,7:47 of "):
        write_into_a_file()
    assert os.listdir(tmp_path) == []


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
