"""Sources of every format alike: locations, boxes, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volumes_for_tests import (
    BOX,
    KINDS,
    make_volume,
    refusal,
)

from jaxslice.core.box import Box
from jaxslice.core.errors import UsageError
from jaxslice.volumes.source import open_source


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}/",
        "file://{}",
        "file://{}/",
        "precomputed://{}",
        "precomputed://file://{}",
        "file://{}|neuroglancer-precomputed:",
        "{}/|neuroglancer-precomputed:",
    ],
)
def test_every_way_to_write_a_local_source(tmp_path: Path, form: str):
    voxels = make_volume(tmp_path / "v")
    source = open_source(form.format(tmp_path / "v"))
    np.testing.assert_array_equal(source.read(BOX), voxels)
    assert source.description == form.format(tmp_path / "v")


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    voxels = make_volume(tmp_path / "v")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(open_source("v").read(BOX), voxels)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("stored")
    voxels = make_volume(folder / "v", **KINDS["sharded"])
    np.save(folder / "v.npy", voxels)
    return open_source(str(folder / "v")), open_source(str(folder / "v.npy")), voxels


def boxes_inside(box: Box) -> st.SearchStrategy[Box]:
    edges = [
        st.tuples(st.integers(a, b), st.integers(a, b)).map(sorted)
        for a, b in zip(box.start, box.stop, strict=True)
    ]
    return st.tuples(*edges).map(
        lambda r: Box((r[0][0], r[1][0], r[2][0]), (r[0][1], r[1][1], r[2][1]))
    )


@settings(deadline=None)
@given(box=boxes_inside(BOX))
def test_any_box_equals_the_numpy_slice(stored, box: Box):
    precomputed, npy, voxels = stored
    z, y, x = BOX.start
    local = box.shift((-z, -y, -x))
    expected = voxels[local.slices]
    for got in (precomputed.read(box), npy.read(local)):
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, expected)


def test_bbox_selects(tmp_path: Path):
    voxels = make_volume(tmp_path / "v")
    bbox = Box((10, -1, 20), (20, 30, 57))
    source = open_source(str(tmp_path / "v"), bbox=bbox)
    assert source.box == bbox
    assert source.placement.offset_voxels == bbox.start
    z, y, x = BOX.start
    np.testing.assert_array_equal(source.read(bbox), voxels[bbox.shift((-z, -y, -x)).slices])
    with pytest.raises(UsageError, match=re.escape(f"{BOX}, expected one inside {bbox}")):
        source.read(BOX)


@pytest.mark.parametrize(
    "bbox",
    [
        Box((0, -5, 7), (33, 35, 57)),
        Box((3, -5, 7), (33, 35, 58)),
        Box((90, 90, 90), (91, 91, 91)),
        Box((5, 5, 8), (5, 9, 9)),
    ],
)
def test_bbox_outside_is_refused(tmp_path: Path, bbox: Box):
    make_volume(tmp_path / "v")
    refusal(UsageError, str(bbox), str(BOX), source=str(tmp_path / "v"), bbox=bbox)


def test_wrong_missing_option():
    refusal(UsageError, "'black'", "'error' or 'zero'", source="v", missing="black")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("", "expected a [z,y,x] .npy"),
        ("/no/such/place", "no such file or folder"),
        ("/no/such/place.npy", "no such file or folder"),
        ("file:///no/such/place", "no such file or folder"),
        ("file://elsewhere/x", "no valid URL"),
        ("ftp://host/x", "the scheme ftp://"),
        ("zarr://ftp://host/x", "the scheme ftp://"),
        ("graphene://https://host/x", "the scheme graphene://"),
        ("s3://", "no valid URL"),
        ("gs://bucket/x|tar:", "no valid URL"),
    ],
)
def test_no_such_source(source: str, part: str):
    refusal(UsageError, repr(source), part, source=source)


def test_other_file_is_refused(tmp_path: Path):
    (tmp_path / "v.doc").write_bytes(b"minutes")
    refusal(UsageError, "v.doc", "another format", ".npy file; ", source=str(tmp_path / "v.doc"))


def test_import_is_light():
    program = (
        "import sys, jaxslice.volumes.source, jaxslice.volumes.destination\n"
        "heavy = {'jax', 'flax', 'tensorstore', 'zarr'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
