"""N5 datasets, read and written through TensorStore. Their axes are x,y,z, x fastest."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.json_text import parse_json
from jaxslice.core.shorten import short_repr
from jaxslice.storage import location as locations
from jaxslice.storage.folder import Folder, folder_at
from jaxslice.storage.kind import Kind, OwnKeys
from jaxslice.storage.location import (
    Location,
    is_refused,
    kvstore_spec,
    one_line,
    unreachable_is_usage_error,
)
from jaxslice.volumes.axes import axes_named, view_of
from jaxslice.volumes.chunked import ChunkedReader
from jaxslice.volumes.details import Details, Scale, VoxelSize
from jaxslice.volumes.interface import Format, NewVolume, NotThisFormat, Source, SourceOptions
from jaxslice.volumes.sources import nm_of, source_of, usable_size
from jaxslice.volumes.store_writer import StoreWriter, create_store

ENCODINGS = {
    "raw": {"type": "raw"},
    "gzip": {"type": "gzip", "level": 6},
    "zstd": {"type": "zstd", "level": 3},
    "blosc": {"type": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 0},
}
_USUAL = {2: "xy", 3: "xyz", 4: "xyzc", 5: "xyzct"}


def _open(place: str, location: Location, options: SourceOptions) -> Source:
    folder = folder_at(place, location)
    path = (options.dataset or "").strip("/")
    attributes = _attributes(folder, path)
    if attributes is None:
        raise NotThisFormat(f"has no attributes.json at {path!r}")
    if "dimensions" in attributes:
        return _dataset(place, location, path, attributes, [attributes], options, ())
    scales = _scales(folder, path)
    if not scales:
        raise UsageError(
            f"Got {place!r}, an N5 group without a dataset s0, expected --dataset with the path of"
            " a dataset."
        )
    names = list(scales)
    text = str(options.scale)
    for keys in ([str(index) for index in range(len(names))], names):
        if text in keys:
            name = names[keys.index(text)]
            break
    else:
        raise UsageError(
            f"Got the scale {text!r}, expected an index from 0 to {len(names) - 1} or one of"
            f" {', '.join(names)}."
        )
    described = tuple(
        Scale(key, _shape(found), _voxel_size([found, attributes]), _encoding(found))
        for key, found in scales.items()
    )
    chosen = scales[name]
    return _dataset(
        place, location, f"{path}/{name}".lstrip("/"), chosen, [chosen, attributes], options,
        described, name,
    )  # fmt: skip


def _dataset(
    place: str,
    location: Location,
    path: str,
    attributes: dict[str, Any],
    described_by: list[dict[str, Any]],
    options: SourceOptions,
    scales: tuple[Scale, ...],
    scale: str | None = None,
) -> Source:
    dimensions = attributes["dimensions"]
    if not isinstance(dimensions, list):
        raise UsageError(f"Got the dimensions {short_repr(dimensions)} of {place!r}.")
    axes = axes_named(attributes.get("axes")) or _USUAL.get(len(dimensions))
    view = view_of(place, axes, dimensions, options)
    base = kvstore_spec(location)
    kvstore = {**base, "path": f"{base.get('path', '')}{path}/" if path else base.get("path", "")}
    # What stands in an N5 that is not there is zero.
    reader = ChunkedReader(place, {"driver": "n5", "kvstore": kvstore}, view, (0, 0, 0), 0)
    details = Details(
        format="n5",
        encoding=_encoding(attributes),
        chunk_shape=reader.grid[1],
        scales=scales,
        scale=scale,
        axes=view.axes,
        selected=view.several(),
        dataset=options.dataset,
    )
    size = _voxel_size(described_by)
    return source_of(place, view, np.dtype(reader.dtype), reader, details, size)


def _attributes(folder: Folder, path: str) -> dict[str, Any] | None:
    key = f"{path}/attributes.json".lstrip("/")
    with unreachable_is_usage_error(folder.place):
        try:
            data = folder.read(key, locations.OPEN_TIMEOUT_SECONDS)
        except OSError as error:
            if not is_refused(error):
                raise
            data = None
    if data is None:
        return None
    try:
        found = parse_json(data)
    except ValueError as error:
        raise UsageError(f"The {key} of {folder.place!r} is not JSON: {one_line(error)}.") from None
    return found if isinstance(found, dict) else {}


def _scales(folder: Folder, path: str) -> dict[str, dict[str, Any]]:
    """The datasets s0, s1 and so on of a group."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        attributes = _attributes(folder, f"{path}/s{len(found)}".lstrip("/"))
        if attributes is None or "dimensions" not in attributes:
            return found
        found[f"s{len(found)}"] = attributes


def _shape(attributes: dict[str, Any]) -> Triple:
    x, y, z = (int(n) for n in [*attributes["dimensions"], 1, 1][:3])
    return (z, y, x)


def _encoding(attributes: dict[str, Any]) -> str:
    compression = attributes.get("compression") or attributes.get("compressionType") or {}
    found = compression.get("type") if isinstance(compression, dict) else compression
    return str(found or "raw")


def _voxel_size(described_by: list[dict[str, Any]]) -> VoxelSize | None:
    """The size from the first attributes that have one, in one of the ways in use."""
    for level, attributes in enumerate(described_by):
        found = attributes.get("pixelResolution", attributes.get("resolution"))
        unit = attributes.get("units")
        if isinstance(found, dict):
            unit, found = found.get("unit", unit), found.get("dimensions")
        if not isinstance(found, list) or len(found) < 3:
            continue
        units = unit if isinstance(unit, list) else [unit or "nm"] * len(found)
        factors = described_by[0].get("downsamplingFactors") if level else None
        values = [nm_of(v, u) for v, u in zip(found[:3], units, strict=False)]
        if isinstance(factors, list) and len(factors) >= 3:
            values = [v and v * f for v, f in zip(values, factors, strict=False)]
        return usable_size(values[::-1])
    return None


def _create(place: str, location: Location, new: NewVolume) -> StoreWriter:
    name = new.encoding or "gzip"
    if name not in ENCODINGS:
        raise UsageError(
            f"Got the encoding {name!r} for {place!r}, expected one of {', '.join(ENCODINGS)}."
        )
    size = list(new.voxel_size_nm[::-1])
    pixel = {"pixelResolution": {"dimensions": size, "unit": "nm"}}
    base = kvstore_spec(location)
    spec = {"driver": "n5", "kvstore": {**base, "path": f"{base.get('path', '')}s0/"}}
    chunks = [min(c, n) for c, n in zip(new.chunk_shape, new.box.shape, strict=True)]
    metadata = {
        "dimensions": new.box.shape[::-1],
        "blockSize": chunks[::-1],
        "dataType": str(new.dtype),
        "compression": ENCODINGS[name],
        "axes": ["x", "y", "z"],
        **pixel,
    }
    create_store(place, {**spec, "metadata": metadata})
    root = {"n5": "2.5.0", **pixel, "offset_voxels": list(new.box.start[::-1])}
    folder_at(place, location).write("attributes.json", json.dumps(root).encode())
    return StoreWriter(place, spec, "xyz", new.box.start)


_OWN = re.compile(r"attributes\.json|s\d+/(attributes\.json|\d+(/\d+)*)")


def _own_keys(entry: bytes | None) -> OwnKeys | None:
    try:
        known = entry is None or "n5" in parse_json(entry)
    except (ValueError, TypeError):
        return None
    return (lambda key: _OWN.fullmatch(key) is not None) if known else None


N5 = Format(
    "n5", "an N5 dataset", _open, (".n5",), ("attributes.json",),
    takes=frozenset({"scale", "dataset", "channel", "time"}), create=_create,
    kind=Kind("an N5 volume", "attributes.json", _own_keys),
)  # fmt: skip
