"""Sharded destinations: each block is one object, and other programs read what is in it."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given
from hypothesis import strategies as st

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError
from jaxslice.volumes.destination import create_destination
from jaxslice.volumes.output_chunks import sharded_chunks
from jaxslice.volumes.source import open_source

START = (3, -5, 7)
CASES: dict[str, tuple[Triple, Triple, Triple]] = {
    "blocks along each axis": ((20, 70, 90), (2, 8, 12), (8, 32, 48)),
    "one block along z": ((5, 70, 90), (2, 8, 12), (8, 32, 48)),
    "one chunk along y": ((20, 7, 90), (2, 8, 12), (8, 32, 48)),
    "one block": ((7, 30, 40), (2, 8, 12), (8, 32, 48)),
    "chunks are shards": ((20, 70, 90), (8, 32, 48), (8, 32, 48)),
}


def objects(folder: Path) -> list[Path]:
    return [
        p for p in folder.rglob("*") if p.suffix == ".shard" or ("c" in p.parts and p.is_file())
    ]


@pytest.mark.parametrize("tile", ["shards", "unaligned"])
@pytest.mark.parametrize("key", ["precomputed", "zarr3"])
@pytest.mark.parametrize("name", CASES)
def test_each_shard_is_one_object(tmp_path: Path, name: str, key: str, tile: str):
    shape, chunk, shard = CASES[name]
    box = Box.of_shape(shape, START)
    voxels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    with (
        create_destination(
            tmp_path / "v", box, (30, 4, 4), chunk_shape=chunk, shard_shape=shard, dest_format=key
        ) as made,
        ThreadPoolExecutor(4) as pool,
    ):
        tiles = box.tiles(shard if tile == "shards" else (7, 30, 31))
        parts = ((part, voxels[part.relative_to(START).slices]) for part in tiles)
        list(pool.map(lambda part: made.write(*part), parts))
    source = open_source(tmp_path / "v")
    np.testing.assert_array_equal(source.read(box), voxels)
    pairs = zip(shape, shard, strict=True)
    assert len(objects(tmp_path / "v")) == math.prod(-(-n // s) for n, s in pairs)
    np.testing.assert_array_equal(_as_others_read(tmp_path / "v", key), voxels)


def _as_others_read(place: Path, key: str) -> np.ndarray:
    if key == "zarr3":
        return zarr.open_array(place / "0", mode="r")[...]  # type: ignore[return-value]
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{place}/"}
    return ts.open(spec).result().read().result()[..., 0].T


def test_chunks_of_a_sharded_png_volume_are_not_compressed_again(tmp_path: Path):
    box = Box.of_shape((4, 8, 8))
    with create_destination(
        tmp_path / "v", box, (1, 1, 1), chunk_shape=(2, 4, 4), shard_shape=(4, 8, 8), encoding="png"
    ) as made:
        made.write(box, np.ones(box.shape, np.uint8))
    (scale,) = json.loads((tmp_path / "v" / "info").read_text())["scales"]
    assert scale["sharding"]["data_encoding"] == "raw"
    assert open_source(tmp_path / "v").read(box).all()


@pytest.mark.parametrize("name", ["v.npy", "v.h5", "v.n5"])
def test_formats_without_shards_say_so(tmp_path: Path, name: str):
    with (
        pytest.raises(UsageError, match="expected precomputed or Zarr 3, but it is "),
        create_destination(
            tmp_path / name, Box.of_shape((2, 2, 2)), (1, 1, 1), shard_shape=(2, 2, 2)
        ),
    ):
        pass
    assert not any(tmp_path.iterdir())


@given(block=st.tuples(*[st.integers(1, 300)] * 3), size=st.tuples(*[st.integers(1, 900)] * 3))
def test_shards_are_blocks(block: Triple, size: Triple):
    block = tuple(min(pair) for pair in zip(block, size, strict=True))
    chunk, shard = sharded_chunks(block, size)
    parts = {s // c for s, c in zip(shard, chunk, strict=True)}
    assert len(parts) == 1
    assert parts <= {1, 2, 4, 8}
    for b, c, s, n in zip(block, chunk, shard, size, strict=True):
        assert s % c == 0
        assert s == b or s > b >= n
    if parts != {1}:
        assert math.prod(chunk) >= 1 << 15


def test_the_usual_block_has_64_chunks():
    assert sharded_chunks((64, 256, 256), (999, 999, 999)) == ((16, 64, 64), (64, 256, 256))
