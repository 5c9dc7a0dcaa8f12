"""Neuroglancer precomputed image volumes, written through TensorStore, or in JPEG-XL."""

from __future__ import annotations

import json
import re
from typing import Any

from jaxslice.core.errors import UsageError
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import Location, kvstore_spec
from jaxslice.volumes.interface import NewVolume, Writer
from jaxslice.volumes.jxl_writer import create_jxl
from jaxslice.volumes.store_writer import StoreWriter, create_store

ENCODINGS = ("raw", "png", "jxl")


def create(place: str, location: Location, new: NewVolume) -> Writer:
    """Creates a volume, or adds a scale to it; boxes of whole chunks are written fastest.

    Raises:
      UsageError: it cannot be created, or the encoding is unknown or not for such voxels.
      MissingExtraError: a library that the encoding needs is not installed.
    """
    encoding = new.encoding or "raw"
    if encoding not in ENCODINGS:
        raise UsageError(
            f"Got the encoding {encoding!r} for {place!r}, expected one of {', '.join(ENCODINGS)}."
        )
    multiscale = {"type": "image", "data_type": str(new.dtype), "num_channels": 1}
    scale = {
        "size": new.box.shape[::-1],
        "voxel_offset": new.box.start[::-1],
        "resolution": new.voxel_size_nm[::-1],
        "chunk_size": new.chunk_shape[::-1],
        "encoding": encoding,
        **({"sharding": _sharding(new, encoding)} if new.shard_shape else {}),
    }
    if encoding == "jxl":
        return create_jxl(place, location, multiscale, scale)
    spec = {"driver": "neuroglancer_precomputed", "kvstore": kvstore_spec(location)}
    description = {"multiscale_metadata": multiscale, "scale_metadata": scale}
    create_store(place, {**spec, **description})
    return StoreWriter(place, {**spec, "scale_index": len(new.finer)}, "xyzc", (0, 0, 0))


def _sharding(new: NewVolume, encoding: str) -> dict[str, Any]:
    """How chunks are numbered and packed so that each shard is a box.

    A chunk's number interleaves the bits of its index along x, y and z, lowest first, leaving out
    those that an axis does not need. The lowest few of each axis are its place in the shard.
    """
    assert new.shard_shape is not None
    preshift, total = 0, 0
    for size, chunk, shard in zip(new.box.shape, new.chunk_shape, new.shard_shape, strict=True):
        bits = (-(-size // chunk) - 1).bit_length()
        preshift += min(bits, (shard // chunk).bit_length() - 1)
        total += bits
    return {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": preshift,
        "hash": "identity",
        "minishard_bits": 0,
        "shard_bits": total - preshift,
        "minishard_index_encoding": "gzip",
        "data_encoding": "gzip" if encoding == "raw" else "raw",
    }


_CHUNK = re.compile(r"-?\d+--?\d+_-?\d+--?\d+_-?\d+--?\d+(\.gz)?|[0-9a-f]+\.shard")


def _own_keys(info: bytes | None) -> OwnKeys | None:
    """The info file, and the chunks of the scales that it lists."""
    try:
        folders = {scale["key"] for scale in json.loads(info or b"")["scales"]}
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if not folders:
        return None

    def is_own(key: str) -> bool:
        folder, _, name = key.rpartition("/")
        return key == "info" or (folder in folders and _CHUNK.fullmatch(name) is not None)

    return is_own


KIND = Kind("a precomputed volume", "info", _own_keys)
