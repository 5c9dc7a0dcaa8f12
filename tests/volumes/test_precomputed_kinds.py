"""Precomputed volumes as the field's programs write them: whatever may be read is read rightly."""

from __future__ import annotations

import gzip
import itertools
import json
import lzma
import shutil
import tracemalloc
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from servers import serve_folder
from volumes_for_tests import BOX, SHARDING, chunk_files, edit_info, make_volume, refusal

from jaxslice.core.box import Box
from jaxslice.core.errors import SourceDataError, StorageError, UsageError
from jaxslice.volumes.interface import SourceOptions
from jaxslice.volumes.source import open_any, open_source

GZIP_OF_CHUNK = {
    "NAME.gz": lambda chunk: chunk.with_name(f"{chunk.name}.gz"),
    "NAME": lambda chunk: chunk,
    "x/y/z.gz": lambda chunk: chunk.parent.joinpath(*f"{chunk.name}.gz".split("_")),
}


def edit_scale(folder: Path, **changes) -> None:
    (scale,) = json.loads((folder / "info").read_text())["scales"]
    edit_info(folder, scales=[scale | changes])


def repack(folder: Path, pack, name) -> None:
    for chunk in chunk_files(folder):
        data, target = pack(chunk.read_bytes()), name(chunk)
        chunk.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


@pytest.mark.parametrize("encoding", ["raw", "png"])
@pytest.mark.parametrize("layout", GZIP_OF_CHUNK)
def test_packed_chunks_as_cloud_volume_and_others_write_them(tmp_path, encoding: str, layout: str):
    voxels = make_volume(tmp_path / "v", encoding=encoding)
    repack(tmp_path / "v", gzip.compress, GZIP_OF_CHUNK[layout])
    source = open_source(tmp_path / "v")
    np.testing.assert_array_equal(source.read(BOX), voxels)
    inner = Box((10, 0, 20), (19, 13, 47))
    expected = voxels[inner.relative_to(BOX.start).slices]
    np.testing.assert_array_equal(source.read(inner), expected)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".br", imagecodecs.brotli_encode),
        (".zstd", imagecodecs.zstd_encode),
        (".xz", lzma.compress),
    ],
)
def test_chunks_packed_by_others(tmp_path: Path, suffix: str, pack):
    voxels = make_volume(tmp_path / "v")
    repack(tmp_path / "v", pack, lambda chunk: chunk.with_name(f"{chunk.name}{suffix}"))
    np.testing.assert_array_equal(open_source(tmp_path / "v").read(BOX), voxels)


def test_nested_chunks_that_are_not_packed(tmp_path: Path):
    voxels = make_volume(tmp_path / "v")
    repack(tmp_path / "v", bytes, lambda chunk: chunk.parent.joinpath(*chunk.name.split("_")))
    np.testing.assert_array_equal(open_source(tmp_path / "v").read(BOX), voxels)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_packed_chunks_of_more_bytes_and_channels(tmp_path: Path, dtype: str):
    voxels = make_volume(tmp_path / "v", dtype=dtype, channels=2)
    repack(tmp_path / "v", gzip.compress, GZIP_OF_CHUNK["NAME.gz"])
    source = open_any(tmp_path / "v", SourceOptions(channel=1))
    assert source.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(source.read(BOX), voxels)


@pytest.mark.parametrize(
    ("pack", "suffix"),
    [
        (gzip.compress, ".gz"), (gzip.compress, ""), (partial(lzma.compress, preset=0), ".xz"),
        (imagecodecs.brotli_encode, ".br"), (imagecodecs.zstd_encode, ".zstd"),
    ],
)  # fmt: skip
def test_a_packed_chunk_without_an_end_is_refused(tmp_path: Path, pack, suffix):
    make_volume(tmp_path / "v")
    packed = pack(bytes(8 << 20))
    repack(tmp_path / "v", lambda _: packed, lambda chunk: chunk.with_name(chunk.name + suffix))
    source = open_source(tmp_path / "v")
    tracemalloc.start()
    try:
        with pytest.raises(SourceDataError, match=r"Cannot (decode|unpack) the chunk"):
            source.read(BOX)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_a_packed_chunk_that_is_damaged_or_missing(tmp_path: Path):
    voxels = make_volume(tmp_path / "v")
    repack(tmp_path / "v", gzip.compress, GZIP_OF_CHUNK["NAME.gz"])
    chunk = chunk_files(tmp_path / "v")[0]
    chunk.write_bytes(chunk.read_bytes()[:30])
    with pytest.raises(SourceDataError, match=f"Cannot unpack the chunk {chunk.name}"):
        open_source(tmp_path / "v").read(BOX)
    chunk.write_bytes(gzip.compress(b"too short"))
    with pytest.raises(SourceDataError, match="Cannot decode the chunk"):
        open_source(tmp_path / "v").read(BOX)
    chunk.unlink()
    with pytest.raises(SourceDataError, match=r"is missing.*--missing=zero"):
        open_source(tmp_path / "v").read(BOX)
    source = open_source(tmp_path / "v", missing="zero")
    assert ((source.read(BOX) == 0) | (source.read(BOX) == voxels)).all()
    assert source.missing.count == 1
    assert not source.missing.all_missing


@pytest.mark.parametrize("kind", ["plain", "packed"])
def test_missing_chunks_are_counted_once(tmp_path: Path, kind: str):
    make_volume(tmp_path / "v")
    if kind == "packed":
        repack(tmp_path / "v", gzip.compress, GZIP_OF_CHUNK["NAME.gz"])
    chunks = chunk_files(tmp_path / "v")
    for chunk in chunks[:5]:
        chunk.unlink()
    source = open_source(tmp_path / "v", missing="zero")
    for box in (BOX, *BOX.tiles((7, 9, 50))):
        source.read(box)
    assert source.missing.count == 5
    for chunk in chunks[5:]:
        chunk.unlink()
    nothing = open_source(tmp_path / "v", missing="zero")
    assert not nothing.read(BOX).any()
    assert nothing.missing.count == len(chunks)
    assert nothing.missing.all_missing


SHARDINGS = list(
    itertools.product(
        ("raw", "gzip"),
        ("identity", "murmurhash3_x86_128"),
        ("raw", "gzip"),
        ((0, 0, 0), (1, 2, 3)),
    )
)


@pytest.mark.parametrize(("index", "hash_name", "data", "bits"), SHARDINGS)
def test_every_sharding(tmp_path: Path, index: str, hash_name: str, data: str, bits):
    sharding = SHARDING | {
        "minishard_index_encoding": index,
        "data_encoding": data,
        "hash": hash_name,
        "preshift_bits": bits[0],
        "minishard_bits": bits[1],
        "shard_bits": bits[2],
    }
    voxels = make_volume(tmp_path / "v", sharding=sharding)
    source = open_source(tmp_path / "v")
    np.testing.assert_array_equal(source.read(BOX), voxels)
    assert "sharded" in source.details.encoding


def test_another_scale_may_be_anything(tmp_path: Path):
    voxels = make_volume(tmp_path / "v")
    (scale,) = json.loads((tmp_path / "v" / "info").read_text())["scales"]
    others = [
        scale | {"encoding": "jxl", "key": "jxl"},
        scale | {"encoding": "of the future", "key": "future"},
        {"key": "nothing"},
    ]
    edit_info(tmp_path / "v", scales=[scale, *others])
    source = open_source(tmp_path / "v")
    np.testing.assert_array_equal(source.read(BOX), voxels)
    assert [s.encoding for s in source.details.scales] == ["raw", "jxl", "of the future", "raw"]
    refusal(UsageError, "of the future-coded", "expected raw, png", source=tmp_path / "v", scale=2)


def test_compressed_segmentation_is_refused_by_name(tmp_path: Path):
    make_volume(tmp_path / "v")
    edit_scale(tmp_path / "v", encoding="compressed_segmentation")
    refusal(UsageError, "compressed_segmentation-coded", source=tmp_path / "v")


def test_several_chunk_sizes(tmp_path: Path):
    voxels = make_volume(tmp_path / "v")
    (scale,) = json.loads((tmp_path / "v" / "info").read_text())["scales"]
    edit_scale(tmp_path / "v", chunk_sizes=[*scale["chunk_sizes"], [50, 40, 1]])
    np.testing.assert_array_equal(open_source(tmp_path / "v").read(BOX), voxels)


def test_an_info_file_of_the_least_and_of_floats(tmp_path: Path):
    voxels = make_volume(tmp_path / "v", voxel_offset=[0, 0, 0])
    info = json.loads((tmp_path / "v" / "info").read_text())
    info.pop("@type")
    (scale,) = info["scales"]
    scale.pop("voxel_offset")
    scale["size"] = [float(n) for n in scale["size"]]
    scale["chunk_sizes"] = [[float(n) for n in scale["chunk_sizes"][0]]]
    scale["sharding"] = None
    (tmp_path / "v" / "info").write_bytes(b"\xef\xbb\xbf" + json.dumps(info).encode())
    source = open_source(tmp_path / "v")
    assert source.box == Box.of_shape(BOX.shape)
    np.testing.assert_array_equal(source.read(source.box), voxels)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("voxel_offset", [0.5, 0, 0]), ("voxel_offset", [1, 2]), ("size", "large"),
        ("chunk_sizes", [[16, 16, None]]), ("chunk_sizes", []), ("resolution", ["4", 4, 40]),
        ("size", [float("nan"), 1, 1]),
    ],
)  # fmt: skip
def test_a_scale_that_makes_no_sense(tmp_path: Path, field: str, value):
    make_volume(tmp_path / "v")
    edit_scale(tmp_path / "v", **{field: value})
    refusal(UsageError, field, source=tmp_path / "v")


@pytest.mark.parametrize("offset", [(-(2**31), 5, -7), (2**31 - 60, -5, 7)])
def test_far_and_negative_offsets(tmp_path: Path, offset):
    voxels = make_volume(tmp_path / "v", voxel_offset=list(offset[::-1]))
    source = open_source(tmp_path / "v")
    assert source.box == Box.of_shape(BOX.shape, offset)
    np.testing.assert_array_equal(source.read(source.box), voxels)


def test_a_bucket_that_may_not_be_listed(tmp_path: Path):
    voxels = make_volume(tmp_path / "v")
    chunk_files(tmp_path / "v")[3].unlink()
    with serve_folder(tmp_path, refuses_missing=True) as url:
        with pytest.raises(StorageError, match=r"may not be listed.*--missing=zero"):
            open_source(f"{url}/v").read(BOX)
        source = open_source(f"{url}/v", missing="zero")
        read = source.read(BOX)
        assert source.missing.count == 1
        assert ((read == voxels) | (read == 0)).all()
        assert (read == 0).any()
        refusal(StorageError, "403", source=f"{url}/w")


def test_original_is_found(tmp_path: Path):
    make_volume(tmp_path / "v", encoding="jpeg")
    edit_info(tmp_path / "v", original="gs://bucket/lossless")
    details = open_source(tmp_path / "v").details
    assert details.original == "gs://bucket/lossless"
    assert details.lossy
    shutil.rmtree(tmp_path / "v")
