"""Precomputed volumes: what was stored is read, locally, by HTTP and from S3; damage is named."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import s3_bucket, serve_folder
from volumes_for_tests import (
    BOX,
    KINDS,
    chunk_files,
    edit_info,
    make_volume,
    refusal,
)

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, StorageError, UsageError
from jaxslice.storage import location as storage_module
from jaxslice.storage.location import parse_location
from jaxslice.volumes.source import open_source


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
        ({"dtype": "uint32"}, ("of uint32", "expected uint8")),
        ({"dtype": "float32"}, ("of float32", "expected uint8")),
        ({"dtype": "uint64"}, ("of uint64", "expected uint8")),
        ({"channels": 3}, ("3 entries along c", "expected --channel")),
        ({"kind": "segmentation"}, ("type 'segmentation'", "expected 'image'")),
    ],
)
def test_unsupported_volumes(tmp_path: Path, options: dict[str, Any], parts):
    make_volume(tmp_path / "v", **options)
    refusal(UsageError, *parts, source=str(tmp_path / "v"))


def test_empty_volume(tmp_path: Path):
    make_volume(tmp_path / "v")
    info = json.loads((tmp_path / "v" / "info").read_text())
    info["scales"][0]["size"] = [50, 0, 30]
    edit_info(tmp_path / "v", scales=info["scales"])
    refusal(UsageError, "(30, 0, 50)", "at least 1 voxel", source=str(tmp_path / "v"))


@pytest.mark.parametrize(
    ("info", "part"),
    [
        (None, "has no info"),
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


@pytest.mark.parametrize("kind", KINDS)
def test_http(tmp_path: Path, kind: str):
    voxels = make_volume(tmp_path / "v", **KINDS[kind])
    with serve_folder(tmp_path) as url:
        for form in (f"{url}/v", f"precomputed://{url}/v/", f"{url}/v|neuroglancer-precomputed:"):
            np.testing.assert_array_equal(open_source(form).read(BOX), voxels)
        refusal(UsageError, "has no info", source=f"{url}/elsewhere")
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
    message = refusal(StorageError, url, "All 1 retry attempts failed", source=url)
    assert "curl_code" not in message


def test_server_that_never_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "OPEN_TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v"
        refusal(StorageError, url, "no answer within 0.05 seconds", source=url)


def test_server_lost_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage_module, "RETRIES", FEW_RETRIES)
    make_volume(tmp_path / "v")
    with serve_folder(tmp_path) as url:
        source = open_source(f"{url}/v")
    with pytest.raises(StorageError, match="Cannot read the box") as caught:
        source.read(BOX)
    assert "--missing" not in str(caught.value)


def test_s3(monkeypatch: pytest.MonkeyPatch):
    with s3_bucket(monkeypatch):
        voxels = make_volume(parse_location("s3://volumes/a/v/"))
        for form in ("s3://volumes/a/v", "precomputed://s3://volumes/a/v/"):
            source = open_source(form)
            assert source.box == BOX
            np.testing.assert_array_equal(source.read(BOX), voxels)
        refusal(UsageError, "has no info", source="s3://volumes/a/w")
