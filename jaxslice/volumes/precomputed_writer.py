"""Neuroglancer precomputed image volumes, written through TensorStore."""

from __future__ import annotations

import json
import re

from jaxslice.core.errors import UsageError
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import Location, kvstore_spec
from jaxslice.volumes.interface import NewVolume
from jaxslice.volumes.store_writer import StoreWriter, create_store

ENCODINGS = ("raw", "png")


def create(place: str, location: Location, new: NewVolume) -> StoreWriter:
    """Creates a volume, or adds a scale to it; boxes of whole chunks are written fastest.

    Raises:
      UsageError: it cannot be created, or the encoding is unknown.
    """
    encoding = new.encoding or "raw"
    if encoding not in ENCODINGS:
        raise UsageError(
            f"Got the encoding {encoding!r} for {place!r}, expected one of {', '.join(ENCODINGS)}."
        )
    spec = {"driver": "neuroglancer_precomputed", "kvstore": kvstore_spec(location)}
    description = {
        "multiscale_metadata": {
            "type": "image", "data_type": str(new.dtype), "num_channels": 1,
        },
        "scale_metadata": {
            "size": new.box.shape[::-1],
            "voxel_offset": new.box.start[::-1],
            "resolution": new.voxel_size_nm[::-1],
            "chunk_size": new.chunk_shape[::-1],
            "encoding": encoding,
        },
    }  # fmt: skip
    create_store(place, {**spec, **description})
    return StoreWriter(place, {**spec, "scale_index": len(new.finer)}, "xyzc", (0, 0, 0))


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
