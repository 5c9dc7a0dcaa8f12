"""Precomputed volumes written by TensorStore itself, for the tests of sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts

from jaxslice.core.box import Box
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
