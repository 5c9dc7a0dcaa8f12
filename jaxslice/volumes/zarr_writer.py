"""Zarr and OME-Zarr images written through TensorStore: 0.4 in Zarr 2, 0.5 in Zarr 3."""

from __future__ import annotations

import json
import re
from typing import Any

from jaxslice.core.errors import UsageError
from jaxslice.storage.folder import folder_at
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import Location, kvstore_spec
from jaxslice.volumes.interface import NewVolume
from jaxslice.volumes.store_writer import StoreWriter, create_store

ENCODINGS_2 = {
    "raw": None,
    "gzip": {"id": "gzip", "level": 6},
    "zstd": {"id": "zstd", "level": 3},
    "blosc": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 0},
}
ENCODINGS_3 = {
    "raw": [],
    "gzip": [{"name": "gzip", "configuration": {"level": 6}}],
    "zstd": [{"name": "zstd", "configuration": {"level": 3}}],
    "blosc": [{"name": "blosc", "configuration": {"cname": "zstd", "clevel": 5}}],
}


def create_3(place: str, location: Location, new: NewVolume) -> StoreWriter:
    """Creates an OME-Zarr 0.5 image, or adds a scale to it.

    Raises:
      UsageError: it cannot be created, or the encoding is unknown.
    """
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    codecs, stored = [little, *_encoding(place, ENCODINGS_3, new)], _chunk(new)
    if new.shard_shape is not None:
        packed = {"chunk_shape": new.chunk_shape, "codecs": codecs}
        codecs, stored = [{"name": "sharding_indexed", "configuration": packed}], new.shard_shape
    metadata = {
        "shape": new.box.shape,
        "data_type": str(new.dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": stored}},
        "codecs": codecs,
        "fill_value": 0,
        "dimension_names": ["z", "y", "x"],
    }
    writer = _create(place, location, new, "zarr3", metadata)
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale(new)]}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    folder_at(place, location).write("zarr.json", json.dumps(group, indent=1).encode())
    return writer


def create_2(place: str, location: Location, new: NewVolume) -> StoreWriter:
    """Creates an OME-Zarr 0.4 image, or adds a scale to it.

    Raises:
      UsageError: it cannot be created, or the encoding is unknown.
    """
    metadata = {
        "shape": new.box.shape,
        "dtype": new.dtype.newbyteorder("<").str,
        "chunks": _chunk(new),
        "compressor": _encoding(place, ENCODINGS_2, new),
        "fill_value": 0,
        "dimension_separator": "/",
    }
    writer = _create(place, location, new, "zarr", metadata)
    folder = folder_at(place, location)
    attributes = {"multiscales": [{"version": "0.4", **multiscale(new)}]}
    folder.write(".zattrs", json.dumps(attributes, indent=1).encode())
    folder.write(".zgroup", json.dumps({"zarr_format": 2}).encode())
    return writer


def multiscale(new: NewVolume) -> dict[str, Any]:
    """The OME metadata of an image, of which `new` is the coarsest scale."""
    scales = (*new.finer, new)
    return {
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "datasets": [
            {"path": str(number), "coordinateTransformations": _transformations(scale, scales[0])}
            for number, scale in enumerate(scales)
        ],
    }


def _transformations(scale: NewVolume, finest: NewVolume) -> list[dict[str, Any]]:
    """Where the centres of voxels lie, that of the finest scale's voxel 0 being the origin."""
    sizes = zip(scale.box.start, scale.voxel_size_nm, finest.voxel_size_nm, strict=True)
    translation = [o * s + (s - f) / 2 for o, s, f in sizes]
    return [
        {"type": "scale", "scale": list(scale.voxel_size_nm)},
        {"type": "translation", "translation": translation},
    ]


def _create(
    place: str, location: Location, new: NewVolume, driver: str, metadata: dict[str, Any]
) -> StoreWriter:
    base = kvstore_spec(location)
    kvstore = {**base, "path": f"{base.get('path', '')}{len(new.finer)}/"}
    spec = {"driver": driver, "kvstore": kvstore}
    create_store(place, {**spec, "metadata": metadata})
    return StoreWriter(place, spec, "zyx", new.box.start)


def _encoding(place: str, encodings: dict[str, Any], new: NewVolume) -> Any:
    name = new.encoding or "zstd"
    if name not in encodings:
        raise UsageError(
            f"Got the encoding {name!r} for {place!r}, expected one of {', '.join(encodings)}."
        )
    return encodings[name]


def _chunk(new: NewVolume) -> list[int]:
    return [min(c, n) for c, n in zip(new.chunk_shape, new.box.shape, strict=True)]


_OWN_3 = re.compile(r"zarr\.json|[^/]+/(zarr\.json|c(/\d+)*)")
_OWN_2 = re.compile(r"\.z(attrs|group|array|metadata)|[^/]+/(\.z(attrs|array)|\d+([./]\d+)*)")


def _own_keys(group: bytes | None, pattern: re.Pattern[str]) -> OwnKeys | None:
    """The objects of an image; None for a jaxslice archive, which is no volume to be replaced."""
    try:
        document = {} if group is None else json.loads(group)
        attributes = document.get("attributes") or {}
        known = document.get("zarr_format", 2) in (2, 3) and "jaxslice" not in attributes
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return (lambda key: pattern.fullmatch(key) is not None) if known else None


KIND_3 = Kind("a Zarr volume", "zarr.json", lambda entry: _own_keys(entry, _OWN_3))
KIND_2 = Kind("a Zarr volume", ".zgroup", lambda entry: _own_keys(entry, _OWN_2))
