"""Sources: every supported kind reads the voxels that were stored, every other is refused."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import s3_bucket, serve_folder

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, UsageError
from jaxslice.storage import location as storage_module
from jaxslice.storage.location import parse_location
from jaxslice.volumes.source import open_source

BOX = Box((3, -5, 7), (33, 35, 57))
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "minishard_bits": 1,
    "shard_bits": 1,
    "hash": "identity",
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}
KINDS = {"raw": {}, "png": {"encoding": "png"}, "sharded": {"sharding": SHARDING}}


def random_voxels(shape=BOX.shape) -> np.ndarray:
    # No zeros, so that a chunk that was not read cannot pass for one that was.
    return np.random.default_rng(7).integers(1, 256, shape, dtype=np.uint8)


def make_volume(
    kvstore: Any, dtype: str = "uint8", channels: int = 1, kind: str = "image", **scale: Any
) -> np.ndarray:
    """Writes a precomputed volume that covers `BOX`; returns its voxels, z,y,x."""
    if isinstance(kvstore, Path):
        kvstore = {"driver": "file", "path": f"{kvstore}/"}
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": kvstore,
        "multiscale_metadata": {"type": kind, "data_type": dtype, "num_channels": channels},
        "scale_metadata": {
            "size": BOX.shape[::-1],
            "voxel_offset": BOX.start[::-1],
            "resolution": [4, 4.5, 30],
            "chunk_size": [16, 15, 14],
            "encoding": "raw",
        }
        | scale,
    }
    voxels = random_voxels()
    store = ts.open(ts.Spec(spec), create=True).result()
    store.write(np.repeat(voxels.T[..., None], channels, -1)).result()
    return voxels


def chunk_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.is_file())


def edit_info(folder: Path, **changes: Any) -> None:
    info = json.loads((folder / "info").read_text())
    (folder / "info").write_text(json.dumps(info | changes))


def refusal(error: type[Exception], *parts: str, **options: Any) -> str:
    """Opens a source, expects `error` with all `parts` in one line; returns the message."""
    with pytest.raises(error) as caught:
        open_source(**options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_precomputed_reads_what_was_stored(tmp_path: Path, kind: str):
    voxels = make_volume(tmp_path / "v", **KINDS[kind])
    source = open_source(str(tmp_path / "v"))
    assert source.box == BOX
    assert source.shape == BOX.shape == (30, 40, 50)
    assert source.placement.voxel_size_nm == (30.0, 4.5, 4.0)
    assert source.placement.offset_voxels == BOX.start
    read = source.read(source.box)
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, voxels)


def test_jpeg_is_read(tmp_path: Path):
    make_volume(tmp_path / "v", encoding="jpeg")
    assert open_source(str(tmp_path / "v")).read(BOX).shape == BOX.shape


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


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path: Path, order):
    voxels = random_voxels()
    np.save(tmp_path / "v.npy", np.asarray(voxels, order=order))
    for name in (str(tmp_path / "v.npy"), f"file://{tmp_path}/v.npy"):
        source = open_source(name, scale="0")
        assert source.box == Box.of_shape(BOX.shape)
        assert source.placement.voxel_size_nm == (1.0, 1.0, 1.0)
        assert source.placement.offset_voxels == (0, 0, 0)
        box = Box((1, 2, 3), (30, 9, 8))
        read = source.read(box)
        assert type(read) is np.ndarray
        assert read.flags.c_contiguous
        np.testing.assert_array_equal(read, voxels[box.slices])
        read[:] = 0
        np.testing.assert_array_equal(source.read(box), voxels[box.slices])


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


def test_scales(tmp_path: Path):
    fine = make_volume(tmp_path / "v", key="fine")
    make_volume(tmp_path / "v", key="8_8_30", resolution=[8, 8, 30], size=BOX.shape[::-1])
    for scale in (1, "1", "8_8_30"):
        source = open_source(str(tmp_path / "v"), scale=scale)
        assert source.placement.voxel_size_nm == (30.0, 8.0, 8.0)
    for scale in (0, "0", "fine"):
        source = open_source(str(tmp_path / "v"), scale=scale)
        assert source.placement.voxel_size_nm == (30.0, 4.5, 4.0)
    np.testing.assert_array_equal(source.read(BOX), fine)
    for wrong in (2, -1, "2", "16_16_30", ""):
        names = ("index from 0 to 1", "fine, 8_8_30")
        refusal(UsageError, repr(str(wrong)), *names, source=str(tmp_path / "v"), scale=wrong)


def test_missing_chunk(tmp_path: Path):
    voxels = make_volume(tmp_path / "v")
    (tmp_path / "v" / "4_4.5_30" / "7-23_-5-10_3-17").unlink()
    source = open_source(str(tmp_path / "v"))
    with pytest.raises(SourceDataError, match=r"3:33,-5:35,7:57 .* is missing.*--missing=zero"):
        source.read(BOX)
    beside = Box((3, -5, 23), (33, 35, 57))
    np.testing.assert_array_equal(source.read(beside), voxels[:, :, 16:])
    voxels[:14, :15, :16] = 0
    lenient = open_source(str(tmp_path / "v"), missing="zero")
    np.testing.assert_array_equal(lenient.read(BOX), voxels)


def test_missing_chunk_of_a_shard(tmp_path: Path):
    make_volume(tmp_path / "v", **KINDS["sharded"])
    chunk_files(tmp_path / "v")[0].unlink()
    with pytest.raises(SourceDataError, match="--missing=zero"):
        open_source(str(tmp_path / "v")).read(BOX)
    assert (open_source(str(tmp_path / "v"), missing="zero").read(BOX) == 0).any()


def test_wrong_missing_option():
    refusal(UsageError, "'black'", "'error' or 'zero'", source="v", missing="black")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", ["error", "zero"])
def test_truncated_chunk(tmp_path: Path, kind: str, missing: str):
    make_volume(tmp_path / "v", **KINDS[kind])
    chunk = chunk_files(tmp_path / "v")[0]
    chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])
    with pytest.raises(SourceDataError) as caught:
        open_source(str(tmp_path / "v"), missing=missing).read(BOX)
    message = str(caught.value)
    assert message.startswith(f"Cannot read the box {BOX} of ")
    assert "\n" not in message
    assert "tensorstore_spec" not in message
    assert "--missing" not in message


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"dtype": "uint16"}, ("data_type 'uint16'", "expected 'uint8'")),
        ({"dtype": "float32"}, ("data_type 'float32'", "expected 'uint8'")),
        ({"dtype": "uint64"}, ("data_type 'uint64'", "expected 'uint8'")),
        ({"channels": 3}, ("num_channels 3", "expected 1")),
        ({"kind": "segmentation"}, ("type 'segmentation'", "expected 'image'")),
    ],
)
def test_unsupported_volumes(tmp_path: Path, options: dict[str, Any], parts):
    make_volume(tmp_path / "v", **options)
    refusal(UsageError, *parts, "Supported: a [z,y,x] uint8 .npy", source=str(tmp_path / "v"))


def test_empty_volume(tmp_path: Path):
    make_volume(tmp_path / "v")
    info = json.loads((tmp_path / "v" / "info").read_text())
    info["scales"][0]["size"] = [50, 0, 30]
    edit_info(tmp_path / "v", scales=info["scales"])
    refusal(UsageError, "(30, 0, 50)", "at least 1 voxel", source=str(tmp_path / "v"))


@pytest.mark.parametrize(
    ("info", "part"),
    [
        (None, "no info file"),
        (b"<html>", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "type None, expected 'image'"),
        (b'{"type": "image", "data_type": "uint8", "num_channels": 1}', "no scales"),
        (b'{"type": "image", "data_type": "uint8", "num_channels": 1, "scales": [7]}', "no scales"),
        (b'{"type": "image", "data_type": "uint8", "num_channels": 1, "scales": [{}]}', '"key"'),
    ],
)
def test_damaged_info(tmp_path: Path, info: bytes | None, part: str):
    if info is not None:
        (tmp_path / "info").write_bytes(info)
    message = refusal(UsageError, part, source=str(tmp_path))
    assert "tensorstore_spec" not in message


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("", "expected a [z,y,x] uint8 .npy"),
        ("/no/such/place", "no such file or folder"),
        ("/no/such/place.npy", "no such file or folder"),
        ("file:///no/such/place", "no such file or folder"),
        ("file://elsewhere/x", "no valid URL"),
        ("ftp://host/x", "the scheme ftp://"),
        ("zarr://gs://bucket/x", "the scheme zarr://"),
        ("graphene://https://host/x", "the scheme graphene://"),
        ("s3://", "no valid URL"),
        ("gs://bucket/x|zarr3:", "no valid URL"),
    ],
)
def test_no_such_source(source: str, part: str):
    refusal(UsageError, repr(source), part, source=source)


def test_other_file_is_refused(tmp_path: Path):
    (tmp_path / "v.tif").write_bytes(b"II")
    refusal(UsageError, "v.tif", ".npy file, or", source=str(tmp_path / "v.tif"))


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((2, 3, 4), np.uint16), "dtype uint16"),
        (np.zeros((2, 3, 4), np.int8), "dtype int8"),
        (np.zeros((2, 3, 4), bool), "dtype bool"),
        (np.zeros((2, 3), np.uint8), "shape (2, 3)"),
        (np.zeros((2, 3, 4, 1), np.uint8), "shape (2, 3, 4, 1)"),
        (np.zeros((2, 0, 4), np.uint8), "shape (2, 0, 4)"),
        (np.zeros((), np.uint8), "shape ()"),
    ],
)
def test_unsupported_npy(tmp_path: Path, array: np.ndarray, part: str):
    np.save(tmp_path / "v.npy", array)
    refusal(UsageError, part, "expected dtype uint8", source=str(tmp_path / "v.npy"))


def test_damaged_npy(tmp_path: Path):
    path = tmp_path / "v.npy"
    np.save(path, random_voxels())
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    parts = (f"got {len(whole) - 1} bytes", f"expected {len(whole)}")
    refusal(SourceDataError, *parts, source=str(path))
    for damaged in (b"", b"no array", whole[:40], whole.replace(b"}", b" ", 1)):
        path.write_bytes(damaged)
        refusal(UsageError, "as a .npy file", source=str(path))


def test_npy_has_one_scale(tmp_path: Path):
    np.save(tmp_path / "v.npy", random_voxels())
    refusal(UsageError, "scale 1", "expected 0", source=str(tmp_path / "v.npy"), scale=1)


@pytest.mark.parametrize("kind", KINDS)
def test_http(tmp_path: Path, kind: str):
    voxels = make_volume(tmp_path / "v", **KINDS[kind])
    with serve_folder(tmp_path) as url:
        for form in (f"{url}/v", f"precomputed://{url}/v/", f"{url}/v|neuroglancer-precomputed:"):
            np.testing.assert_array_equal(open_source(form).read(BOX), voxels)
        refusal(UsageError, "no info file", source=f"{url}/elsewhere")
        source = open_source(f"{url}/v")
        chunk_files(tmp_path / "v")[0].unlink()
        with pytest.raises(SourceDataError, match="--missing=zero"):
            source.read(BOX)


FEW_RETRIES = {"max_retries": 1, "initial_delay": "1ms", "max_delay": "1ms"}


def test_connection_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "RETRIES", FEW_RETRIES)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v"
    message = refusal(UsageError, url, "All 1 retry attempts failed", source=url)
    assert "curl_code" not in message


def test_server_that_never_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "OPEN_TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v"
        refusal(UsageError, url, "no answer within 0.05 seconds", source=url)


def test_server_lost_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "RETRIES", FEW_RETRIES)
    make_volume(tmp_path / "v")
    with serve_folder(tmp_path) as url:
        source = open_source(f"{url}/v")
    with pytest.raises(SourceDataError, match="Cannot read the box") as caught:
        source.read(BOX)
    assert "--missing" not in str(caught.value)


def test_s3(monkeypatch: pytest.MonkeyPatch):
    with s3_bucket(monkeypatch):
        voxels = make_volume(parse_location("s3://volumes/a/v/"))
        for form in ("s3://volumes/a/v", "precomputed://s3://volumes/a/v/"):
            source = open_source(form)
            assert source.box == BOX
            np.testing.assert_array_equal(source.read(BOX), voxels)
        refusal(UsageError, "no info file", source="s3://volumes/a/w")


def test_import_is_light():
    program = (
        "import sys, jaxslice.volumes.source, jaxslice.volumes.destination\n"
        "heavy = {'jax', 'flax', 'tensorstore', 'zarr'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
